package snapshots

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

const (
	// shortestReported is how long a run must last so that the kubelet, which looks at the
	// runtime once a second (the PLEG's relist period), reports it while it lasts.
	shortestReported = 2 * time.Second
	// statusSlack is how long after its pods were Ready a workload may report that it is
	// complete: the kubelet may write the statuses of pods that late (syncPeriod of
	// k8s.io/kubernetes/pkg/kubelet/status).
	statusSlack = 10 * time.Second
	// batchSlack is how long after one pod a controller makes the next that waits for nothing.
	// It makes them at the rate to which its client is limited.
	batchSlack = 5 * time.Second
	// nextSlack is how long after a pod is available, and the old one gone, a controller makes
	// the next: it may be busy.
	nextSlack = 10 * time.Second
)

// learnReady works out when a pod was Ready for the first time. Its condition states the
// latest transition, which need not be that one: a container may have been restarted, a probe
// may have failed, or the node may have been away since. Then the pod was Ready when its
// containers had started for the first time, if nothing probes them; else nothing tells
// when, nor, strictly, whether.
func (pod *snapshotPod) learnReady(events *podEvents) {
	i := slices.IndexFunc(pod.final.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if i < 0 {
		return
	}
	c := &pod.final.Status.Conditions[i]
	latest := c.LastTransitionTime.Time
	isReady := c.Status == corev1.ConditionTrue
	if latest.IsZero() || !isReady && !pod.lostReadiness(latest) {
		return
	}
	probed := podlife.IsProbed(&pod.final.Spec)
	pod.readyUntil = latest
	pod.dateReady(latest, isReady, probed, events)
	pod.doubtReady(latest, probed, events)
	if first := pod.ready; !first.IsZero() && !first.Equal(latest) {
		pod.learn(first, func(to *corev1.Pod) { setCondition(to, readySince(first)) }).isReady = true
	}
	if !pod.ready.Equal(latest) {
		pod.learnEnds(latest, probed, events)
	}
	if !isReady {
		// It was Ready until then, so since that run had started.
		lost := *c
		if last := pod.runBefore(latest); last.After(evidence.Latest(pod.ready, pod.readyFrom)) {
			pod.learn(last, func(to *corev1.Pod) { setCondition(to, readySince(last)) })
			if probed {
				pod.doubt(stream.Doubt{At: last, Earliest: last, Latest: latest, Of: stream.DoubtOfReady})
			}
		}
		pod.learn(latest, func(to *corev1.Pod) { setCondition(to, lost) })
	}
}

// dateReady finds when a pod was Ready for the first time, of which the latest transition is
// known, or since when it may have been.
func (pod *snapshotPod) dateReady(latest time.Time, isReady, probed bool, events *podEvents) {
	restarted := slices.ContainsFunc(pod.final.Status.ContainerStatuses, podlife.HasRestarted)
	inTime := isReady && !latest.After(pod.born.Add(podlife.SlowestStart))
	started, known := pod.firstStarted(events)
	if !known {
		pod.readyFrom = pod.born
		return
	}
	if restarted {
		started = pod.startedAfter(started, neverReady(events, latest))
	}
	pod.started = started
	lasted := probed && restarted && pod.firstRunsLasted()
	switch {
	case !probed && (!restarted || pod.firstRunsReported()):
		pod.ready = started
		if isReady && !restarted && !latest.After(started.Add(podlife.ReadyReport)) && len(probeFailures(events.all)) == 0 {
			pod.ready = latest
		}
	case inTime && !lasted && !pod.failedAfterPassing(started, events):
		pod.ready = latest
	default:
		pod.readyFrom = evidence.Latest(started, unreadyUntil(&pod.final.Spec, started, events.all))
	}
}

// doubtReady says how well it is known when the pod was Ready for the first time. The condition
// states the latest of several changes, of which nothing need tell.
func (pod *snapshotPod) doubtReady(latest time.Time, probed bool, events *podEvents) {
	from := evidence.Latest(pod.born, pod.started)
	switch {
	case pod.ready.IsZero(), probed && pod.ready.Equal(latest) && pod.isFirst(latest, events):
	case probed:
		pod.doubt(stream.Doubt{At: pod.ready, Earliest: from, Latest: latest, Of: stream.DoubtOfReady, Stated: true})
	case !pod.ready.Equal(latest):
		pod.doubt(stream.Doubt{At: pod.ready, Earliest: from, Latest: evidence.Earliest(latest, from.Add(podlife.ReadyReport)), Of: stream.DoubtOfReady})
	}
}

// isFirst reports whether the Events of a pod that is Ready since a time, all of which are
// there, show that it had not been before: no container was restarted, its node was not away,
// and its readiness probe has failed at each try since the start, or at none. Nothing shows how often it did
// where an Event stands for several: others may have been of other probes.
func (pod *snapshotPod) isFirst(ready time.Time, events *podEvents) bool {
	if slices.ContainsFunc(pod.final.Status.ContainerStatuses, podlife.HasRestarted) || len(pod.final.Spec.ReadinessGates) > 0 {
		return false
	}
	for i := range pod.final.Status.ContainerStatuses {
		if events.firstStart(pod.final.Status.ContainerStatuses[i].Name, 1).IsZero() {
			return false
		}
	}
	if slices.ContainsFunc(events.all, func(ev *snapshotEvent) bool {
		return ev.Reason == "NodeNotReady" || ev.Reason == "Unhealthy" && ev.combined()
	}) {
		return false
	}
	failed := probeFailures(events.all)
	if len(failed) == 0 {
		return true
	}
	probes, every := readinessProbes(&pod.final.Spec)
	n, last := int32(0), time.Time{}
	for _, ev := range failed {
		n, last = n+max(ev.Count, 1), evidence.Latest(last, ev.last())
	}
	first := failed[0].first
	atEach := last.Sub(first) < time.Duration(n)*every-every/2
	return probes == 1 && atEach && !first.After(firstFailures(&pod.final.Spec, pod.started)) && ready.Sub(last) < 2*every
}

// readinessProbes counts the readiness probes of a pod, and says how often the last is tried.
func readinessProbes(spec *corev1.PodSpec) (n int, every time.Duration) {
	for i := range spec.Containers {
		if p := spec.Containers[i].ReadinessProbe; p != nil {
			n, every = n+1, podlife.ProbePeriod(p)
		}
	}
	return n, every
}

// neverReady is when a run of a container was given up for the last time that had not been Ready:
// its postStart hook had failed, or its startup probe. That was before the pod's condition was last
// changed; what was given up later, was after it had been Ready. It is zero if nothing tells of any.
func neverReady(events *podEvents, until time.Time) (last time.Time) {
	for _, ev := range events.all {
		if ev.Reason == "FailedPostStartHook" || ev.Reason == "Unhealthy" && strings.HasPrefix(stream.EventWords(ev.Message), "Startup probe failed") {
			for _, at := range ev.spoken() {
				if !at.After(until) {
					last = evidence.Latest(last, at)
				}
			}
		}
	}
	return last
}

// startedAfter is when the pod's containers had started that started at a time, and of which one
// was given up at another: when one was started after that.
func (pod *snapshotPod) startedAfter(started, givenUp time.Time) time.Time {
	if !givenUp.After(started) {
		return started
	}
	var next time.Time
	for i := range pod.final.Status.ContainerStatuses {
		s := &pod.final.Status.ContainerStatuses[i]
		for _, state := range []corev1.ContainerState{s.LastTerminationState, s.State} {
			if started := startOf(state); started.After(givenUp) {
				next = evidence.Earliest(next, started)
			}
		}
	}
	return evidence.Latest(givenUp, next)
}

// startOf is when the run had started that a state is of; zero if it is of none.
func startOf(state corev1.ContainerState) time.Time {
	switch {
	case state.Running != nil:
		return state.Running.StartedAt.Time
	case state.Terminated != nil:
		return state.Terminated.StartedAt.Time
	}
	return time.Time{}
}

// learnEnds dates the times at which a pod was not Ready before a transition, as a container
// of it did not run, and the runs between which made it Ready.
func (pod *snapshotPod) learnEnds(until time.Time, probed bool, events *podEvents) {
	restarted := 0
	for _, s := range kube.ContainerStatuses(pod.final) {
		if podlife.HasRestarted(*s) {
			restarted++
		}
	}
	for _, s := range kube.ContainerStatuses(pod.final) {
		t := s.LastTerminationState.Terminated
		if t != nil && t.FinishedAt.IsZero() && restarted > 1 { // it has vanished
			pod.doubt(stream.Doubt{At: until, Earliest: pod.othersRunSince(until), Latest: until})
		}
		if t == nil || t.FinishedAt.IsZero() || !t.FinishedAt.Time.Before(until) || !t.FinishedAt.After(pod.ready) {
			continue
		}
		reported := t.FinishedAt.Sub(t.StartedAt.Time) >= shortestReported
		if started := t.StartedAt.Time; !probed && restarted == 1 && reported && started.After(evidence.Latest(pod.ready, pod.readyFrom)) {
			pod.learn(started, func(to *corev1.Pod) { setCondition(to, readySince(started)) })
		}
		if again := startOf(s.State); again.After(t.FinishedAt.Time) && pod.endedBetween(again, until) {
			// As another container ended later, the latest transition is not of this one.
			pod.learn(again, func(to *corev1.Pod) { setCondition(to, readySince(again)) })
			pod.doubt(stream.Doubt{At: again, Earliest: again, Latest: until, Of: stream.DoubtOfReady})
		}
		pod.unready = evidence.Earliest(pod.unready, t.FinishedAt.Time)
		pod.doubtUnready(t.FinishedAt.Time, events)
		ended := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: t.FinishedAt}
		pod.learn(t.FinishedAt.Time, func(to *corev1.Pod) { setCondition(to, ended) })
	}
}

// endedBetween reports whether a run of a container ended between two times.
func (pod *snapshotPod) endedBetween(from, until time.Time) bool {
	return slices.ContainsFunc(kube.ContainerStatuses(pod.final), func(s *corev1.ContainerStatus) bool {
		t := s.LastTerminationState.Terminated
		return t != nil && t.FinishedAt.After(from) && t.FinishedAt.Time.Before(until)
	})
}

// availableAt is when a pod that was Ready was available: it had been Ready for as long as its
// workload asks for.
func (pod *snapshotPod) availableAt(minReady time.Duration) time.Time {
	at := pod.ready.Add(minReady)
	if !pod.unready.IsZero() && pod.unready.Before(at) && pod.readyUntil.After(pod.unready) {
		return pod.readyUntil.Add(minReady)
	}
	return at
}

// doubtUnready says of the end of a run, by which a pod was not Ready, that a probe may have made it
// so before.
func (pod *snapshotPod) doubtUnready(at time.Time, events *podEvents) {
	for _, ev := range probeFailures(events.all) {
		if ev.first.After(pod.ready) && ev.first.Before(at) {
			pod.doubt(stream.Doubt{At: at, Earliest: ev.first, Latest: at, Of: stream.DoubtOfUnready})
			return
		}
	}
}

// othersRunSince is when the last of the containers had started that run, as far as that was
// before a time.
func (pod *snapshotPod) othersRunSince(before time.Time) time.Time {
	last := pod.born
	for i := range pod.final.Status.ContainerStatuses {
		if r := pod.final.Status.ContainerStatuses[i].State.Running; r != nil && r.StartedAt.Time.Before(before) {
			last = evidence.Latest(last, r.StartedAt.Time)
		}
	}
	return last
}

// runBefore is when the last of the runs had started that went on at a time, or had ended by
// it; zero if one of them is not there any more.
func (pod *snapshotPod) runBefore(at time.Time) time.Time {
	var last time.Time
	for i := range pod.final.Status.ContainerStatuses {
		s := &pod.final.Status.ContainerStatuses[i]
		var started time.Time
		for _, state := range []corev1.ContainerState{s.LastTerminationState, s.State} {
			if began := startOf(state); !began.IsZero() && began.Before(at) {
				started = began
			}
		}
		if started.Unix() <= 0 {
			return time.Time{}
		}
		last = evidence.Latest(last, started)
	}
	return last
}

// readySince is the condition Ready as of a time.
func readySince(at time.Time) corev1.PodCondition {
	return corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))}
}

// lostReadiness reports whether a pod that is not Ready since a time had been before. A pod
// starts out unready, so that only one whose condition changed later than that had.
func (pod *snapshotPod) lostReadiness(since time.Time) bool {
	start := pod.final.Status.StartTime
	return start != nil && since.After(start.Add(evidence.ArrivalSlack))
}

// firstRun returns the status of a container's first run, nil if it is not there any more.
func firstRun(s *corev1.ContainerStatus) *corev1.ContainerState {
	switch {
	case s.LastTerminationState.Terminated == nil && s.RestartCount == 0:
		return &s.State
	case s.LastTerminationState.Terminated == nil:
		return nil
	case s.RestartCount == 1 && s.State.Waiting == nil, s.RestartCount == 0 && s.State.Waiting != nil:
		return &s.LastTerminationState // the count moves when the next run begins
	default:
		return nil
	}
}

// firstStarted is when the last of the pod's containers had started for the first time, as
// its statuses or the kubelet's Events say.
func (pod *snapshotPod) firstStarted(events *podEvents) (at time.Time, known bool) {
	for i := range pod.final.Status.ContainerStatuses {
		s := &pod.final.Status.ContainerStatuses[i]
		var started time.Time
		runs := s.RestartCount + 1
		switch first := firstRun(s); {
		case first == nil:
		case events.killedBefore(s):
			runs++
		case first.Running != nil:
			started = first.Running.StartedAt.Time
		case first.Terminated != nil && kube.HasStarted(first.Terminated):
			started = first.Terminated.StartedAt.Time
		}
		if started.Unix() <= 0 { // one that could not be started has the epoch
			started = events.firstStart(s.Name, runs)
		}
		if started.IsZero() {
			return time.Time{}, false
		}
		at = evidence.Latest(at, started)
	}
	// The kubelet makes a mirror anew for containers that have run for long.
	mirror := kube.MirrorOf(pod.final) != "" && at.After(pod.born.Add(podlife.SlowestStart))
	return at, !at.IsZero() && !mirror
}

// killedBefore reports whether the kubelet said of a container that it kills it before the run
// began that is the first by its status: there was another, and its status was lost.
func (evs *podEvents) killedBefore(s *corev1.ContainerStatus) bool {
	first := firstRun(s)
	if first == nil {
		return false
	}
	killed := evs.containers[s.Name].first(podlife.ReasonKilling)
	return !killed.IsZero() && killed.Before(startOf(*first))
}

// firstStart is when a container was started for the first time, if it was as often as the Events
// that are there count: the first of them may have expired.
func (evs *podEvents) firstStart(container string, times int32) time.Time {
	var first time.Time
	count := int32(0)
	for _, ev := range evs.containers[container] {
		if ev.Reason == "Started" {
			first = evidence.Earliest(first, ev.first)
			count += max(ev.Count, 1)
		}
	}
	if count < times {
		return time.Time{}
	}
	return first
}

// firstRunsReported reports whether the first runs of containers that were restarted lasted
// for long enough to have been reported.
func (pod *snapshotPod) firstRunsReported() bool {
	for i := range pod.final.Status.ContainerStatuses {
		s := &pod.final.Status.ContainerStatuses[i]
		first := firstRun(s)
		if first == nil || first.Terminated != nil && first.Terminated.FinishedAt.Sub(first.Terminated.StartedAt.Time) < shortestReported {
			return false
		}
	}
	return true
}

// firstRunsLasted reports whether the first runs of containers that were restarted went on for
// so long that the pod was Ready by their ends, or its start had been given up.
func (pod *snapshotPod) firstRunsLasted() bool {
	for i := range pod.final.Status.ContainerStatuses {
		first := firstRun(&pod.final.Status.ContainerStatuses[i])
		if first != nil && first.Terminated != nil && first.Terminated.FinishedAt.Sub(first.Terminated.StartedAt.Time) < podlife.SlowestStart {
			return false
		}
	}
	return true
}

// probeFailures are the Events about failed readiness probes of a pod, in order.
func probeFailures(events []*snapshotEvent) []*snapshotEvent {
	var out []*snapshotEvent
	for _, ev := range events {
		if ev.Reason == "Unhealthy" && podlife.IsReadinessFailure(ev.Message) && !ev.combined() && !ev.first.IsZero() {
			out = append(out, ev)
		}
	}
	return out
}

// firstFailures is until when a readiness probe that fails from a container's start on has
// failed for the first time: three periods after it begins.
func firstFailures(spec *corev1.PodSpec, started time.Time) time.Time {
	until := started
	if len(spec.Containers) == 0 { // nothing tells what made the pod
		until = started.Add(3 * podlife.ProbePeriod(&corev1.Probe{}))
	}
	for i := range spec.Containers {
		if p := spec.Containers[i].ReadinessProbe; p != nil {
			until = evidence.Latest(until, started.Add(time.Duration(max(p.InitialDelaySeconds, 0))*time.Second+3*podlife.ProbePeriod(p)))
		}
	}
	return until
}

// failedAfterPassing reports whether the readiness probe failed for the first time long after
// the pod's containers had started: it had passed before that.
func (pod *snapshotPod) failedAfterPassing(started time.Time, events *podEvents) bool {
	failed := probeFailures(events.all)
	return len(failed) > 0 && !events.containersFirst("Started").IsZero() && failed[0].first.After(firstFailures(&pod.final.Spec, started))
}

// containersFirst is when an Event about any container was for the first time.
func (evs *podEvents) containersFirst(reason string) (at time.Time) {
	for _, list := range evs.containers {
		at = evidence.Earliest(at, list.first(reason))
	}
	return at
}

// unreadyUntil is until when a pod is known not to have been Ready after its containers had
// started: its readiness probe failed then; zero if nothing tells.
func unreadyUntil(spec *corev1.PodSpec, started time.Time, events []*snapshotEvent) time.Time {
	until := firstFailures(spec, started)
	for _, ev := range probeFailures(events) {
		if !ev.first.Before(started) && !ev.first.After(until) {
			return ev.first
		}
	}
	return time.Time{}
}

// concludeUnknown marks a pod of which nothing tells when, or whether, it was Ready.
func (pod *snapshotPod) concludeUnknown(end time.Time) {
	if !pod.ready.IsZero() || pod.readyFrom.IsZero() {
		return
	}
	until := evidence.Earliest(pod.readyUntil, pod.asked, end)
	pod.doubt(stream.Doubt{At: pod.readyFrom, Earliest: pod.readyFrom, Latest: until, Of: stream.DoubtOfReady})
	unknown := readySince(pod.readyFrom)
	unknown.Reason = podlife.ReadinessUnknown
	pod.learn(pod.readyFrom, func(to *corev1.Pod) { setCondition(to, unknown) })
}
