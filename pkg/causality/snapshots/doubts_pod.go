package snapshots

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// doubtKilled says of a run that ended as those do that the kubelet stops that it may have
// begun to stop it before: nobody says so, and nothing tells whether all Events about the container
// are there. It takes a grace period at most.
func (pod *snapshotPod) doubtKilled(s *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, events *podEvents) {
	if events == nil || !podlife.MayBeKilled(t.ExitCode, t.Reason, pod.isWatched(s.Name)) {
		return
	}
	end := endOfRun(t, events)
	from := evidence.Latest(t.StartedAt.Time, end.Add(-graceOf(&pod.final.Spec)-time.Second))
	said := []time.Time{end} // by when it had begun, as far as anything tells
	for _, ev := range events.containers[s.Name] {
		for _, at := range ev.occurrences() {
			switch {
			case at.Before(from) || at.After(end.Add(time.Second)):
			case ev.Reason == podlife.ReasonKilling:
				return
			case ev.Reason == "Unhealthy" && !podlife.IsReadinessFailure(ev.Message):
				said = append(said, at)
			}
		}
	}
	for _, at := range said {
		pod.doubt(stream.Doubt{At: at, Earliest: from, Latest: end, Of: stream.DoubtOfKill, Container: s.Name})
	}
}

// isWatched reports whether a probe may have the kubelet stop a container.
func (pod *snapshotPod) isWatched(container string) bool {
	for _, containers := range [][]corev1.Container{pod.final.Spec.InitContainers, pod.final.Spec.Containers} {
		for i := range containers {
			if c := &containers[i]; c.Name == container {
				return c.LivenessProbe != nil || c.StartupProbe != nil
			}
		}
	}
	return false
}

// doubtCreations says of the containers of which no Events are there that the kubelet may have
// begun to start them later than it could: it may have pulled the image first, or started others.
func (pod *snapshotPod) doubtCreations(events *podEvents, end time.Time) {
	// As the pod's sandbox is there, or all that comes before.
	could := evidence.Latest(pod.holdsSince(corev1.PodScheduled), pod.holdsSince(corev1.PodReadyToStartContainers))
	before := could
	for i, s := range kube.ContainerStatuses(pod.final) {
		started := startOf(s.State)
		if first := firstRun(s); first != nil {
			started = startOf(*first)
		}
		if s.State.Waiting != nil && !podlife.HasRestarted(*s) {
			started = end
		}
		if started.Unix() <= 0 {
			continue
		}
		for _, at := range []time.Time{could, before} {
			pod.doubtCreation(s.Name, at, started, events)
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
	for _, s := range kube.ContainerStatuses(pod.final) {
		if !podlife.HasRestarted(*s) {
			continue
		}
		last := evidence.Latest(pod.born, could)
		unseen := firstRun(s) == nil
		var ended time.Time // of the run before, if it is known
		for _, state := range []corev1.ContainerState{s.LastTerminationState, s.State} {
			started := startOf(state)
			if started.Unix() <= 0 {
				continue
			}
			pod.doubtCreation(s.Name, last, started, events)
			pod.doubtCreation(s.Name, ended, started, events)
			if unseen {
				if !events.tellOfTries(s.Name, last, started) {
					pod.doubt(stream.Doubt{At: last, Earliest: last, Latest: started, Of: stream.DoubtOfRun, Container: s.Name})
				}
				pod.doubtUnseen(s, started, events)
			}
			unseen = false
			if t := state.Terminated; t != nil {
				ended = t.FinishedAt.Time
				last = evidence.Latest(last, ended)
			}
		}
	}
}

// doubtUnseen says of a container of which the first run that is known is not the first one that was,
// and of which not every start has its Event, that what is told of it until then may have been otherwise:
// also when the run before had ended, but not when this one began, which the status states.
func (pod *snapshotPod) doubtUnseen(s *corev1.ContainerStatus, known time.Time, events *podEvents) {
	pod.doubtCrashes(s.Name, events.containers[s.Name])
	if !events.firstStart(s.Name, max(s.RestartCount, 1)+1).IsZero() {
		return
	}
	from := evidence.Earliest(known, evidence.Latest(pod.born, pod.holdsSince(corev1.PodScheduled)))
	pod.doubt(stream.Doubt{At: known, Earliest: from, Latest: known, Of: stream.DoubtOfRun, Container: s.Name})
	for _, ev := range events.containers[s.Name] {
		for _, at := range ev.occurrences() {
			if at.Before(known) {
				pod.doubt(stream.Doubt{At: at, Earliest: from, Latest: known, Container: s.Name})
			}
		}
	}
}

// doubtCrashes says of a container that its first run had ended before the kubelet first backed off from
// restarting it. The kubelet does not after the first crash: so there was another run in between, and
// nothing tells of that unless two starts are dated.
func (pod *snapshotPod) doubtCrashes(container string, events containerEvents) {
	backedOff := events.firstBackOff()
	var starts []time.Time
	for _, ev := range events {
		for _, at := range ev.occurrences() {
			if ev.Reason == "Started" && at.Before(backedOff) {
				starts = append(starts, at)
			}
		}
	}
	if len(starts) == 1 {
		pod.doubt(stream.Doubt{At: backedOff, Earliest: starts[0], Latest: backedOff, Of: stream.DoubtOfRun, Container: container})
	}
}

// doubtCreation says of the start of a container, for which the kubelet had nothing else to do since a time,
// that nothing tells when the image was there: the Event that does is not there.
func (pod *snapshotPod) doubtCreation(container string, since, started time.Time, events *podEvents) {
	from, until := since, started
	for _, ev := range events.containers[container] {
		for _, at := range ev.occurrences() {
			switch {
			case at.Before(since) || !at.Before(started.Add(time.Second)):
			case ev.Reason == "Pulled":
				return
			case ev.Reason == "Created":
				until = evidence.Earliest(until, at)
			case ev.Reason == "Pulling":
				from = evidence.Latest(from, at)
			}
		}
	}
	from = evidence.Earliest(from, until)
	for _, at := range []time.Time{since, from, until} {
		pod.doubt(stream.Doubt{At: at, Earliest: from, Latest: until, Of: stream.DoubtOfCreation, Container: container})
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
		if t := s.State.Terminated; t != nil && t.ExitCode == 0 && podlife.HasRestarted(*s) {
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
	if before == nil {
		return
	}
	if bound := pod.holdsSince(corev1.PodScheduled); bound.After(before.last()) {
		pod.doubt(stream.Doubt{At: bound, Earliest: before.last(), Latest: bound, Of: stream.DoubtOfReason})
	}
	for _, ev := range events.all {
		if ev.Reason == "Scheduled" {
			pod.doubt(stream.Doubt{At: ev.first, Earliest: evidence.Earliest(before.last(), ev.first), Latest: ev.first, Of: stream.DoubtOfReason})
		}
	}
}

// learnBound dates that a pod was bound of which only Events tell, and none that: its kubelet was at it by then.
// One whose kubelet speaks of nothing but its end had run for long, and the time of that is no sign of its start.
func (pod *snapshotPod) learnBound(made *maker, events []*snapshotEvent) {
	i := slices.IndexFunc(events, func(ev *snapshotEvent) bool { return ev.Source.Host != "" && !ev.first.IsZero() })
	if len(pod.facts) > 0 || i < 0 {
		return
	}
	at, node := events[i].first, events[i].Source.Host
	if pod.born.IsZero() && events[i].stopsPod() {
		at = pod.madeFrom(made)
	}
	pod.learn(at, func(to *corev1.Pod) {
		setCondition(to, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))})
		to.Spec.NodeName = node
	})
	pod.doubt(stream.Doubt{At: at, Earliest: evidence.Earliest(pod.madeFrom(made), at), Latest: at, Of: stream.DoubtOfStart})
}

// doubtEviction says of a pod that its kubelet has evicted that it had begun to before its containers had
// ended: nobody says when, nor how long it gave them.
func (pod *snapshotPod) doubtEviction(events *podEvents) {
	if !podlife.KubeletEnds(pod.final.Status.Reason) || slices.ContainsFunc(events.all, func(ev *snapshotEvent) bool { return podlife.KubeletEnds(ev.Reason) || ev.stopsPod() }) {
		return
	}
	for _, s := range kube.ContainerStatuses(pod.final) {
		if t := s.State.Terminated; t != nil && kube.HasStarted(t) {
			pod.doubt(stream.Doubt{At: endOfRun(t, events), Earliest: t.StartedAt.Time, Latest: endOfRun(t, events)})
		}
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
