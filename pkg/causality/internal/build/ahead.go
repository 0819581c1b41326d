package build

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Ahead says which span of a change's trace an Event will be on, while the change is open. It
// builds what the trace will have of the Event's object, as it is known now, and notes nothing as
// handed out.
type Ahead struct {
	changeBuilder
	// all is known of what was before known.
	now, known time.Time
	starts     map[*podlife.Pod]*startBuilder
}

// NewAhead looks ahead in a change as of a time, when all is known of what was before another.
// The identity of the change has to be settled.
func NewAhead(p *plans.Plan, c *workloads.Change, now, known time.Time) *Ahead {
	place := ledger.Place{Own: c.Identity(p.Workload.Unique()), Joined: c.Ledger.Joined}
	if !c.Ledger.Placed {
		place.Joined = p.Join(c)
	}
	a := &Ahead{now: now, known: known, starts: map[*podlife.Pod]*startBuilder{}}
	a.builder = builder{place: place, workload: p.Workload, work: p.Work}
	a.plan, a.change, a.start, a.spanOf = p, c, p.StartOf(c), map[*workloads.Step]*spans.Span{}
	a.end = a.endOf(c, now)
	a.root = a.unbuilt(place.RootID(), a.start)
	for _, at := range p.StepsOf(c) {
		a.spanOf[at.Step] = a.unbuilt(place.SpanID(stepIdentity(at.Set, at.Step)...), p.Decided(at.Set, at.Step))
	}
	return a
}

// unbuilt is a span of which only the identity is known, and when it began. The zero ID is that
// of none: the trace is all that is certain.
func (a *Ahead) unbuilt(id trace.SpanID, start time.Time) *spans.Span {
	return &spans.Span{TraceID: a.place.TraceID(), SpanID: id, Start: start, End: a.end}
}

// OfWorkload is the span of what the workload says; nil if that is of another change, or of what
// is not known yet.
func (a *Ahead) OfWorkload(ev *podlife.Event) *spans.Span {
	if a.plan.Workload.Direct() || a.plan.Workload.Composition != nil || !a.during(ev) {
		return nil
	}
	if s := a.stepOfWorkloadEvent(ev); s != a.root || ev.Reason != "ScalingReplicaSet" {
		return s
	}
	return nil
}

// OfSet is the span of what a set says; nil if that is of another change, or of a pod that is
// not known yet.
func (a *Ahead) OfSet(set *workloads.PodSet, ev *podlife.Event) *spans.Span {
	if pod, _, ok := podInMessage(a.plan, set, ev); !ok || pod == nil {
		return nil
	}
	return a.stepOfReplicaSetEvent(set, ev)
}

// OfStart is the span of what is said of a pod while it starts: one that is over, and has no
// parts. What goes on may yet turn out to have some, so there it is the trace alone. It is nil
// if it was said after the start.
func (a *Ahead) OfStart(pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	sb := a.starts[pod]
	if sb == nil {
		parent, cause := a.parentOf(a.plan.Starts[pod])
		if a.plan.Workload.ObjectID == pod.ObjectID {
			parent, cause = trace.SpanID{}, time.Time{} // its start is the root
		}
		cut := a.now
		if a.change.Over() {
			cut = time.Time{}
		}
		sb, _ = a.podPhases(parent, pod, nil, cause, cut)
		a.starts[pod] = sb
	}
	if !ev.Last().At.Before(evidence.Earliest(sb.end, a.now)) {
		return nil
	}
	s := sb.place(ev)
	switch {
	case s == sb.root, s == sb.become, !s.End.Before(a.known), len(sb.containers[ev.Container]) > 0 && s == sb.containers[ev.Container][0],
		pod.Finite && ev.Reason == podlife.ReasonKilling: // sidecars are stopped in the end
		return a.unbuilt(trace.SpanID{}, time.Time{})
	}
	return s
}

// OfStop is the span of what is said of a pod while it stops; nil if it was said before.
func (a *Ahead) OfStop(pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	parent, cause := a.parentOf(a.plan.Stops[pod])
	sb := a.podStopping(parent, pod, nil, a.plan.StopAsked(pod), cause, a.now)
	if ev.First().Before(sb.root.Start) || ev.Last().At.After(sb.root.End) {
		return nil
	}
	return sb.place(ev)
}
