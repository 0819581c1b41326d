package snapshots

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// doubtKilled says of a run that a signal ended, as the kubelet ends what it stops, that it may
// have begun to stop it before: nobody says so, and the Events about the container are not all
// there. It takes a grace period at most.
func (pod *snapshotPod) doubtKilled(s *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, restart int32, events *podEvents) {
	if events == nil || !podlife.EndedBySignal(t.ExitCode, t.Reason) {
		return
	}
	end := endOfRun(t, events)
	from := evidence.Latest(t.StartedAt.Time, end.Add(-graceOf(&pod.final.Spec)-time.Second))
	isLost := events.firstStart(s.Name, restart+1).IsZero()
	for _, ev := range events.containers[s.Name] {
		switch {
		case ev.Reason == podlife.ReasonKilling && slices.ContainsFunc(ev.occurrences(), func(at time.Time) bool { return !at.Before(from) && !at.After(end.Add(time.Second)) }):
			return
		case ev.Reason == "Unhealthy" && int(ev.Count) > len(ev.occurrences()) && !ev.first.After(end) && ev.last().After(from):
			isLost = true // of what repeats, only the first time and the last are stated
		}
	}
	if isLost {
		pod.doubt(stream.Doubt{At: end, Earliest: from, Latest: end, Of: stream.DoubtOfKill, Container: s.Name})
	}
}

// doubtCreations says of the containers of which no Events are there that the kubelet may have
// begun to start them later than it could: it may have pulled the image first, or started others.
func (pod *snapshotPod) doubtCreations(events *podEvents) {
	// As the pod's sandbox is there, or all that comes before.
	could := evidence.Latest(pod.holdsSince(corev1.PodScheduled), pod.holdsSince(corev1.PodReadyToStartContainers))
	before := could
	for i, s := range containerStatuses(pod.final) {
		started := startOf(s.State)
		if first := firstRun(s); first != nil {
			started = startOf(*first)
		}
		if started.Unix() <= 0 {
			continue
		}
		if len(events.containers[s.Name]) == 0 {
			for _, at := range []time.Time{could, before} {
				pod.doubt(stream.Doubt{At: at, Earliest: at, Latest: started, Of: stream.DoubtOfCreation, Container: s.Name})
			}
		}
		if i < len(pod.final.Status.InitContainerStatuses) {
			before = evidence.Latest(before, started)
			if t := s.State.Terminated; t != nil {
				before = evidence.Latest(before, t.FinishedAt.Time)
			}
		}
	}
}

// holdsSince is since when a condition of the pod is True; zero if it is not, as that of the sandbox is
// when the pod has ended.
func (pod *snapshotPod) holdsSince(kind corev1.PodConditionType) (at time.Time) {
	for i := range pod.final.Status.Conditions {
		if c := &pod.final.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			at = c.LastTransitionTime.Time
		}
	}
	return at
}

// doubtTries says of the containers that were started again, and of which no Event tells between a run
// and the next, that the kubelet may have begun to start them before: it may have pulled the image
// first. Of runs that were before the last one that is known, nothing is known: neither when they
// ended, nor since when it was backed off.
func (pod *snapshotPod) doubtTries(events *podEvents) {
	could := pod.holdsSince(corev1.PodReadyToStartContainers) // as the pod's sandbox is there
	for _, s := range containerStatuses(pod.final) {
		if !hasRestarted(*s) {
			continue
		}
		last := evidence.Latest(pod.born, could)
		unseen := firstRun(s) == nil
		for _, state := range []corev1.ContainerState{s.LastTerminationState, s.State} {
			started := startOf(state)
			if started.Unix() <= 0 {
				continue
			}
			if !events.tellOfTries(s.Name, last, started) {
				pod.doubt(stream.Doubt{At: started, Earliest: last, Latest: started, Of: stream.DoubtOfCreation, Container: s.Name})
				if unseen {
					pod.doubt(stream.Doubt{At: last, Earliest: last, Latest: started, Of: stream.DoubtOfRun, Container: s.Name})
				}
			}
			unseen = false
			if t := state.Terminated; t != nil {
				last = evidence.Latest(last, t.FinishedAt.Time)
			}
		}
	}
}

// tellOfTries reports whether Events tell what the kubelet did for a container between two times.
func (evs *podEvents) tellOfTries(container string, from, until time.Time) bool {
	return slices.ContainsFunc(evs.containers[container], func(ev *snapshotEvent) bool {
		return slices.ContainsFunc(ev.occurrences(), func(at time.Time) bool { return !at.Before(from) && at.Before(until.Add(time.Second)) })
	})
}

// doubtInits says of the ends of init containers that ran again, as all containers of the pod did,
// that they had ended before: nothing tells when.
func (pod *snapshotPod) doubtInits() {
	for i := range pod.final.Status.InitContainerStatuses {
		s := &pod.final.Status.InitContainerStatuses[i]
		if t := s.State.Terminated; t != nil && t.ExitCode == 0 && hasRestarted(*s) {
			pod.doubt(stream.Doubt{At: t.FinishedAt.Time, Earliest: pod.born, Latest: t.FinishedAt.Time})
		}
	}
}

// doubtRefusals says of the time at which the scheduler gave another reason than before that the
// reason before may have ended earlier: the status, which is overwritten, may have had others.
func (pod *snapshotPod) doubtRefusals(events *podEvents) {
	var before *snapshotEvent
	for _, ev := range events.all {
		if ev.Reason != "FailedScheduling" || ev.first.IsZero() {
			continue
		}
		if before != nil {
			pod.doubt(stream.Doubt{At: ev.first, Earliest: evidence.Earliest(before.last(), ev.first), Latest: ev.first, Of: stream.DoubtOfReason})
		}
		before = ev
	}
}

// doubtBinding says of a pod whose scheduler says nothing that it may have been created with its
// node: then the condition states when the kubelet first wrote the pod's status.
func (pod *snapshotPod) doubtBinding(events *podEvents) {
	in := pod.final
	start := in.Status.StartTime
	if start == nil || kube.MirrorOf(in) != "" || slices.ContainsFunc(events.all, func(ev *snapshotEvent) bool { return ev.Reason == "Scheduled" || ev.Reason == "FailedScheduling" }) {
		return
	}
	if bound := pod.holdsSince(corev1.PodScheduled); !bound.IsZero() && !bound.Before(start.Time) {
		pod.doubt(stream.Doubt{At: bound, Earliest: pod.born, Latest: bound})
	}
}
