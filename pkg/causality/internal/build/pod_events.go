package build

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// attachPodEvents puts on the change what is said of its pods between their start and its
// end, and that tells of no restart or stop: a pod that was Ready is not any more, and the
// rollout waits for it again.
func (b *changeBuilder) attachPodEvents() {
	for _, pod := range b.plan.Pods {
		start := pod.Ledger.StartSpan
		if b.plan.Starts[pod].Change != b.change || start == nil {
			continue
		}
		events := slices.DeleteFunc(pod.Untold(), func(ev *podlife.Event) bool {
			return !within(ev.First(), start.End, b.end) || b.inStop(pod, ev)
		})
		if len(events) == 0 {
			continue
		}
		restarts := restartWindows(b.plan, pod)
		for _, ev := range events {
			b.work.Spend(1 + len(restarts))
			if !slices.ContainsFunc(restarts, func(w restartWindow) bool { return w.has(ev) }) {
				attach(b.spanOfPodEvent(pod, ev), ev, b.end)
			}
		}
	}
}

// inStop reports whether an Event about a pod is one of its stop.
func (b *changeBuilder) inStop(pod *podlife.Pod, ev *podlife.Event) bool {
	return pod.Lost() && !ev.First().Before(b.plan.StopAsked(pod).Add(-evidence.ArrivalSlack))
}

// spanOfPodEvent is the step that made the pod, if it went on then, or else the root.
func (b *changeBuilder) spanOfPodEvent(pod *podlife.Pod, ev *podlife.Event) *spans.Span {
	if s := b.spanOf[b.plan.Starts[pod].Step]; s != nil && within(ev.First(), s.Start, s.End) {
		return s
	}
	return b.root
}

// within reports whether t lies between two times.
func within(t, from, until time.Time) bool { return !t.Before(from) && !t.After(until) }
