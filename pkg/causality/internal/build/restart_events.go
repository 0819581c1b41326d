package build

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// attachEvents puts on the restart what is said of the container in its time, and what led
// to it: the probes that had failed before the kubelet killed the container. quiet is how
// far apart two Events are at most of which the one led to the other.
func (restart *Restart) attachEvents(b *builder, root *spans.Span, quiet time.Duration, sinceLast bool) {
	lead := restart.lead(quiet)
	if sinceLast {
		lead = time.Time{} // the restarts that were left out are told with this one
	}
	for _, ev := range restart.Pod.Untold() {
		if within(ev.First(), lead, root.End) && restart.concerns(ev) && !inStart(restart.Pod, ev) {
			attach(b.deepest(ev), ev, root.End)
		}
	}
}

// concerns reports whether an Event about the pod may be about the restart.
func (restart *Restart) concerns(ev *podlife.Event) bool {
	return ev.Container == restart.container.Name || ev.Container == "" || restart.initialized()[ev.Container]
}

// lead is from when on what is said of the container led to its restart: one thing after
// the other, with no pause longer than quiet.
func (restart *Restart) lead(quiet time.Duration) time.Time {
	var said []time.Time
	for _, ev := range restart.Pod.Events {
		if ev.Container != restart.container.Name && ev.Container != "" {
			continue
		}
		for _, o := range ev.Occurrences {
			if !o.At.After(restart.From) {
				said = append(said, o.At)
			}
		}
	}
	slices.SortFunc(said, func(a, b time.Time) int { return b.Compare(a) })
	quiet = max(quiet, restart.container.ProbeGap())
	lead := restart.From.Add(-quiet)
	for _, at := range said {
		if at.Before(lead) {
			break
		}
		lead = evidence.Earliest(lead, at.Add(-quiet))
	}
	return evidence.Latest(lead, restart.Ended.Started.Earliest)
}

// inRestart reports whether an Event about a pod whose start is over is one of a restart,
// whether that was handed out or is still to be.
func inRestart(p *plans.Plan, pod *podlife.Pod, ev *podlife.Event, quiet time.Duration) bool {
	for _, container := range pod.Containers {
		for i, ended := range container.Runs {
			if !ended.Over() || container.IsDone(ended) {
				continue
			}
			p.Work.Spend(1)
			restart, done := RestartOf(p, pod, container, i)
			if restart == nil || !restart.concerns(ev) || ev.First().Before(restart.lead(quiet)) {
				continue
			}
			if !done || !ev.First().After(restart.Until) {
				return true
			}
		}
	}
	return false
}
