package causality

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// A pod that no node takes waits for one, often for different things one after
// another: for a gate, for a volume, for room. The scheduler says so in Events
// and in the condition PodScheduled; either may be all there is.

// refusal is why a pod got no node from some time on.
type refusal struct {
	at      time.Time
	reason  string // of the condition: Unschedulable, SchedulingGated, …
	message string // its first sentence; what follows is about preemption
	// until is when it no longer held, if that is known by itself.
	until time.Time
}

// bindingConditionsPending is the scheduler's Event of a pod whose devices are not
// ready yet on the node that it has chosen (plugins/dynamicresources).
const bindingConditionsPending = "BindingConditionsPending"

// observeNode notes the node that the pod is bound to, and its scheduling gates. A
// binding brings the condition PodScheduled with it (registry/core/pod/storage);
// where that is missing, the pod was created with its node, and the kubelet adds the
// condition when it comes to it.
func (p *pod) observeNode(in *corev1.Pod, isNew bool, seen time.Time) {
	if in.Spec.NodeName != "" {
		p.node = in.Spec.NodeName
	}
	if isNew && in.Spec.NodeName != "" && !hasCondition(in, corev1.PodScheduled) {
		p.scheduled = p.created
	}
	switch {
	case len(in.Spec.SchedulingGates) > 0:
		p.gatesShut = true
	case p.gatesShut && !p.gatesOpen.known():
		p.gatesOpen = arrived(seen)
	}
}

func hasCondition(in *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(in.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
}

// errorType is what a start that failed for it is filed under: the scheduler's
// Event, where it writes one.
func (r refusal) errorType() string {
	if r.reason == corev1.PodReasonSchedulingGated || r.reason == bindingConditionsPending {
		return r.reason
	}
	return "FailedScheduling"
}

// refusals are what kept the pod from a node, each from when it was said first,
// up to a time.
func (p *pod) refusals(until time.Time) []refusal {
	var all []refusal
	said := map[string]bool{}
	for _, ev := range p.events {
		reason := corev1.PodReasonUnschedulable
		switch ev.reason {
		case "FailedScheduling":
		case bindingConditionsPending:
			reason = bindingConditionsPending
		default:
			continue
		}
		for _, o := range ev.occurrences {
			r := refusal{at: o.at, reason: reason, message: cutSentence(o.message)}
			all = append(all, r)
			said[r.message] = true
		}
	}
	for _, c := range p.unscheduled {
		// An Event with the same words is the more exact.
		if message := cutSentence(c.message); !said[message] {
			r := refusal{at: c.from.at(), reason: cmp.Or(c.reason, corev1.PodReasonUnschedulable), message: message}
			if r.reason == corev1.PodReasonSchedulingGated {
				r.until = p.gatesOpen.at() // the condition says so until it says something else
			}
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b refusal) int { return a.at.Compare(b.at) })
	all = slices.DeleteFunc(all, func(r refusal) bool { return !until.IsZero() && r.at.After(until) })
	return slices.CompactFunc(all, func(a, b refusal) bool { return a.message == b.message })
}

// refused adds the time that was spent in each refusal, below schedule. It
// returns the one that still held at the end.
func (ph *phases) refused(tl timeline) {
	until := ph.or(tl.scheduled)
	refusals := ph.pod.refusals(until)
	for i, r := range refusals {
		end := until
		if i+1 < len(refusals) {
			end = latest(refusals[i+1].at, tl.created)
		}
		end = earliest(end, r.until)
		what := kind.Unschedulable
		switch r.reason {
		case corev1.PodReasonSchedulingGated:
			what = kind.SchedulingGates
		case bindingConditionsPending:
			what = kind.BindDevices
		}
		s := ph.add(node{
			parent: ph.schedule.SpanID, id: []string{strconv.Itoa(i)}, kind: what,
			start: latest(r.at, tl.created), end: end,
		})
		s.Attributes = append(s.Attributes, attr.WaitingReasonKey.String(r.reason))
		if r.message != "" {
			s.Attributes = append(s.Attributes, attr.WaitingMessageKey.String(r.message))
		}
	}
}
