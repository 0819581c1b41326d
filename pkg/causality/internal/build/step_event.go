package build

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// attachEvents puts the workload's and its ReplicaSets' Events on the steps
// they tell of.
func (b *changeBuilder) attachEvents() {
	if !b.plan.Workload.Direct() {
		for _, ev := range b.plan.Workload.Untold() {
			if b.during(ev) {
				attach(b.stepOfWorkloadEvent(ev), ev, b.end)
			}
		}
	}
	for _, set := range b.plan.Sets {
		for _, ev := range set.Untold() {
			if s := b.stepOfReplicaSetEvent(set, ev); s != nil {
				attach(s, ev, b.end)
			}
		}
	}
}

// during reports whether an Event of the workload falls into this change's
// time rather than its neighbors'. What was there before the watcher was tells of
// changes that are not known, if the first one is known to have begun later.
func (b *changeBuilder) during(ev *podlife.Event) bool {
	t := ev.First()
	i := slices.Index(b.plan.Workload.Changes, b.change)
	if b.change.Retried(evidence.Write{Arrival: ev.FirstArrival()}) {
		return false
	}
	if t.Before(b.start) && (i > 0 || ev.Initial() && !b.change.Start.Earliest.IsZero()) || b.saidLater(ev) {
		return false
	}
	if i+1 >= len(b.plan.Workload.Changes) {
		// What waits came in a stream of its own, by half a second later than it was
		// written, and may tell of another change.
		return !b.plan.Workload.Awaits(evidence.Write{Arrival: t.Add(evidence.ArrivalSlack / 4)})
	}
	return t.Before(b.plan.StartOf(b.plan.Workload.Changes[i+1]))
}

// saidLater reports whether an Event came too late for the change to be what it tells of:
// controllers say what they did a little after they did it. They go on with a rollout that
// has failed, and take the old pods away after one that is complete.
func (b *changeBuilder) saidLater(ev *podlife.Event) bool {
	goesOn := !b.change.Over() || b.change.Kind == attr.ChangeRollout && b.change.Outcome() == attr.OutcomeFailed
	return !goesOn && ev.First().After(b.end.Add(evidence.ArrivalSlack)) && b.stepOfWorkloadEvent(ev) == b.root
}

func (b *changeBuilder) stepOfWorkloadEvent(ev *podlife.Event) *spans.Span {
	for _, at := range b.plan.StepsOf(b.change) {
		if ev.Reason == "ScalingReplicaSet" && at.Step.DescribedBy(ev.Message(), at.Set.Name) {
			return b.spanOf[at.Step]
		}
	}
	return b.root
}

// stepOfReplicaSetEvent finds the span of an Event such as "Created pod: x"
// or a FailedCreate; nil if it is of another change.
func (b *changeBuilder) stepOfReplicaSetEvent(set *workloads.PodSet, ev *podlife.Event) *spans.Span {
	if pod, at, ok := podInMessage(b.plan, set, ev); ok {
		if ev.Reason == "SuccessfulDelete" && b.change.Retried(pod.LostBy()) || b.change.Retried(pod.FirstSeen) {
			return nil
		}
		if at.Change != b.change || b.afterEnd(pod.CreatedAt()) && ev.Reason == "SuccessfulCreate" {
			return nil
		}
		if sp := b.spanOf[at.Step]; sp != nil {
			return sp
		}
		return b.root
	}
	if !b.during(ev) {
		return nil
	}
	var best *spans.Span
	for _, at := range b.plan.StepsOf(b.change) {
		if sp := b.spanOf[at.Step]; at.Set == set && (best == nil || !sp.Start.After(ev.First())) {
			best = sp
		}
	}
	if best == nil {
		return b.root
	}
	return best
}

// podInMessage finds the pod that a ReplicaSet's Event names, and what it was
// about: its start or its stop.
func podInMessage(p *plans.Plan, set *workloads.PodSet, ev *podlife.Event) (*podlife.Pod, plans.Attribution, bool) {
	attributions, reason := p.Starts, ev.Reason
	switch ev.Reason {
	case "SuccessfulCreate":
	case "SuccessfulDelete", "FailedDaemonPod", "SucceededDaemonPod", "RecreatingFailedPod", "RecreatingTerminatedPod":
		attributions, reason = p.Stops, "SuccessfulDelete"
	default:
		return nil, plans.Attribution{}, false
	}
	pod := p.Nearest(plans.PodName{Owner: set.ObjectID, Name: plans.PodNamed(ev.Message())}, reason, ev.First())
	at, ok := attributions[pod]
	return pod, at, ok
}
