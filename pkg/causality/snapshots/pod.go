package snapshots

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// snapshotPod is what a snapshot proves of a pod's life.
type snapshotPod struct {
	uid   types.UID
	name  string
	owner types.UID
	// final is its state in the snapshot; nil if it was gone by then.
	final *corev1.Pod
	// start is its state when it was created.
	start *corev1.Pod
	facts []fact
	// newest is when the last of the facts was.
	newest time.Time

	// born is zero if it is not known. An exact time is known better than to
	// the second.
	born, asked           time.Time
	bornExact, askedExact bool
	// askedKnown says of a pod that is gone that something tells when it was asked to go, and askedHeard of
	// any that whoever carried that out does, and nobody else.
	askedKnown, askedHeard bool
	// ready is when it was Ready for the first time. If it is zero, and readyFrom is not,
	// nothing tells whether it was at some time since then.
	ready, readyFrom time.Time
	// readyUntil is until when it was Ready for the first time, if that is known of one of
	// which readyFrom is all else that is known.
	readyUntil time.Time
	// unready is when it was not Ready any more, once it had been, and before it was again since
	// readyUntil; zero if nothing tells.
	unready time.Time
	// readyBy is when it had been Ready at some time, if that is known though ready is not.
	readyBy time.Time
	// started is when all of its containers had started for the first time, if it is known.
	started time.Time
	// removed says that its ReplicaSet deleted it, rather than somebody else.
	removed bool
	// doubts are of its times that are known worse than to the second.
	doubts []stream.Doubt
	// troubled says that it failed at something before it was Ready.
	troubled bool
	// gone is when it was gone, as far as that is known, and lastSign when it was last known to be
	// there, if that is another time.
	gone, lastSign time.Time
}

// learn notes a fact, which is returned until the next one is noted.
func (pod *snapshotPod) learn(at time.Time, apply func(*corev1.Pod)) *fact {
	pod.facts = append(pod.facts, fact{at: at, apply: apply})
	pod.newest = evidence.Latest(pod.newest, at)
	return &pod.facts[len(pod.facts)-1]
}

// learnDeletion notes when the pod was asked to go.
func (pod *snapshotPod) learnDeletion(due *metav1.Time, grace *int64) {
	pod.learn(pod.asked, func(to *corev1.Pod) {
		to.DeletionTimestamp, to.DeletionGracePeriodSeconds = due, grace
	}).deletes = true
}

// alive reports whether the pod was there, and not being deleted.
func (pod *snapshotPod) alive(at time.Time) bool {
	return !pod.born.After(at) && (pod.asked.IsZero() || pod.asked.After(at))
}

// livePod reads the life of a pod from its state.
func (snap *snapshot) livePod(in *corev1.Pod) *snapshotPod {
	pod := &snapshotPod{uid: in.UID, name: in.Name, owner: snap.controllerOf(in), final: in, start: unstarted(in)}
	events := newPodEvents(snap.eventsOf[in.UID])
	pod.born, pod.bornExact = narrowed(in.CreationTimestamp.Time, snap.createdBy(pod.owner, in.Name), events.firsts)
	if pod.boundAtOnce(events) {
		pod.start.Spec.NodeName = in.Spec.NodeName
	}
	for i := range in.Status.Conditions {
		pod.learnCondition(&in.Status.Conditions[i])
	}
	for _, s := range kube.ContainerStatuses(in) {
		pod.learnRuns(s, events)
	}
	pod.doubtInits()
	pod.doubtCreations(events, snap.end)
	pod.doubtTries(events)
	pod.doubtRefusals(events)
	pod.doubtBinding(events)
	pod.doubtEviction(events)
	pod.learnReady(events)
	pod.learnPhase(events)
	for _, s := range kube.ContainerStatuses(in) {
		if w := s.State.Waiting; w != nil && !podlife.OrdinaryWait(w.Reason) {
			pod.troubled = true
			pod.learn(pod.waitingSince(s, events, snap.end), setStatus(corev1.ContainerStatus{
				Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState, RestartCount: s.RestartCount,
			}))
		}
	}
	if in.DeletionTimestamp != nil {
		grace := kube.GraceLeft(in)
		pod.asked, pod.askedExact = narrowed(in.DeletionTimestamp.Add(-grace), snap.removal(pod.owner, in.Name))
		pod.removed = pod.askedExact
		due, seconds := in.DeletionTimestamp, in.DeletionGracePeriodSeconds
		if grace == 0 && pod.askedBefore(snap.removal(pod.owner, in.Name), events) {
			grace = graceOf(&in.Spec)
			due = new(metav1.NewTime(pod.asked.Truncate(time.Second).Add(grace)))
			seconds = new(int64(grace / time.Second))
		}
		pod.learnDeletion(due, seconds)
	}
	return pod
}

// learnPhase dates that a pod which is deleted now had ended before: with its last container, or when
// it was abandoned.
func (pod *snapshotPod) learnPhase(events *podEvents) {
	in := pod.final
	if in.DeletionTimestamp == nil || in.Status.Phase != corev1.PodFailed && in.Status.Phase != corev1.PodSucceeded {
		return
	}
	var last time.Time
	for _, s := range kube.ContainerStatuses(in) {
		if t := s.State.Terminated; t != nil && !t.FinishedAt.IsZero() {
			last = evidence.Latest(last, endOfRun(t, events))
		}
	}
	if isAbandoned(in) {
		last = pod.holdsSince(corev1.DisruptionTarget)
	}
	if !last.IsZero() {
		pod.learn(last, func(to *corev1.Pod) {
			to.Status.Phase, to.Status.Reason, to.Status.Message = in.Status.Phase, in.Status.Reason, in.Status.Message
		})
	}
}

// askedBefore dates the request to delete a pod that the kubelet has stopped: it deletes it for
// good, with no grace period, by which the API server forgets when it was asked first. Its
// controller may have said so, or the kubelet when it began; else it was at some time within
// the grace period of its spec. It reports whether it was said.
func (pod *snapshotPod) askedBefore(removal []time.Time, events *podEvents) (isSaid bool) {
	said := removal
	for _, ev := range events.all {
		if ev.stopsPod() {
			said = append(slices.Clip(said), ev.first)
		}
	}
	earliest := pod.asked.Add(-graceOf(&pod.final.Spec))
	for _, at := range said {
		// What was said long before was of another end, as that it is evicted.
		if at.Before(pod.asked) && !at.Before(pod.born) && !at.Before(earliest.Add(-statusSlack)) {
			pod.asked, pod.askedExact, isSaid = at, true, true
		}
	}
	pod.removed = pod.removed || len(removal) > 0
	pod.askedHeard = isSaid && len(removal) == 0
	if len(said) == 0 {
		pod.doubt(stream.Doubt{At: pod.asked, Earliest: evidence.Latest(earliest, pod.born), Latest: pod.asked})
	}
	return isSaid
}

// unstarted is a pod as it is created.
func unstarted(in *corev1.Pod) *corev1.Pod {
	start := &corev1.Pod{TypeMeta: in.TypeMeta, ObjectMeta: *in.ObjectMeta.DeepCopy(), Spec: in.Spec}
	start.ManagedFields = nil
	start.DeletionTimestamp, start.DeletionGracePeriodSeconds = nil, nil
	if kube.MirrorOf(in) == "" { // which is created with its node
		start.Spec.NodeName = ""
	}
	start.Status.Phase = corev1.PodPending
	return start
}

// boundAtOnce reports whether a pod was created with its node: all of its Events are there, as
// the first of each container is, and the scheduler's is not among them.
func (pod *snapshotPod) boundAtOnce(events *podEvents) bool {
	if pod.final.Spec.NodeName == "" || slices.ContainsFunc(events.all, func(ev *snapshotEvent) bool { return ev.Reason == "Scheduled" }) {
		return false
	}
	return len(pod.final.Spec.Containers) > 0 && !slices.ContainsFunc(pod.final.Spec.Containers, func(c corev1.Container) bool {
		return events.firstStart(c.Name, 1).IsZero()
	})
}

// learnCondition dates what a condition that holds, or is told apart from one
// that never held, says.
func (pod *snapshotPod) learnCondition(c *corev1.PodCondition) {
	at := c.LastTransitionTime.Time
	holds := c.Status == corev1.ConditionTrue
	if at.IsZero() || !holds && c.Type != corev1.PodScheduled {
		return
	}
	node := pod.final.Spec.NodeName
	pod.learn(at, func(to *corev1.Pod) {
		setCondition(to, *c)
		if c.Type == corev1.PodScheduled && holds {
			to.Spec.NodeName = node
		}
	}).isReady = c.Type == corev1.PodReady
}

// learnRuns dates the runs of a container: the current one, and the last that
// ended.
func (pod *snapshotPod) learnRuns(s *corev1.ContainerStatus, events *podEvents) {
	if t := s.LastTerminationState.Terminated; t != nil {
		restart := s.RestartCount - 1
		if s.State.Waiting != nil {
			restart = s.RestartCount // the count moves when the next run begins
		}
		pod.learnRun(s, t, max(restart, 0), events)
	}
	switch {
	case s.State.Terminated != nil:
		pod.learnRun(s, s.State.Terminated, s.RestartCount, events)
	case s.State.Running != nil:
		pod.learnStart(s, s.State.Running.StartedAt, s.ContainerID, s.RestartCount, events)
	}
}

func (pod *snapshotPod) learnRun(s *corev1.ContainerStatus, t *corev1.ContainerStateTerminated, restart int32, events *podEvents) {
	if t.ContainerID == "" {
		return
	}
	pod.troubled = pod.troubled || t.ExitCode != 0
	if kube.HasStarted(t) {
		pod.learnStart(s, t.StartedAt, t.ContainerID, restart, events)
	}
	if !t.FinishedAt.IsZero() {
		pod.learn(endOfRun(t, events), setStatus(corev1.ContainerStatus{
			Name: s.Name, ImageID: s.ImageID, ContainerID: t.ContainerID, RestartCount: restart,
			State: corev1.ContainerState{Terminated: t},
		})).ofRun = runEnds
		pod.doubtKilled(s, t, events)
	}
}

// precedeEnd are the reasons of what the kubelet says of a run before it has ended.
var precedeEnd = map[string]bool{"Pulled": true, "Created": true, "Started": true, podlife.ReasonKilling: true}

// endOfRun dates the end of a run. In the second in which it was started or stopped, too, it
// ended after that and before the next thing the kubelet did.
func endOfRun(t *corev1.ContainerStateTerminated, events *podEvents) time.Time {
	second := t.FinishedAt.Time
	if !second.Equal(second.Truncate(time.Second)) {
		return second // an Event's
	}
	var started, next time.Time
	for _, o := range events.within(second) {
		switch {
		case o.at.Equal(second):
		case precedeEnd[o.Reason]:
			started = evidence.Latest(started, o.at)
		case o.at.After(started) && !started.IsZero():
			next = evidence.Earliest(next, o.at)
		}
	}
	switch {
	case started.IsZero():
		return second
	case next.IsZero():
		return second.Add(time.Second - time.Nanosecond)
	default:
		return next
	}
}

func (pod *snapshotPod) learnStart(s *corev1.ContainerStatus, at metav1.Time, id string, restart int32, events *podEvents) {
	if at.IsZero() {
		return
	}
	set := setStatus(corev1.ContainerStatus{
		Name: s.Name, ImageID: s.ImageID, ContainerID: id, RestartCount: restart,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
	})
	pod.learn(startOfRun(s.Name, at.Time, events), func(to *corev1.Pod) {
		set(to)
		to.Status.Phase = corev1.PodRunning
	}).ofRun = runStarts
}

// startOfRun dates the start of a run, of which the second is stated: after what the kubelet did for it in
// that second, where no Event says that it was started.
func startOfRun(container string, second time.Time, events *podEvents) time.Time {
	at := second
	for _, o := range events.within(second) {
		switch {
		case podlife.ContainerOf(o.InvolvedObject.FieldPath) != container:
		case o.Reason == "Started":
			return second
		case o.Reason == "Pulled", o.Reason == "Created":
			at = evidence.Latest(at, o.at)
		}
	}
	return at
}

// waitingSince dates a container's waiting state, of which the API says
// nothing: by the Event about its first failure, the end of the run it backs
// off from, or else the last thing that is known to have worked.
func (pod *snapshotPod) waitingSince(s *corev1.ContainerStatus, events *podEvents, end time.Time) time.Time {
	var ended time.Time
	if t := s.LastTerminationState.Terminated; t != nil {
		ended = t.FinishedAt.Time
		if s.State.Waiting.Reason == "CrashLoopBackOff" {
			return ended
		}
	}
	for _, ev := range events.containers[s.Name] {
		if (ev.Reason == "Failed" || ev.Reason == "BackOff") && ev.first.After(ended) {
			return ev.first
		}
	}
	at := evidence.Latest(pod.born, ended, pod.newest)
	pod.doubt(stream.Doubt{At: at, Earliest: at, Latest: end})
	return at
}

// podEvents are the Events about a pod that is there, sorted for what its containers
// ask of them.
type podEvents struct {
	all        []*snapshotEvent
	firsts     []time.Time // in order
	containers map[string]containerEvents
	seconds    map[int64][]occurred // what was in each second
}

// occurred is an Event at one of the times that are known of it.
type occurred struct {
	*snapshotEvent
	at time.Time
}

func newPodEvents(events []*snapshotEvent) *podEvents {
	evs := &podEvents{all: events, containers: eventsOfContainers(events), seconds: map[int64][]occurred{}}
	for _, ev := range events {
		evs.firsts = append(evs.firsts, ev.first)
		for _, at := range ev.occurrences() {
			evs.seconds[at.Unix()] = append(evs.seconds[at.Unix()], occurred{ev, at})
		}
	}
	return evs
}

func (evs *podEvents) within(second time.Time) []occurred {
	if evs == nil {
		return nil
	}
	return evs.seconds[second.Unix()]
}

// emitPod emits a pod's life. If it began before listed, it is in the list
// then as it was.
func (snap *snapshot) emitPod(pod *snapshotPod, listed time.Time) {
	if snap.emitted[pod] {
		return
	}
	snap.emitted[pod] = true
	if !pod.gone.IsZero() && !pod.gone.After(listed) {
		return
	}
	pod.concludeUnknown(snap.end)
	if pod.born.IsZero() {
		first := firstSign(snap.eventsOf[pod.uid])
		pod.doubt(stream.Doubt{At: listed, Earliest: listed, Latest: evidence.Earliest(first, pod.readyUntil, pod.asked)})
	}
	pod.doubtBooted()
	pod.doubtAbandoned(snap.end)
	snap.doubts[pod.uid] = pod.doubts
	sortFacts(pod.facts)
	state := pod.start
	at, r := pod.born, rankPod
	if !pod.born.After(listed) {
		at, r = listed, rankListed
	}
	facts := pod.facts
	left := pod.maxStates()
	apply := func() {
		for len(facts) > 0 && !facts[0].at.After(at) {
			apart := len(facts) <= left && startsAgain(facts)
			facts[0].apply(state)
			facts = facts[1:]
			if apart {
				return
			}
		}
	}
	apply()
	snap.emit(at, r, watch.Added, pod.state(state, facts))
	for ; len(facts) > 0; left-- {
		// A state takes as many facts as it must so that those that are left suffice.
		at = facts[(len(facts)-1)/max(left, 1)].at
		apply()
		snap.emit(at, rankPod, watch.Modified, pod.state(state, facts))
	}
	if !pod.gone.IsZero() {
		snap.emit(evidence.Latest(pod.gone, at), rankPod, watch.Deleted, pod.state(state, facts))
	}
}

// Each state of a pod that is emitted holds all of its statuses. So a pod that has many
// is shown in fewer states: in statesEmitted, or as many as hold statusesEmitted statuses.
const (
	statesEmitted   = 16
	statusesEmitted = 1 << 14
)

// maxStates is in how many states, beside the first, a pod is shown at most.
func (pod *snapshotPod) maxStates() int {
	statuses := 1 + len(pod.start.Spec.InitContainers) + len(pod.start.Spec.Containers)
	if pod.final != nil {
		statuses += len(pod.final.Status.Conditions) + len(pod.final.Status.InitContainerStatuses) + len(pod.final.Status.ContainerStatuses)
	}
	return max(statesEmitted, statusesEmitted/statuses)
}

// state is a copy of a state to tell. When no more facts are to come it is
// the one of the snapshot, which says more than facts do.
func (pod *snapshotPod) state(of *corev1.Pod, more []fact) *corev1.Pod {
	if len(more) == 0 && pod.final != nil {
		of = pod.final
	}
	// The engine reads a spec and does not keep it; so one does for all.
	state := &corev1.Pod{TypeMeta: of.TypeMeta, ObjectMeta: of.ObjectMeta, Spec: of.Spec, Status: *of.Status.DeepCopy()}
	for i := range state.Status.InitContainerStatuses {
		// That it has passed its startup probe is stated, and not when: before what came next.
		state.Status.InitContainerStatuses[i].Started = nil
	}
	return state
}

func setCondition(to *corev1.Pod, c corev1.PodCondition) {
	i := slices.IndexFunc(to.Status.Conditions, func(o corev1.PodCondition) bool { return o.Type == c.Type })
	if i < 0 {
		to.Status.Conditions = append(to.Status.Conditions, c)
	} else {
		to.Status.Conditions[i] = c
	}
}

// setStatus sets a container's status; the engine finds it by its name.
func setStatus(s corev1.ContainerStatus) func(*corev1.Pod) {
	return func(to *corev1.Pod) {
		i := slices.IndexFunc(to.Status.ContainerStatuses, func(o corev1.ContainerStatus) bool { return o.Name == s.Name })
		if i < 0 {
			to.Status.ContainerStatuses = append(to.Status.ContainerStatuses, s)
		} else {
			to.Status.ContainerStatuses[i] = s
		}
	}
}
