package causality

import (
	"github.com/rollspan/rollspan/pkg/spans"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What a change waited for need not be over when the change is handed out: a pod of
// a StatefulSet that is stuck and that nobody deletes, an old pod that takes an hour
// to stop. Its spans come later. The critical path goes through them all the same,
// as far as the change lasted.

// stillGoingOn builds the spans of what pods were at when a change ended in vain, and
// still are. They are for the critical path, and told when they are over.
func (b *changeBuilder) stillGoingOn() []*spans.Span {
	if b.change.how() == attr.OutcomeComplete || b.change.kind == attr.ChangeJob {
		return nil // it waited for none of them
	}
	later := builder{place: b.place, base: b.base, work: b.builder.work}
	for _, q := range b.pods {
		if s := b.starts[q]; s.change == b.change && !q.ledger.startSent && q.createdAt().Before(b.end) {
			parent, cause := b.parentOf(s)
			ph, _ := later.podPhases(parent, q, s.rs.attributes(), cause, b.end)
			b.startSpans[q] = ph.root
		}
		if s := b.stops[q]; s.change == b.change && !q.ledger.stopSent && q.leaving() && b.stopAsked(q).Before(b.end) {
			parent, cause := b.parentOf(s)
			b.stopSpans[q] = later.podStopping(parent, q, s.rs.attributes(), b.stopAsked(q), cause, b.end).root
		}
	}
	return later.spans
}

// markLater notes which spans of those that come later are on the critical path.
func (c *change) markLater(later []*spans.Span) {
	for _, s := range later {
		if _, critical := s.Attribute(attr.CriticalKey); !critical {
			continue
		}
		c.ledger.mark(s.SpanID)
	}
}

// markCritical marks what has come later.
func (b *builder) markCritical(c *change) {
	for _, s := range b.spans {
		if c.ledger.marked[s.SpanID] {
			s.Attributes = append(s.Attributes, attr.CriticalKey.Bool(true))
		}
	}
}
