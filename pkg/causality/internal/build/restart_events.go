package build

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// attachEvents puts on the restart what is said of the container in its time, and what led
// to it: the probes that had failed before the kubelet killed the container.
func (restart *Restart) attachEvents(p *plans.Plan, rb *restartBuilder, sinceLast bool) {
	root, w := rb.root, restart.window(p)
	w.until = root.End
	if sinceLast {
		w.from = time.Time{} // the restarts that were left out are told with this one
	}
	for _, ev := range restart.Pod.Untold() {
		if w.has(ev) && !inStart(restart.Pod, ev) {
			attach(rb.place(ev), ev, root.End)
		}
	}
}

// concerns reports whether an Event about the pod may be about the restart, for which init
// containers of these names ran again.
func (restart *Restart) concerns(ev *podlife.Event, initialized map[string]bool) bool {
	return ev.Container == restart.container.Name || ev.Container == "" || initialized[ev.Container]
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

// restartWindow is the time in which what is said of a pod tells of a restart.
type restartWindow struct {
	*Restart
	initialized map[string]bool
	from, until time.Time // without an end while it is not over
	// next is from when on what is said leads to the restart that came after this one, if the
	// kubelet killed the container again; else zero.
	next time.Time
}

func (restart *Restart) window(p *plans.Plan) restartWindow {
	w := restartWindow{Restart: restart, initialized: restart.initialized(), from: restart.lead(p.Quiet)}
	if restart.Next == nil || !restart.Next.Over() {
		return w
	}
	again, _ := RestartOf(p, restart.Pod, restart.container, slices.Index(restart.container.Runs, restart.Next))
	if again != nil && again.Killed != nil {
		w.next = again.lead(p.Quiet)
	}
	return w
}

// has reports whether an Event tells of the restart. The times at which runs began and ended
// are known to the second.
func (w restartWindow) has(ev *podlife.Event) bool {
	t := ev.First()
	what, isMilestone := podlife.MilestoneKinds[ev.Reason]
	ofStart := isMilestone && what != podlife.MilestoneBackOff && what != podlife.MilestoneFailed
	switch {
	case !w.concerns(ev, w.initialized) || t.Before(w.from):
		return false
	case ofStart && w.Next != nil && ev.Container == w.container.Name:
		until := w.Next.Started.At().Add(podlife.StartedSlack)
		return w.until.IsZero() || !t.After(evidence.Latest(w.until, until)) && (!w.Next.Over() || !t.After(w.Next.Finished.At()))
	case !w.next.IsZero() && !t.Before(w.next) && !ofStart:
		return false
	}
	return w.until.IsZero() || !t.After(w.until)
}

// restartWindows are those of a pod whose start is over, of restarts that were handed out
// and of those that are still to be.
func restartWindows(p *plans.Plan, pod *podlife.Pod) (windows []restartWindow) {
	for _, container := range pod.Containers {
		for i, ended := range container.Runs {
			if !ended.Over() || container.IsDone(ended) {
				continue
			}
			p.Work.Spend(1 + len(pod.Events))
			restart, done := RestartOf(p, pod, container, i)
			if restart == nil {
				continue
			}
			w := restart.window(p)
			if done {
				w.until = restart.Until
			}
			windows = append(windows, w)
		}
	}
	return windows
}
