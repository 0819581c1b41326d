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

// Ahead says which span of a trace an Event will be on, while what the trace tells of is open: a
// change, or the replacement of a pod. It builds what the trace will have of the Event's object, as
// it is known now, and notes nothing as handed out.
type Ahead struct {
	changeBuilder
	now    time.Time
	starts map[*podlife.Pod]*startBuilder
}

// NewAhead looks ahead in a change. The identity of the change has to be settled.
func NewAhead(p *plans.Plan, c *workloads.Change, now time.Time) *Ahead {
	place := ledger.Place{Own: c.Identity(p.Workload.Unique()), Joined: c.Ledger.Joined}
	if !c.Ledger.Placed {
		place.Joined = p.Join(c)
	}
	a := newAhead(p, place, p.StartOf(c), now)
	a.change, a.end = c, a.endOf(c, now)
	for _, at := range p.StepsOf(c) {
		a.spanOf[at.Step] = a.unbuilt(place.SpanID(stepIdentity(at.Set, at.Step)...), p.Decided(at.Set, at.Step))
	}
	return a
}

// NewAheadOfLoss looks ahead in the replacement of a pod that was lost.
func NewAheadOfLoss(p *plans.Plan, lost *podlife.Pod, now time.Time) *Ahead {
	return newAhead(p, workloads.PlaceOfReplacement(lost), lossBegan(p, lost), now)
}

func newAhead(p *plans.Plan, place ledger.Place, start, now time.Time) *Ahead {
	a := &Ahead{now: now, starts: map[*podlife.Pod]*startBuilder{}}
	a.builder = builder{place: place, workload: p.Workload, work: p.Work}
	a.plan, a.start, a.end, a.spanOf = p, start, now, map[*workloads.Step]*spans.Span{}
	a.root = a.unbuilt(place.RootID(), start)
	return a
}

// Trace is the trace alone, of which no span is certain.
func (a *Ahead) Trace() *spans.Span { return a.unbuilt(trace.SpanID{}, time.Time{}) }

// unbuilt is a span of which only the identity is known, and when it began. The zero ID is that
// of none: the trace is all that is certain.
func (a *Ahead) unbuilt(id trace.SpanID, start time.Time) *spans.Span {
	return &spans.Span{TraceID: a.place.TraceID(), SpanID: id, Start: start, End: a.end}
}

// Root is the root of the trace.
func (a *Ahead) Root() *spans.Span { return a.root }

// OfWorkload is the span of what the workload says; nil if that is of another change, or of what
// is not known yet.
func (a *Ahead) OfWorkload(ev *podlife.Event) *spans.Span {
	if a.plan.Workload.Direct() || !a.during(ev) {
		return nil
	}
	if s := a.stepOfWorkloadEvent(ev); s != a.root || ev.Reason != "ScalingReplicaSet" {
		return s
	}
	return nil
}

// OfSet is the span of what a set says; nil if that is of another change, or of a pod that is
// not known yet. What names no pod may be of a step that is still to come.
func (a *Ahead) OfSet(set *workloads.PodSet, ev *podlife.Event) *spans.Span {
	pod, _, ok := podInMessage(a.plan, set, ev)
	switch s := a.stepOfReplicaSetEvent(set, ev); {
	case s == nil || ok && pod == nil:
		return nil
	case !ok:
		return a.Trace()
	default:
		return s
	}
}

// OfStart is the span of what is said of a pod while it starts, if all is known of what was before
// known: one that is over, and has no parts. What goes on may yet turn out to have some, so there
// it is the trace alone. It is nil if it was said after the start.
func (a *Ahead) OfStart(pod *podlife.Pod, ev *podlife.Event, known time.Time) *spans.Span {
	sb := a.startOf(pod)
	if !ev.Last().At.Before(evidence.Earliest(sb.end, a.now)) {
		return nil
	}
	s := sb.place(ev)
	switch {
	case s == sb.root, s == sb.become, s.End.After(known), len(sb.containers[ev.Container]) > 0 && s == sb.containers[ev.Container][0],
		pod.Finite && ev.Reason == podlife.ReasonKilling: // sidecars are stopped in the end
		return a.Trace()
	}
	return s
}

// startOf is the start of a pod as far as it is known.
func (a *Ahead) startOf(pod *podlife.Pod) *startBuilder {
	sb := a.starts[pod]
	if sb == nil {
		parent, cause := a.parentOf(a.plan.Starts[pod])
		if a.plan.Workload.ObjectID == pod.ObjectID {
			parent, cause = trace.SpanID{}, time.Time{} // its start is the root
		}
		cut := a.now
		if a.change != nil && a.change.Over() {
			cut = time.Time{}
		}
		sb, _ = a.podPhases(parent, pod, nil, cause, cut)
		a.starts[pod] = sb
	}
	return sb
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

// Ahead is where the trace of the restart will be, if that has what is said of the pod.
func (restart *Restart) Ahead(p *plans.Plan, ev *podlife.Event, done bool) (at ledger.Place, ok bool) {
	w := restart.window(p)
	if done {
		w.until = restart.Until
	}
	return newRestart(p, restart).place, w.has(ev) && !inStart(restart.Pod, ev)
}
