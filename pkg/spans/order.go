package spans

import (
	"slices"

	"go.opentelemetry.io/otel/trace"
)

// Ordered are spans of one trace, whose IDs differ, as the trace has them: siblings come in
// order of their start, every parent before its children. Their events come in order, too.
func Ordered(spans []*Span) []Span {
	// Each span has a list of its children. A list begins with what was put into it last.
	type listed struct {
		span        *Span
		first, next *listed
	}
	byStart := make([]listed, 0, len(spans))
	for _, s := range spans {
		byStart = append(byStart, listed{span: s})
	}
	slices.SortStableFunc(byStart, func(x, y listed) int { return x.span.Start.Compare(y.span.Start) })
	byID := make(map[trace.SpanID]*listed, len(byStart))
	for i := range byStart {
		byID[byStart[i].span.SpanID] = &byStart[i]
	}
	var tops *listed
	for i := range byStart {
		l := &byStart[len(byStart)-1-i]
		siblings := &tops
		if parent := byID[l.span.ParentID]; parent != nil {
			siblings = &parent.first
		}
		l.next, *siblings = *siblings, l
	}
	out := make([]Span, 0, len(spans))
	var walk func(*listed)
	walk = func(siblings *listed) {
		for l := siblings; l != nil; l = l.next {
			slices.SortStableFunc(l.span.Events, func(x, y Event) int { return x.Time.Compare(y.Time) })
			out = append(out, *l.span)
			walk(l.first)
		}
	}
	walk(tops)
	return out
}
