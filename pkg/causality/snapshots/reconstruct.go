package snapshots

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// History is what a snapshot of a cluster, such as a support bundle, still
// proves of the time before it.
type History struct {
	// Observations are what a watcher would have seen, as far as it is proven,
	// in order. An Engine takes them like any others.
	Observations []stream.Observation
	// End is when the snapshot was taken: the newest time that anything in it
	// states. The engine is to be advanced to it before it is flushed.
	End time.Time
	// Earlier is how many rollouts are dated but began before the time asked
	// for.
	Earlier int
	// Undated is how many rollouts happened, as their revisions prove, without
	// anything to tell when.
	Undated int
	// Cleaned is how many workloads and pods do not say when they were created, as the API server
	// does: something has removed it, and nothing is told of them.
	Cleaned int
	// Unproven are the Deployments with steps that Events do not account for, one by one: a step
	// may be missing, or be another than it was.
	Unproven []types.UID
}

// Reconstruct turns the objects of one snapshot into the stream of observations
// that led there, as far as the objects and Events still prove it: a rollout
// is a revision that some ReplicaSet has or had, and it is told if something
// dates it. What began more than reach before the snapshot is left out, unless
// it is still not over.
//
// No time in it is later than now, as clocks of nodes may be wrong.
//
// The objects may be shared by the observations, but are not changed.
func Reconstruct(objects []runtime.Object, reach time.Duration, now time.Time) History {
	snap := newSnapshot(objects, now)
	snap.begin = evidence.Latest(snap.end.Add(-reach)) // no earlier than the first time there is
	for _, d := range snap.deployments {
		snap.emitDeployment(d)
	}
	for _, o := range snap.others {
		snap.emitOther(o)
	}
	for _, pod := range snap.pods {
		if !snap.emitted[pod] {
			snap.emitPod(pod, snap.begin)
		}
	}
	snap.emitEvents()
	return snap.history()
}

// snapshot is a snapshot, sorted for questions about what came before it, and the
// stream that is being made of it.
type snapshot struct {
	begin, end time.Time
	found      History // its counters

	deployments []*snapshotDeployment
	sets        map[types.UID]*snapshotSet
	others      []runtime.Object // that are told as they are
	pods        []*snapshotPod
	podsOf      map[types.UID][]*snapshotPod // by their owner
	revisionsOf map[types.UID][]*appsv1.ControllerRevision
	events      []*snapshotEvent
	eventsOf    map[types.UID][]*snapshotEvent // by the UID of their object
	reports     map[podReport][]time.Time
	names       map[kube.NameKey]types.UID
	there       map[types.UID]kube.NameKey // what the snapshot has
	makers      map[types.UID]*maker
	nodes       map[string]time.Time // when each was created, by name
	roster      roster

	emitted map[*snapshotPod]bool
	// countUnknown has the workloads of which is not known how many pods they wanted.
	countUnknown map[types.UID]bool
	// doubts are of the times of workloads and ReplicaSets that are known worse than to the second.
	doubts map[types.UID][]stream.Doubt
	stream []emission
}

// emission is an observation and where it belongs among others of its time.
type emission struct {
	stream.Observation
	rank rank
}

// rank orders observations of one instant: causes come before their effects.
type rank int

const (
	rankListed rank = iota // the state before everything
	rankBefore             // what an earlier change had led to
	rankSpec               // the write of a workload's spec
	rankSet                // what its controller wrote
	rankPod                // what became of that
	rankStatus             // and what the workload's status said
	rankEvent
)

// emit adds an observation. What nothing dates was there at the beginning.
func (snap *snapshot) emit(at time.Time, r rank, typ watch.EventType, object runtime.Object) {
	switch {
	case at.After(snap.end):
		at = snap.end
	case at.IsZero():
		at = snap.begin
		if typ == watch.Added {
			r = rankListed
		}
	}
	snap.stream = append(snap.stream, emission{stream.Observation{Time: at, Type: typ, Object: object, Initial: r == rankListed, Inferred: true}, r})
}

// history puts the stream in order and numbers its writes, so that the engine
// orders them as they were made rather than by the seconds the API states.
func (snap *snapshot) history() History {
	slices.SortStableFunc(snap.stream, func(a, b emission) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.rank, b.rank))
	})
	h := snap.found
	h.End = snap.end
	for i, t := range snap.stream {
		if _, event := t.Object.(*corev1.Event); !event {
			meta := t.Object.(metav1.Object)
			meta.SetResourceVersion(strconv.Itoa(i + 1))
			t.CountUnknown = snap.countUnknown[meta.GetUID()]
			t.Doubts = snap.doubts[meta.GetUID()]
			delete(snap.doubts, meta.GetUID()) // they are told with the first state
		}
		h.Observations = append(h.Observations, t.Observation)
	}
	return h
}

func newSnapshot(objects []runtime.Object, now time.Time) *snapshot {
	snap := &snapshot{
		sets:     map[types.UID]*snapshotSet{},
		eventsOf: map[types.UID][]*snapshotEvent{},
		reports:  map[podReport][]time.Time{},
		names:    map[kube.NameKey]types.UID{},
		there:    map[types.UID]kube.NameKey{},
		makers:   map[types.UID]*maker{},
		podsOf:   map[types.UID][]*snapshotPod{},
		nodes:    map[string]time.Time{},
		emitted:  map[*snapshotPod]bool{},

		revisionsOf:  map[types.UID][]*appsv1.ControllerRevision{},
		countUnknown: map[types.UID]bool{},
		doubts:       map[types.UID][]stream.Doubt{},
	}
	var pods []*corev1.Pod
	for _, o := range objects {
		snap.end = evidence.Latest(snap.end, kube.NewestTime(o, now))
		meta, ok := o.(metav1.Object)
		if !ok {
			continue
		}
		if ev, ok := o.(*corev1.Event); ok {
			event := newSnapshotEvent(ev)
			snap.events = append(snap.events, event)
			if !event.last().After(now) {
				snap.end = evidence.Latest(snap.end, event.last()) // better than to the second
			}
			continue
		}
		uid := meta.GetUID()
		if _, twice := snap.there[uid]; uid == "" || twice || snap.isCleaned(o, meta) {
			continue // a UID is that of one object, of which a snapshot has one state
		}
		kind, group := kube.TypeOf(o)
		key := kube.NameKey{Kind: kind, Group: group, Namespace: meta.GetNamespace(), Name: meta.GetName()}
		snap.there[uid], snap.names[key] = key, uid
		if m := newMaker(o); m != nil {
			snap.makers[uid] = m
		}
		switch in := o.(type) {
		case *appsv1.Deployment:
			snap.deployments = append(snap.deployments, newSnapshotDeployment(in))
		case *appsv1.ReplicaSet:
			snap.sets[uid] = newSnapshotSet(in)
		case *corev1.Pod:
			pods = append(pods, in)
		case *corev1.Node:
			snap.nodes[in.Name] = in.CreationTimestamp.Time
			snap.others = append(snap.others, o)
		default:
			snap.others = append(snap.others, o)
		}
	}
	switch second := snap.end.Truncate(time.Second); {
	case snap.end.IsZero():
		snap.end = now
	case snap.end.Equal(second):
		// It is in that second, behind everything that is stated to be.
		snap.end = evidence.Earliest(second.Add(time.Second-time.Nanosecond), now)
	}
	slices.SortStableFunc(snap.events, func(a, b *snapshotEvent) int { return a.first.Compare(b.first) })
	mirrors := map[types.UID]types.UID{}
	for _, in := range pods {
		mirrors[kube.MirrorOf(in)] = in.UID
	}
	delete(mirrors, "")
	for _, ev := range snap.events {
		ref := &ev.InvolvedObject
		uid := cmp.Or(mirrors[ref.UID], ref.UID, snap.names[kube.NameKey{Kind: ref.Kind, Group: kube.CustomGroup(ref.APIVersion), Namespace: ref.Namespace, Name: ref.Name}])
		if uid == "" || !snap.mayEmitEvent(ev, uid) {
			continue
		}
		snap.eventsOf[uid] = append(snap.eventsOf[uid], ev)
		snap.noteReport(ev, uid)
	}
	snap.sortReports()
	for _, in := range pods {
		snap.pods = append(snap.pods, snap.livePod(in))
	}
	snap.roster = newRoster(snap.pods, snap.makers)
	snap.pods = append(snap.pods, snap.namedPods()...)
	snap.freePlaces()
	snap.doubtGone()
	snap.connect()
	return snap
}

// mayEmitEvent reports whether an Event is about the object that has a UID: whoever
// may write Events in one namespace says nothing of what is in another.
func (snap *snapshot) mayEmitEvent(ev *snapshotEvent, uid types.UID) bool {
	ref := &ev.InvolvedObject
	if ref.Namespace != "" && ref.Namespace != ev.Namespace {
		return false
	}
	is, ok := snap.there[uid]
	return !ok || (is.Kind == ref.Kind || ref.Kind == "") && (is.Namespace == ev.Namespace || is.Namespace == "")
}

// controllerOf is the UID of what manages an object; none if the snapshot shows that
// it is of another kind or namespace than what the object refers to.
func (snap *snapshot) controllerOf(meta metav1.Object) types.UID {
	ref := kube.ControllerRef(meta)
	if is, ok := snap.there[ref.UID]; ok && (is.Kind != ref.Kind || is.Group != kube.CustomGroup(ref.APIVersion) || is.Namespace != "" && is.Namespace != meta.GetNamespace()) {
		return ""
	}
	return ref.UID
}

// noteSurplus notes which pods their controller has removed as there were to be fewer: there
// are as many as it wants, and none was made since one was deleted.
func noteSurplus(pods []*snapshotPod, wanted int32) {
	alive := int32(0)
	var last time.Time
	for _, pod := range pods {
		last = evidence.Latest(last, pod.born)
		if pod.asked.IsZero() {
			alive++
		}
	}
	for _, pod := range pods {
		if alive >= wanted && !pod.asked.IsZero() && last.Before(pod.asked) {
			pod.removed = true
		}
	}
}

// placeSuccessors moves the births of pods that are known to the second only behind the first deletion of an
// older pod of the same owner in that second: it may be what they were made for.
func placeSuccessors(pods []*snapshotPod) {
	asked := map[int64][]*snapshotPod{} // in a second
	for _, pod := range pods {
		if pod.askedExact {
			asked[pod.asked.Unix()] = append(asked[pod.asked.Unix()], pod)
		}
	}
	for _, pod := range pods {
		if pod.bornExact {
			continue
		}
		var first time.Time
		for _, other := range asked[pod.born.Unix()] {
			if other.born.Before(pod.born) && other.asked.After(pod.born) {
				first = evidence.Earliest(first, other.asked)
			}
		}
		pod.born = evidence.Latest(pod.born, first)
	}
}

// connect files pods under their ReplicaSets, and those under their
// Deployments.
func (snap *snapshot) connect() {
	for _, pod := range snap.pods {
		snap.podsOf[pod.owner] = append(snap.podsOf[pod.owner], pod)
		if set := snap.sets[pod.owner]; set != nil {
			set.pods = append(set.pods, pod)
		}
	}
	snap.dateEnds()
	for owner, pods := range snap.podsOf {
		if owner != "" {
			placeSuccessors(pods)
			snap.placeLosses(pods)
		}
	}
	owner := map[types.UID]*snapshotDeployment{}
	slices.SortFunc(snap.deployments, func(a, b *snapshotDeployment) int { return cmp.Compare(a.UID, b.UID) })
	for _, d := range snap.deployments {
		owner[d.UID] = d
	}
	sets := make([]*snapshotSet, 0, len(snap.sets))
	for _, set := range snap.sets {
		sets = append(sets, set)
	}
	slices.SortFunc(sets, func(a, b *snapshotSet) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.UID, b.UID))
	})
	for _, set := range sets {
		noteSurplus(set.pods, set.wanted())
		slices.SortFunc(set.pods, func(a, b *snapshotPod) int { return cmp.Or(a.born.Compare(b.born), cmp.Compare(a.name, b.name)) })
		if d := owner[snap.controllerOf(set)]; d != nil {
			d.sets = append(d.sets, set)
		} else {
			snap.others = append(snap.others, set.ReplicaSet)
		}
	}
	for _, o := range snap.others {
		if r, ok := o.(*appsv1.ControllerRevision); ok {
			of := snap.controllerOf(r)
			snap.revisionsOf[of] = append(snap.revisionsOf[of], r)
		}
	}
}

// snapshotEvent is an Event and when it happened, as far as it says.
type snapshotEvent struct {
	*corev1.Event
	first time.Time
	// repeats are the times known of its repetitions: in an Event, only the last.
	repeats []time.Time
}

func newSnapshotEvent(in *corev1.Event) *snapshotEvent {
	first, last := podlife.EventTimes(in, stream.Observation{Initial: true})
	ev := &snapshotEvent{Event: in, first: first}
	if last.After(first) {
		ev.repeats = []time.Time{last}
	}
	return ev
}

// last is when it happened last.
func (ev *snapshotEvent) last() time.Time {
	if n := len(ev.repeats); n > 0 {
		return ev.repeats[n-1]
	}
	return ev.first
}

// stopsPod reports whether the kubelet says that it stops a container as it ends the pod.
func (ev *snapshotEvent) stopsPod() bool {
	return ev.Reason == podlife.ReasonKilling && strings.HasPrefix(ev.Message, podlife.StoppingWords)
}

// occurrences are the times that are known.
func (ev *snapshotEvent) occurrences() []time.Time {
	return append([]time.Time{ev.first}, ev.repeats...)
}

// emitEvents emits each Event as of when it happened first and when it repeated, as
// far as known. One that nothing dates, or of before the beginning, is old news.
func (snap *snapshot) emitEvents() {
	for _, ev := range snap.events {
		r, first := rankEvent, ev.first
		switch {
		case first.IsZero():
			r, first = rankListed, snap.begin
		case ev.last().Before(snap.begin):
			r = rankListed
		}
		if len(ev.repeats) == 0 {
			snap.emit(first, r, watch.Added, ev.Event)
			continue
		}
		snap.emit(first, r, watch.Added, ev.occurrence(ev.first, 1))
		for i, at := range ev.repeats[:len(ev.repeats)-1] {
			snap.emit(at, r, watch.Modified, ev.occurrence(at, int32(i)+2)) //nolint:gosec // no Event repeats that often
		}
		snap.emit(ev.last(), r, watch.Modified, ev.Event)
	}
}

// combined reports whether it stands for several that differ in their words, of which it has the last.
func (ev *snapshotEvent) combined() bool { return stream.IsCombined(ev.Message) }

// spoken are the times that are known at which it said what it says.
func (ev *snapshotEvent) spoken() []time.Time {
	times := ev.occurrences()
	if ev.combined() {
		times = times[len(times)-1:]
	}
	return times
}

// occurrence is the Event as it was when it had happened so many times.
func (ev *snapshotEvent) occurrence(at time.Time, count int32) *corev1.Event {
	once := *ev.Event
	once.Count, once.LastTimestamp, once.Series = count, metav1.NewTime(at.Truncate(time.Second)), nil
	once.Message = stream.FirstWords(ev.Message)
	return &once
}

// narrowed dates what the API states as a whole second by the first of its
// effects that is known better; without any it is the second. Each list of effects
// is in order. What its controller said comes at once: if that was said early in the
// next second, it happened at the end of its own.
func narrowed(second time.Time, said []time.Time, effects ...[]time.Time) (at time.Time, exact bool) {
	end := second.Add(time.Second)
	for _, list := range append(effects, said) {
		if i := firstFrom(list, second); i < len(list) && list[i].Before(end) {
			at = evidence.Earliest(at, list[i])
		}
	}
	if i := firstFrom(said, end); at.IsZero() && i < len(said) && said[i].Sub(end) < reportSlack {
		return end.Add(-time.Nanosecond), true
	}
	if at.IsZero() {
		return second, false
	}
	return at, true
}

// firstFrom is the index of the first of the times, which are in order, that is not before from.
func firstFrom(times []time.Time, from time.Time) int {
	i, _ := slices.BinarySearchFunc(times, from, time.Time.Compare)
	return i
}
