package podlife

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// A pod that no node takes waits for one, often for different things one after
// another: for a gate, for a volume, for room. The scheduler says so in Events
// and in the condition PodScheduled; either may be all there is.

// refusal is why a pod got no node from some time on.
type refusal struct {
	At      time.Time
	Reason  string // of the condition: Unschedulable, SchedulingGated, …
	Message string // its first sentence; what follows is about preemption
	// Until is when it no longer held, if that is known by itself.
	Until time.Time
}

// TellsOfBinding reports whether the scheduler says by the Event that it has bound a pod.
func (ev *Event) TellsOfBinding() bool { return ev.Reason == "Scheduled" && ev.Container == "" }

// bound is when the pod was bound to its node. The scheduler's Event states that best, but for one
// that seems to be of after the pod was seen to be bound: it came late, and was dated by that.
func (p *Pod) bound() evidence.Moment {
	i := slices.IndexFunc(p.Events, (*Event).TellsOfBinding)
	if i < 0 {
		return p.Scheduled
	}
	at := p.Events[i].First()
	if seen := p.Scheduled.Latest; !seen.IsZero() && at.After(seen.Add(evidence.ArrivalSlack)) {
		return p.Scheduled
	}
	return evidence.Exactly(at)
}

// BindingConditionsPending is the scheduler's Event of a pod whose devices are not
// ready yet on the node that it has chosen (plugins/dynamicresources).
const BindingConditionsPending = "BindingConditionsPending"

// ObserveNode notes the node that the pod is bound to, and its scheduling gates. A
// binding brings the condition PodScheduled with it (registry/core/pod/storage);
// where that is missing, the pod was created with its node, and the kubelet adds the
// condition when it comes to it.
func (p *Pod) ObserveNode(in *corev1.Pod, isNew bool, seen time.Time) {
	if in.Spec.NodeName != "" {
		p.Node = in.Spec.NodeName
	}
	if isNew && in.Spec.NodeName != "" && !hasCondition(in, corev1.PodScheduled) {
		p.Scheduled, p.Placed = p.Created, true
	}
	switch {
	case len(in.Spec.SchedulingGates) > 0:
		p.hadSchedulingGates = true
	case p.hadSchedulingGates && !p.schedulingGatesGone.Known():
		p.schedulingGatesGone = evidence.Arrived(seen)
	}
}

func hasCondition(in *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(in.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
}

// errorType is what a start that failed for it is filed under: the scheduler's
// Event, where it writes one.
func (r refusal) errorType() string {
	if r.Reason == corev1.PodReasonSchedulingGated || r.Reason == BindingConditionsPending {
		return r.Reason
	}
	return "FailedScheduling"
}

// Refusals are what kept the pod from a node, each from when it was said first,
// up to a time.
func (p *Pod) Refusals(until time.Time) []refusal {
	var all []refusal
	said := map[string][]time.Time{}
	for _, ev := range p.Events {
		reason := corev1.PodReasonUnschedulable
		switch ev.Reason {
		case "FailedScheduling":
		case BindingConditionsPending:
			reason = BindingConditionsPending
		default:
			continue
		}
		for _, o := range ev.Occurrences {
			r := refusal{At: o.At, Reason: reason, Message: kube.CutSentence(stream.EventWords(o.Message))}
			all = append(all, r)
			said[r.Message] = append(said[r.Message], r.At)
		}
	}
	for _, c := range p.unsaid(said) {
		r := refusal{At: c.From.At(), Reason: cmp.Or(c.Reason, corev1.PodReasonUnschedulable), Message: kube.CutSentence(c.Message)}
		if r.Reason == corev1.PodReasonSchedulingGated {
			r.Until = p.schedulingGatesGone.At() // the condition says so until it says something else
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b refusal) int { return a.At.Compare(b.At) })
	all = slices.DeleteFunc(all, func(r refusal) bool { return !until.IsZero() && r.At.After(until) })
	return slices.CompactFunc(all, func(a, b refusal) bool { return a.Message == b.Message })
}

// unsaid are the reasons of the condition that no Event gives, by when Events said which words. One with
// the same words is the more exact.
//
// The scheduler's recorder tells Events apart by the state of the pod that they are about, and not by
// their words (client-go, tools/events: getKey). So another reason may be a repetition, with the words of
// the first, and an Event of its own comes minutes later. A change of the condition has its Event before
// the news of it, and after the Event of the change before.
func (p *Pod) unsaid(said map[string][]time.Time) (unsaid []evidence.Reason) {
	for _, times := range said {
		slices.SortFunc(times, time.Time.Compare)
	}
	var last time.Time
	for _, c := range p.Unscheduled {
		times := said[kube.CutSentence(c.Message)]
		next, _ := slices.BinarySearchFunc(times, last, time.Time.Compare)
		switch {
		case next < len(times) && !times[next].After(c.From.At().Add(evidence.ArrivalSlack)):
			last = times[next]
		case len(times) == 0 || c.From.Earliest.IsZero():
			unsaid = append(unsaid, c)
		}
	}
	return unsaid
}
