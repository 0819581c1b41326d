package causality

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A pod that no node takes waits for one, often for different things one after
// another: for a gate, for a volume, for room. The scheduler says so in Events
// and in the condition PodScheduled; either may be all there is.

// refusal is why a pod got no node from some time on.
type refusal struct {
	at      time.Time
	reason  string // of the condition: Unschedulable, SchedulingGated, …
	message string // its first sentence; what follows is about preemption
}

// errorType is what a start that failed for it is filed under: the scheduler's
// Event, where it writes one.
func (r refusal) errorType() string {
	if r.reason == corev1.PodReasonSchedulingGated {
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
		if ev.reason != "FailedScheduling" {
			continue
		}
		for _, o := range ev.occurrences {
			r := refusal{o.at, corev1.PodReasonUnschedulable, cutSentence(o.message)}
			all = append(all, r)
			said[r.message] = true
		}
	}
	for _, c := range p.unscheduled {
		// An Event with the same words is the more exact.
		if message := cutSentence(c.message); !said[message] {
			all = append(all, refusal{c.from.at(), cmp.Or(c.reason, corev1.PodReasonUnschedulable), message})
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
		name := "unschedulable"
		if r.reason == corev1.PodReasonSchedulingGated {
			name = "scheduling gates"
		}
		s := ph.add(node{
			parent: ph.schedule.SpanID, id: []string{strconv.Itoa(i)}, name: name, service: serviceScheduler,
			start: latest(r.at, tl.created), end: end,
		})
		s.Attributes = append(s.Attributes, keyWaiting.String(r.reason))
		if r.message != "" {
			s.Attributes = append(s.Attributes, keyWaitingMessage.String(r.message))
		}
	}
}
