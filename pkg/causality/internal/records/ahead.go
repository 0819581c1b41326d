package records

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// lookout finds the spans that Events are on, or will be.
type lookout struct {
	now    time.Time
	settle time.Duration
	planOf func(*workloads.Workload) *plans.Plan
	aheads map[*workloads.Change]*build.Ahead
}

// spanOf is the span that has, or will have, the time of an Event; zero where that is not
// certain.
func (l *lookout) spanOf(it *entry, of subject) (in trace.TraceID, id trace.SpanID) {
	if in, id, ok := it.event.Ledger.On(it.count, it.at); ok {
		return in, id
	}
	if s := l.ahead(it, of); s != nil {
		return s.TraceID, s.SpanID
	}
	return in, id
}

// ahead is the span that the Event will be on; nil where that is not certain.
func (l *lookout) ahead(it *entry, of subject) *spans.Span {
	// What is left of the Event, where a span has some of it, is told anew, from then on.
	ev := it.event.Untold()
	w := of.workload
	if w == nil || ev == nil || ev.Ledger.Claimed || ev.Initial || l.now.Before(it.seen.Add(l.settle)) {
		return nil
	}
	p := l.planOf(w)
	if p == nil {
		return nil
	}
	if of.pod != nil {
		return l.ofPod(p, of.pod, ev)
	}
	for _, c := range slices.Backward(w.Changes) {
		if c.Ledger.Sent {
			break
		}
		a := l.of(p, c)
		switch {
		case a == nil:
			return nil // it may be of this one
		case of.set != nil && of.set.Object == ev.Object:
			if s := a.OfSet(of.set, ev); s != nil {
				return s
			}
		case w.Object == ev.Object:
			if s := a.OfWorkload(ev); s != nil {
				return s
			}
		}
	}
	return nil
}

// ofPod is the span that an Event about a pod will be on.
func (l *lookout) ofPod(p *plans.Plan, pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	start, stop := p.Starts[pod], p.Stops[pod]
	if start.Change != nil && start.Lost == nil && !pod.Initial && !pod.Ledger.StartSent {
		a := l.of(p, start.Change)
		if a == nil {
			return nil
		}
		if s := a.OfStart(pod, ev); s != nil {
			return s
		}
	}
	if stop.Change != nil && stop.Lost == nil && !pod.Ledger.StopSent && pod.Leaving() && !pod.EndedUndeleted() {
		if a := l.of(p, stop.Change); a != nil {
			return a.OfStop(pod, ev)
		}
	}
	return nil
}

// of looks ahead in a change; it is nil if the identity of the change may not be settled, or
// its trace may not come.
func (l *lookout) of(p *plans.Plan, c *workloads.Change) *build.Ahead {
	if !settled(p, c) {
		return nil
	}
	a := l.aheads[c]
	if a == nil {
		a = build.NewAhead(p, c, l.now, l.now.Add(-l.settle))
		l.aheads[c] = a
	}
	return a
}

// settled reports whether the trace of a change is sure to come, or has, under the ID that it has
// now.
func settled(p *plans.Plan, c *workloads.Change) bool {
	w := p.Workload
	switch {
	case c.Ledger.Sent:
		return c.Ledger.Root != nil
	case w.Inferred || w.Pending != nil || w.Deleted || w.Gone:
		return false
	case c.Kind == attr.ChangeDelete || p.Idle(c):
		return false
	case c.Over() && c.Outcome() != attr.OutcomeComplete && c.Outcome() != attr.OutcomeSuperseded:
		return false
	}
	return w.IdentitySettled(c)
}
