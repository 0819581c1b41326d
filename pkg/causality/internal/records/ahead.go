package records

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// lookout finds the spans that Events are on, or will be.
type lookout struct {
	now time.Time
	// patience is how long what is observed of objects is waited for. Events may come later than
	// that: settle is how long they are waited for. Which trace an Event is in is said by objects,
	// and Events only tell apart the phases in it.
	patience, settle time.Duration
	around           Around
	aheads           map[any]*build.Ahead // by the change, or the lost pod
}

// spanOf is the span that has, or will have, the time of an Event; zero where that is not
// certain.
func (l *lookout) spanOf(it *entry, of subject) (in trace.TraceID, id trace.SpanID) {
	if it.repeated {
		return in, id
	}
	if in, id, ok := it.event.Ledger.On(it.count, it.at); ok {
		return in, id
	}
	s := l.ahead(it, of)
	switch {
	case s == nil:
		return in, id
	case l.settle-l.patience >= MaxDelay-further:
		return s.TraceID, id // what Events have to say of phases comes after the record is due
	}
	return s.TraceID, s.SpanID
}

// ahead is the span that the Event will be on; nil where that is not certain.
func (l *lookout) ahead(it *entry, of subject) *spans.Span {
	// What is left of the Event, where a span has some of it, is told anew, from then on.
	ev := it.event.Untold()
	if ev == nil || ev.Initial() || l.now.Before(it.seen.Add(l.patience)) {
		return nil
	}
	if of.node != nil {
		return l.ofNode(of.node, ev)
	}
	w := of.workload
	if w == nil {
		return nil
	}
	p := l.around.PlanOf(w)
	switch {
	case p == nil:
		return nil
	case of.pod != nil:
		return l.ofPod(p, of.pod, ev)
	case of.claim != nil:
		return l.ofClaim(p, of.pods, of.claim, ev)
	case of.scaler:
		return l.ofScaler(p, it, ev)
	}
	if ev.Ledger.Claimed {
		return nil // what it says again may be of a change that is told
	}
	return l.ofWorkload(p, of.set, ev)
}

// ofWorkload is the span that an Event about a workload, or about a set of it, will be on.
func (l *lookout) ofWorkload(p *plans.Plan, set *workloads.PodSet, ev *podlife.Event) *spans.Span {
	w := p.Workload
	for _, c := range slices.Backward(w.Changes) {
		if c.Ledger.Sent {
			break
		}
		a := l.of(p, c)
		switch {
		case a == nil:
			return nil // it may be of this one
		case set != nil && set.Object == ev.Object:
			if s := a.OfSet(set, ev); s != nil {
				if !s.SpanID.IsValid() && lossToTell(p, set) {
					return nil // that no pod could be made may be told of with the loss
				}
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

// lossToTell reports whether the loss of a pod of a set is still to be told, apart from any change.
func lossToTell(p *plans.Plan, set *workloads.PodSet) bool {
	for pod, at := range p.Stops {
		p.Work.Spend(1)
		if at.Set == set && at.Lost != nil && at.Change == nil && !pod.Ledger.StopSent {
			return true
		}
	}
	return false
}

// ofPod is the span that an Event about a pod will be on.
func (l *lookout) ofPod(p *plans.Plan, pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	if a, certain := l.startOf(p, pod); !certain {
		return nil
	} else if a != nil {
		if s := a.OfStart(pod, ev, l.known(pod)); s != nil {
			return s
		}
	}
	if s := pod.Ledger.StartSpan; s != nil && !pod.Lost() && !ev.Last().At.After(s.End) {
		return traceOf(s.Place) // it comes late, and is told below the start
	}
	if s := l.ofRestart(p, pod, ev); s != nil {
		return s
	}
	stop := p.Stops[pod]
	if stop.Change != nil && stop.Lost == nil && !pod.Ledger.StopSent && pod.Leaving() && !pod.EndedUndeleted() {
		if a := l.of(p, stop.Change); a != nil {
			return a.OfStop(pod, ev)
		}
	}
	return nil
}

// startOf looks ahead in what will tell of a pod's start; nil if nothing will. Where it is not
// certain what that is, nothing is certain of the pod.
func (l *lookout) startOf(p *plans.Plan, pod *podlife.Pod) (a *build.Ahead, certain bool) {
	start := p.Starts[pod]
	switch {
	case pod.Initial || pod.Ledger.StartSent:
		return nil, true
	case start.Lost == nil && start.Change != nil:
		a = l.of(p, start.Change)
	case start.Lost != nil && start.Change == nil:
		a = l.ofLoss(p, start.Lost)
	default:
		return nil, true
	}
	return a, a != nil
}

// known is the time before which all is known of what is said of a pod as it starts: up to what its
// kubelet has told, as its recorder sends one thing after the other. How late it is, nobody knows
// before it comes. It is the zero time where the kubelet has told nothing yet, or the scheduler has
// not told of the binding: all phases come after that.
func (l *lookout) known(pod *podlife.Pod) (known time.Time) {
	bound := pod.Placed
	for _, ev := range pod.Events {
		if ev.FirstArrival().Add(l.patience).After(l.now) {
			continue
		}
		bound = bound || ev.TellsOfBinding()
		if ev.Component == attr.ServiceKubelet {
			known = evidence.Latest(known, ev.First())
		}
	}
	if !bound {
		return time.Time{}
	}
	return known
}

// ofRestart is the trace of the restart that will have what is said of a container; nil where that
// is not certain. A run that has ended will be followed by another if its container was seen to wait
// for that, or the next one was seen.
func (l *lookout) ofRestart(p *plans.Plan, pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	i := slices.IndexFunc(pod.Containers, func(c *podlife.Container) bool { return c.Name == ev.Container && !c.Init })
	over, ok := p.StartOver(pod)
	if i < 0 || !ok || pod.Lost() { // what is lost may have ended with that
		return nil
	}
	container := pod.Containers[i]
	for i, ended := range container.Runs {
		if !pod.MayRestart(container, i, over) {
			continue
		}
		p.Work.Spend(1 + len(pod.Events))
		restart, done := build.RestartOf(p, pod, container, i)
		if restart == nil || !container.Ledger.WillEmit(restart.From) {
			return nil
		}
		switch known := l.now.Add(-l.patience); {
		case done && !restart.Seen.After(known):
		case restart.Next != nil && restart.Next.Started.Known():
			if ev.Last().At.After(evidence.Earliest(restart.Next.Started.Earliest, known)) {
				return nil // it may lead to the next one
			}
		case !container.WaitedAfter(ended) || ev.Last().At.After(known):
			return nil // it may have ended with its pod
		}
		at, has := restart.Ahead(p, ev, done)
		if !has || done && ev.Last().At.After(restart.Until) {
			return nil
		}
		return traceOf(at)
	}
	return nil
}

// ofClaim is the trace of the start of the pod that waits for a claim.
func (l *lookout) ofClaim(p *plans.Plan, users []*podlife.Pod, claim *podlife.VolumeClaim, ev *podlife.Event) *spans.Span {
	for _, pod := range users {
		start := p.Starts[pod]
		if start.Change == nil || start.Lost != nil || pod.Initial || pod.Ledger.StartSent || !pod.Claims.Waiter(pod, claim, ev.First(), p.Work) ||
			!pod.Claims.Waiter(pod, claim, ev.Last().At, p.Work) {
			continue
		}
		if a := l.of(p, start.Change); a != nil {
			return a.Trace()
		}
	}
	return nil
}

// ofScaler is the root of the scale that an autoscaler says it asked for.
func (l *lookout) ofScaler(p *plans.Plan, it *entry, ev *podlife.Event) *spans.Span {
	c := p.Workload.Current()
	if c == nil || c.Ledger.Sent || c.Cause != attr.CauseAutoscale || !ev.First().Equal(it.at) {
		return nil
	}
	r, ok := p.RescaleTo(c.Wanted, p.StartOf(c))
	if !ok || r.Event != it.event || !r.At.Equal(it.at) {
		return nil
	}
	if a := l.of(p, c); a != nil {
		return a.Root()
	}
	return nil
}

// of looks ahead in a change; it is nil if the identity of the change may not be settled, or
// its trace may not come.
func (l *lookout) of(p *plans.Plan, c *workloads.Change) *build.Ahead {
	if !settled(p, c) {
		return nil
	}
	if l.aheads[c] == nil {
		l.aheads[c] = build.NewAhead(p, c, l.now)
	}
	return l.aheads[c]
}

// ofLoss looks ahead in the replacement of a pod; it is nil if the loss may turn out to be
// something else, or is told.
func (l *lookout) ofLoss(p *plans.Plan, lost *podlife.Pod) *build.Ahead {
	at := p.Stops[lost]
	if at.Lost != lost || at.Change != nil || lost.Ledger.StopSent || lost.Ledger.Replaced != nil || p.Workload.Deleted || p.Workload.Gone || p.Workload.Composition != nil {
		return nil
	}
	if l.aheads[lost] == nil {
		l.aheads[lost] = build.NewAheadOfLoss(p, lost, l.now)
	}
	return l.aheads[lost]
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

// traceOf is a trace of which no span is certain.
func traceOf(at ledger.Place) *spans.Span { return &spans.Span{TraceID: at.TraceID()} }
