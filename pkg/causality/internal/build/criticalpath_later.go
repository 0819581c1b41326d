package build

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What a change waited for need not be over when the change is handed out: a pod of
// a StatefulSet that is stuck and that nobody deletes, an old pod that takes an hour
// to stop. Its spans come later. The critical path goes through them all the same,
// as far as the change lasted.

// stillGoingOn builds the spans of what pods were at when a change ended in vain, and
// still are. They are for the critical path, and handed out when they are over.
func (b *changeBuilder) stillGoingOn() []*spans.Span {
	if b.change.Outcome() == attr.OutcomeComplete || b.change.Kind == attr.ChangeJob {
		return nil // it waited for none of them
	}
	later := builder{place: b.place, base: b.base, workload: b.workload, app: b.app, work: b.work}
	for _, pod := range b.plan.Pods {
		if at := b.plan.Starts[pod]; at.Change == b.change && !pod.Ledger.StartSent && pod.CreatedAt().Before(b.end) {
			parent, cause := b.parentOf(at)
			sb, _ := later.podPhases(parent, pod, at.Set.Attributes(), cause, b.end)
			b.startSpans[pod] = sb.root
		}
		if at := b.plan.Stops[pod]; at.Change == b.change && !pod.Ledger.StopSent && pod.Leaving() && b.plan.StopAsked(pod).Before(b.end) {
			parent, cause := b.parentOf(at)
			b.stopSpans[pod] = later.podStopping(parent, pod, at.Set.Attributes(), b.plan.StopAsked(pod), cause, b.end).root
		}
	}
	return later.spans
}

// markLater notes which spans of those that come later are on the critical path.
func markLater(c *workloads.Change, later []*spans.Span) {
	for _, s := range later {
		if _, critical := s.Attribute(attr.CriticalKey); !critical {
			continue
		}
		c.Ledger.MarkCritical(s.SpanID)
	}
}

// markCritical marks what has come later.
func (b *builder) markCritical(c *workloads.Change) {
	for _, s := range b.spans {
		if c.Ledger.Critical[s.SpanID] {
			s.Attributes = append(s.Attributes, attr.CriticalKey.Bool(true))
		}
	}
}
