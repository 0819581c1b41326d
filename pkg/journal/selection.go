package journal

import (
	"github.com/rollspan/rollspan/pkg/spans"
)

// AcknowledgeLeftOut notes that for the spans of a trace that are not sent, as it is over its
// budget.
func (k *Keeper) AcknowledgeLeftOut(t *spans.Trace) {
	if t.Selection == nil || t.Selection.LeftOut == 0 {
		return
	}
	sent := map[SpanKey]bool{}
	for i := range t.Selection.Spans {
		sent[keyOf(&t.Selection.Spans[i])] = true
	}
	var keys []SpanKey
	for i := range t.Spans {
		if key := keyOf(&t.Spans[i]); !sent[key] {
			keys = append(keys, key)
		}
	}
	k.Acknowledge(keys...)
}

// told are the spans that a trace tells of, sent or not: all of it, or what sums up what others
// have left out.
func told(t *spans.Trace) []spans.Span {
	if len(t.Spans) == 0 && t.Selection != nil {
		return t.Selection.Spans
	}
	return t.Spans
}

// only are those of some spans that have one of the keys.
func only(keys map[SpanKey]bool, list []spans.Span) (out []spans.Span) {
	for i := range list {
		if keys[keyOf(&list[i])] {
			out = append(out, list[i])
		}
	}
	return out
}
