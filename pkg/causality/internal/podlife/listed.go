package podlife

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// ObserveListed works out what a pod went through before the list that the watch began with, of
// which its state is all that is known. Its conditions state their latest transitions, which need
// not be the first: containers may have been restarted, and a probe or the node may have failed
// since. What of this cannot be known gets a doubt, so that whoever tells of it says so.
func (p *Pod) ObserveListed(in *corev1.Pod, seen time.Time) {
	p.listed = seen
	p.StartingFirst = !slices.ContainsFunc(in.Status.ContainerStatuses, hasRun)
	first := p.firstStarts(in)
	first.tellReady = !IsProbed(&in.Spec) && !first.last.IsZero() && first.reported
	p.doubtListedStarts(first)
	i := slices.IndexFunc(in.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if i < 0 || in.Status.Conditions[i].LastTransitionTime.IsZero() || p.Finite {
		return
	}
	c := &in.Status.Conditions[i]
	latest := c.LastTransitionTime.Time
	switch {
	case c.Status == corev1.ConditionTrue:
		p.dateListedReady(first, latest)
	case in.Status.StartTime != nil && latest.After(in.Status.StartTime.Add(evidence.ArrivalSlack)):
		// A pod begins by not being Ready. This one was not again, so it had been.
		p.Ready = []transition{
			{Status: true, At: evidence.Arrived(latest), Seen: seen},
			{At: evidence.InSecond(latest, time.Time{}), Seen: seen},
		}
		p.dateListedReady(first, latest)
	}
}

func hasRun(s corev1.ContainerStatus) bool {
	return s.State.Running != nil || s.State.Terminated != nil || HasRestarted(s)
}

// HasRestarted reports whether a container was started more than once, or is to be.
func HasRestarted(s corev1.ContainerStatus) bool {
	return s.RestartCount > 0 || s.LastTerminationState.Terminated != nil
}

// listedStarts is what a list tells of when a pod's containers were started for the first time.
type listedStarts struct {
	earliest time.Time // before it none was
	last     time.Time // when the last was, if it is known of all; else zero
	reported bool      // these runs lasted for long enough to be reported
	restarts bool      // a container was started more than once
	// tellReady says that the pod was Ready with them: nothing probes it.
	tellReady bool
}

func (p *Pod) firstStarts(in *corev1.Pod) listedStarts {
	first := listedStarts{earliest: evidence.Latest(in.CreationTimestamp.Time, p.Scheduled.Earliest), reported: true}
	known := len(in.Status.ContainerStatuses) > 0
	for _, container := range p.Containers {
		if container.Init || len(container.Runs) == 0 {
			known = known && container.Init
			continue
		}
		r := container.Runs[0]
		last := container.lastRun()
		first.restarts = first.restarts || last.Restart > 0 || len(container.Runs) > 1
		if r.Restart > 0 || !r.Started.Known() {
			known = false
			continue
		}
		// A run that was shorter need not have been reported while it lasted.
		if r.Over() && r.Finished.Earliest.Sub(r.Started.Earliest) < ReadyReport {
			first.reported = false
		}
		first.last = evidence.Latest(first.last, r.Started.Earliest)
	}
	if !known {
		first.last = time.Time{}
	}
	return first
}

// doubtListedStarts says of the containers whose first run is not known any more that they may
// have been started before the first run that is, and of a sandbox that was made anew that there
// was another.
func (p *Pod) doubtListedStarts(first listedStarts) {
	for _, container := range p.Containers {
		for _, r := range container.Runs {
			if r.Restart == 0 || first.tellReady && !container.Init {
				continue // it came after the start
			}
			// Whether the pod had been Ready by then, nothing tells either.
			for _, at := range []evidence.Moment{r.Started, r.Finished} {
				p.doubtListed(stream.Doubt{At: at.Earliest, Earliest: first.earliest, Latest: at.Earliest, Of: stream.DoubtOfStart})
			}
		}
	}
	for _, at := range p.Sandboxes {
		if first.restarts && !first.tellReady {
			p.doubtListed(stream.Doubt{At: at.Earliest, Earliest: first.earliest, Latest: at.Earliest, Of: stream.DoubtOfStart})
		}
	}
}

// dateListedReady dates the first time at which a pod was Ready, of which the list has the latest
// transition of its condition.
func (p *Pod) dateListedReady(first listedStarts, latest time.Time) {
	from := evidence.Latest(first.earliest, first.last)
	at, by := latest, latest
	switch {
	case !first.tellReady:
		if latest.After(first.earliest.Add(SlowestStart)) {
			at, p.ReadyUnknown = from, true
		}
	case latest.After(from.Add(ReadyReport)):
		at, by = from, from.Add(ReadyReport)
	default:
		from = latest // which was the first: had it been another since, it would be later
	}
	p.Ready[0].At = evidence.InSecond(at, time.Time{})
	if seen := p.Ready[0].Seen; len(p.Ready) == 1 && !at.Equal(latest) {
		again := evidence.InSecond(latest, time.Time{})
		p.Ready = append(p.Ready, transition{At: again, Seen: seen}, transition{Status: true, At: again, Seen: seen})
		p.doubtListed(stream.Doubt{At: latest, Earliest: at, Latest: latest, Of: stream.DoubtOfUnready})
	}
	for _, of := range []stream.DoubtOf{stream.DoubtOfReady, stream.DoubtOfStart} {
		p.doubtListed(stream.Doubt{At: at, Earliest: evidence.Earliest(from, at), Latest: by, Of: of})
	}
}

// disruptedFirst reports whether the kubelet had ended a pod for good before somebody deleted it, so
// that it was not the deletion that ended it.
func (p *Pod) disruptedFirst() bool {
	return p.Disruption == corev1.PodReasonTerminationByKubelet && p.Disrupted.Earliest.Before(p.DeleteAsked.Earliest)
}

func (p *Pod) doubtListed(d stream.Doubt) {
	p.doubts = p.doubts.With(evidence.Doubt{Doubt: d, Source: attr.SourceCondition})
}

// StartedBefore reports whether the pod's start was over when it was first
// seen, in the list that a watch starts with.
func (p *Pod) StartedBefore() bool {
	if !p.Initial {
		return false
	}
	if _, over := p.StartResolved(); over || p.StartingFirst {
		return over
	}
	for _, container := range p.Containers {
		for _, r := range container.Runs {
			if r.Restart > 0 {
				return true // it may have been ready before, who knows
			}
		}
	}
	return false
}

// RestartPending reports whether a container of the pod that had been Ready has ended, and
// that was not handed out yet: it is about to be started again, or to be Ready again.
func (p *Pod) RestartPending() bool {
	ready, ok := p.FirstReady()
	over := ready.At.At()
	switch {
	case p.Finite || p.LostFirst || !ok && (!p.Initial || p.Ledger.StartSent):
		return false // it is told of with its start
	case p.Initial && !p.Ledger.StartSent:
		over = time.Time{}
	}
	for _, container := range p.Containers {
		for i, ended := range container.Runs {
			if p.MayRestart(container, i, over) && !p.StoppedWith(container, ended) {
				return true
			}
		}
	}
	return false
}
