package podlife

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// A pod that is to stay ends all the same when its kubelet evicts it, preempts it for a
// critical pod, or shuts its node down, and when the garbage collector of pods gives it up.
// Its phase is Failed, or Succeeded if all of its containers left with code 0 when they were
// asked to (getPhase of k8s.io/kubernetes/pkg/kubelet). Nobody need have deleted it.

// endedAsAWhole reports whether the pod, which is to stay, is in a phase that it does not leave.
func (p *Pod) endedAsAWhole() bool {
	return p.Phase == PodFailed || p.Phase == corev1.PodSucceeded && !p.Finite
}

// LostAtFirst reports whether the pod was being deleted, or had ended, when it was first seen.
func (p *Pod) LostAtFirst() bool { return p.Leaving() || p.endedAsAWhole() }

// EndedUndeleted reports whether the pod, which was to stay, ended before anybody deleted it.
func (p *Pod) EndedUndeleted() bool { return p.Failed.Known() && !p.Released() }

// observeEnded dates the end of a pod that was to stay: by the news of it, or, where the pod
// had ended before the watcher came, by what its status says of its last container.
func (p *Pod) observeEnded(o stream.Observation, in *corev1.Pod) {
	p.Failed, p.FailedBy = evidence.Arrived(o.Time), evidence.NewWrite(in.ResourceVersion, o)
	if !o.Initial {
		return
	}
	if p.stillRuns() {
		p.Failed = p.abandonedAt(o)
		p.FailedBy.Arrival = p.Failed.At()
		return
	}
	var last time.Time
	for _, container := range p.Containers {
		if r := container.lastRun(); r != nil && r.Over() && !r.Vanished {
			last = evidence.Latest(last, r.Finished.Earliest)
		}
	}
	for _, c := range in.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue && (c.Reason == "PodFailed" || c.Reason == "PodCompleted") {
			last = evidence.Latest(last, c.LastTransitionTime.Time)
		}
	}
	if last.IsZero() || last.After(o.Time) {
		return
	}
	p.Failed = evidence.InSecond(last, time.Time{})
	p.FailedBy = evidence.Write{Arrival: last}
}

// stillRuns reports whether a container of the pod runs, by what its status said last.
func (p *Pod) stillRuns() bool {
	return slices.ContainsFunc(p.Containers, func(container *Container) bool {
		r := container.lastRun()
		return r != nil && r.Started.Known() && !r.Over()
	})
}

// abandonedAt dates the end of a pod of which a container still runs by its status. A kubelet ends a
// pod with its last container. The garbage collector of pods gives up those of whose kubelet nobody
// hears, and writes no more than their phase (k8s.io/kubernetes/pkg/controller/podgc): they have ended
// with the news of that. Of one that had ended before the watcher came the condition DisruptionTarget
// says when.
func (p *Pod) abandonedAt(o stream.Observation) evidence.Moment {
	since := p.lastStart()
	switch {
	case !o.Initial:
		return evidence.Arrived(o.Time)
	case p.Disrupted.Known() && !p.Disrupted.Earliest.Before(since):
		return p.Disrupted
	}
	p.DoubtArrival(stream.Doubt{At: o.Time, Earliest: since, Latest: o.Time})
	return evidence.Arrived(o.Time)
}

// AnnouncesEnd reports whether an Event is the first word of the kubelet that it ends the pod.
func AnnouncesEnd(ev *Event) bool {
	return ev.Container == "" && KubeletEnds(ev.Reason)
}

// announced is when the kubelet said that it ends the pod, no later than by; else by. What
// it said before it last started one of the containers was not about that.
func (p *Pod) announced(by time.Time) time.Time {
	since := p.lastStart()
	for _, ev := range p.Events {
		stops := ev.Reason == ReasonKilling && ev.Container != ""
		if !stops && !AnnouncesEnd(ev) {
			continue
		}
		for _, o := range ev.Occurrences {
			if stops && !strings.Contains(o.Message, StoppingWords) || o.At.Before(since) {
				continue
			}
			by = evidence.Earliest(by, o.At)
		}
	}
	// The condition says so to the second, the Events to the nanosecond.
	if at := p.Disrupted; at.Known() && !at.Earliest.Before(since) && !by.Before(at.Earliest.Add(time.Second)) {
		by = evidence.Earliest(by, at.At())
	}
	return by
}

// lastStart is when a container of the pod was started for the last time, to the second.
func (p *Pod) lastStart() time.Time {
	last := p.Created.Earliest
	for _, container := range p.Containers {
		if r := container.lastRun(); r != nil {
			last = evidence.Latest(last, r.Started.Earliest)
		}
	}
	return last
}

// EndBegan is when the end of a pod began that was to stay and has ended: when the kubelet
// said so, or the first container ended that was not started again.
func (p *Pod) EndBegan() time.Time {
	began := p.announced(p.Failed.At())
	for _, container := range p.Containers {
		if r := container.lastRun(); r != nil && r.Over() && p.endedWith(container, r) {
			began = evidence.Earliest(began, r.Finished.At())
		}
	}
	return began
}

// GivenUpAt is from when on nobody starts the containers of a lost pod again.
func (p *Pod) GivenUpAt() time.Time {
	switch {
	case p.EndedUndeleted():
		return p.EndBegan()
	case p.Mirrors != "":
		return p.StopAsked(time.Time{})
	default:
		return p.LostAt().At()
	}
}

// endedWith reports whether a run was ended with its pod, which was to stay. A container
// that had ended by itself would have been started again, or backed off from.
func (p *Pod) endedWith(container *Container, r *Run) bool {
	if container.ranAfter(r) {
		return false
	}
	end, asked := r.Finished.At(), p.announced(p.Failed.At())
	if asked.Before(p.Failed.At()) {
		_, killed := p.killed(container, r)
		if killed {
			asked = asked.Add(-clockSlack)
		}
		return !end.Before(asked.Truncate(time.Second))
	}
	if !r.Seen.Before(p.FailedBy.Arrival) {
		return true
	}
	return !container.WaitedAfter(r) && !end.Before(asked.Add(-container.longestKill-clockSlack))
}

// endedFor is the reason for which the kubelet ended a pod, if it had said that it does before a run
// of one of the pod's containers ended: "Evicted". It is "" if nothing says so.
func (p *Pod) endedFor(container *Container, r *Run) string {
	ended := p.Failed.At()
	if p.Finite && p.Phase == PodFailed {
		ended = p.Finished.At()
	}
	if ended.IsZero() || p.Released() || container.ranAfter(r) {
		return ""
	}
	if asked := p.announced(ended); !asked.Before(ended) || r.Finished.At().Before(asked.Truncate(time.Second)) {
		return ""
	}
	return p.Reason
}

// WaitedAfter reports whether the container was seen to wait, since a run had ended.
func (c *Container) WaitedAfter(r *Run) bool {
	n := len(c.Waits)
	return n > 0 && !c.Waits[n-1].from.At().Before(r.Finished.Earliest)
}

// StopFrom is from when on what the kubelet does about a container is part of the pod's stop.
func (p *Pod) StopFrom() time.Time {
	if p.EndedUndeleted() {
		return p.EndBegan().Truncate(time.Second)
	}
	if p.Mirrors != "" {
		return p.announced(p.DeleteAsked.At()).Truncate(time.Second) // the mirror goes last
	}
	return p.DeleteAsked.Earliest
}

// BeingEnded reports whether the kubelet has said that it ends the pod, which has neither
// ended nor been deleted so far. It has given up, or not meant it, if that takes longer than
// the pod was given and it takes to say so.
func (p *Pod) BeingEnded(now time.Time) bool {
	if p.Lost() || p.Finite || p.Gone.Known() {
		return false
	}
	said := p.announced(now)
	if !said.Before(now) {
		return false
	}
	return now.Before(said.Add(p.longestKill() + statusPeriod))
}

// statusPeriod is how long the kubelet may take to report what it did: it reconciles the
// statuses of pods every ten seconds, and the node's every ten more
// (k8s.io/kubernetes/pkg/kubelet/status: syncPeriod).
const statusPeriod = 30 * time.Second

// Admitted reports whether a pod that ended had been admitted by its kubelet, going by what
// its status gives as the reason. One that was refused has not run
// (k8s.io/kubernetes/pkg/kubelet: rejectPod, eviction, nodeshutdown).
func Admitted(reason, message string) bool {
	switch reason {
	case reasonEvicted, reasonPreempting, "Terminated", "Shutdown", "NodeLost":
		return !strings.Contains(message, "was rejected") && !strings.Contains(message, "had condition: [")
	}
	return false
}
