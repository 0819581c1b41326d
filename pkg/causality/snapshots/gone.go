package snapshots

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// namedPods are the pods that are not in the snapshot but of which Events tell, with their UID: they
// are gone, or whoever took it left them out. What their containers were follows from the
// template of the object that made them.
func (snap *snapshot) namedPods() []*snapshotPod {
	var out []*snapshotPod
	known := map[types.UID]bool{}
	for _, ev := range snap.events {
		ref := ev.InvolvedObject
		_, there := snap.there[ref.UID]
		if ref.Kind != kube.KindPod || there || known[ref.UID] || len(snap.eventsOf[ref.UID]) == 0 {
			continue
		}
		known[ref.UID] = true
		if maker := snap.makerOf(ref.Namespace, ref.Name); maker != nil {
			out = append(out, snap.namedPod(maker, ref.UID, ref.Name, snap.isGone(maker, ref.UID, ref.Name)))
		}
	}
	return out
}

// maybeUnlisted reports whether a pod of which only Events tell may be there: nobody says that it
// stops, and all that is said of it is so new that pods may have been listed before it was made.
// A snapshot is taken kind by kind.
func (snap *snapshot) maybeUnlisted(uid types.UID) bool {
	return !slices.ContainsFunc(snap.eventsOf[uid], func(ev *snapshotEvent) bool {
		return ev.Reason == podlife.ReasonKilling || ev.first.Before(snap.end.Add(-statusSlack))
	})
}

// maker is an object that makes pods.
type maker struct {
	schema.GroupVersionKind
	metav1.Object
	spec corev1.PodSpec
	// placeOf is the place of each container in the order in which they start.
	placeOf map[string]int
}

// places returns placeOf, made when it is asked for the first time.
func (m *maker) places() map[string]int {
	if m.placeOf == nil {
		m.placeOf = map[string]int{}
		n := 0
		for _, containers := range [][]corev1.Container{m.spec.InitContainers, m.spec.Containers} {
			for i := range containers {
				m.placeOf[containers[i].Name] = n
				n++
			}
		}
	}
	return m.placeOf
}

// makerOf finds what made a pod that is gone: the pod's name is its name, and a
// random suffix or a number.
func (snap *snapshot) makerOf(namespace, pod string) *maker {
	dash := strings.LastIndexByte(pod, '-')
	if dash < 0 {
		return nil
	}
	for _, k := range workloads.Controllers {
		if k.Pods != workloads.PodsMadeByController {
			continue
		}
		if m := snap.makers[snap.names[kube.NameKey{Kind: k.Kind, Group: k.IdentityGroup(), Namespace: namespace, Name: pod[:dash]}]]; m != nil {
			return m
		}
	}
	return snap.indexedJob(namespace, pod[:dash])
}

// indexedJob finds the Job that made a pod by the pod's name without its random suffix: pods of an Indexed
// Job have their index ahead of that.
func (snap *snapshot) indexedJob(namespace, name string) *maker {
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return nil
	}
	made := snap.makers[snap.names[workloads.JobNamed(namespace, name[:dash])]]
	if made == nil || !isIndexed(made.Object) {
		return nil
	}
	if _, err := strconv.ParseUint(name[dash+1:], 10, 31); err != nil {
		return nil
	}
	return made
}

// isIndexed reports whether an object is a Job with a pod for each index.
func isIndexed(o metav1.Object) bool {
	job, ok := o.(*batchv1.Job)
	return ok && job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batchv1.IndexedCompletion
}

// indexOf is the annotation of a pod with the index that its name has; none if its maker is no Indexed Job.
func (m *maker) indexOf(pod string) map[string]string {
	if !isIndexed(m.Object) {
		return nil
	}
	index, _, _ := strings.Cut(strings.TrimPrefix(pod, m.GetName()+"-"), "-")
	return map[string]string{batchv1.JobCompletionIndexAnnotation: index}
}

// newMaker reads the template of an object that makes pods; nil if it makes none.
// The image of an earlier pod is that of the template only if it never changed.
func newMaker(o runtime.Object) *maker {
	in, ok := o.(metav1.Object)
	if !ok {
		return nil
	}
	for _, k := range workloads.Controllers {
		if k.Pods != workloads.PodsMadeByController {
			continue
		}
		t := k.Template(in)
		switch {
		case t == nil:
		case k.FixedTemplate:
			return newMakerOf(k.GroupVersionKind, in, t.Spec)
		default:
			return newMakerOf(k.GroupVersionKind, in, withoutImages(t, in.GetGeneration()))
		}
	}
	return nil
}

func newMakerOf(kind schema.GroupVersionKind, o metav1.Object, spec corev1.PodSpec) *maker {
	return &maker{GroupVersionKind: kind, Object: o, spec: spec}
}

func withoutImages(t *corev1.PodTemplateSpec, generation int64) corev1.PodSpec {
	if generation <= 1 {
		return t.Spec
	}
	spec := *t.Spec.DeepCopy()
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			containers[i].Image = ""
		}
	}
	return spec
}

func (snap *snapshot) namedPod(made *maker, uid types.UID, name string, gone bool) *snapshotPod {
	by := made.GetUID()
	in := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kube.KindPod}, // which a journal reads it by
		ObjectMeta: metav1.ObjectMeta{
			Namespace: made.GetNamespace(), Name: name, UID: uid, Annotations: made.indexOf(name),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: made.GroupVersion().String(), Kind: made.Kind, Name: made.GetName(), UID: by, Controller: new(true),
			}},
		},
		Spec: made.spec,
	}
	pod := &snapshotPod{uid: uid, name: name, owner: by, start: in}
	events := snap.eventsOf[uid]
	containers := eventsOfContainers(events)
	for _, ev := range events {
		if ev.Reason == "Scheduled" {
			pod.born = ev.first
			node := scheduledTo(ev.Message)
			pod.learn(ev.first, func(to *corev1.Pod) {
				setCondition(to, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(ev.first)})
				to.Spec.NodeName = node
			})
		}
	}
	if created := lastUntil(snap.createdBy(by, name), madeUntil(events)); !created.IsZero() {
		pod.born = evidence.Earliest(created, pod.born)
	}
	pod.bornExact = true
	pod.learnBound(made, events)
	pod.start.CreationTimestamp = metav1.NewTime(pod.born.Truncate(time.Second))
	pod.learnInits(containers, made.places())
	pod.learnWaits(events, containers)
	if kube.IsFinite(in) {
		pod.learnLastStarts(containers)
	}
	if gone {
		pod.learnEnd(events, snap.removedAfter(by, name, events))
	}
	at, all := allStarted(&in.Spec, containers)
	switch {
	case all && !pod.troubled && !podlife.IsProbed(&in.Spec):
		pod.beReady(at)
	case !all && len(in.Spec.Containers) > 0 && (gone || !pod.born.IsZero()) && !maybeUp(&in.Spec, containers, gone):
		// It was not up, so it was not Ready.
	default:
		// Whether it was Ready, and when, nothing tells.
		pod.readyFrom = evidence.Latest(pod.madeFrom(made), at, unreadyUntil(&in.Spec, at, events))
	}
	return pod
}

// madeFrom is since when a pod may have been there of which Events tell.
func (pod *snapshotPod) madeFrom(by *maker) time.Time {
	if pod.born.IsZero() {
		return by.GetCreationTimestamp().Time
	}
	return pod.born
}

// containerEvents are the Events about one container, in order.
type containerEvents []*snapshotEvent

func eventsOfContainers(events []*snapshotEvent) map[string]containerEvents {
	out := map[string]containerEvents{}
	for _, ev := range events {
		if name := podlife.ContainerOf(ev.InvolvedObject.FieldPath); name != "" {
			out[name] = append(out[name], ev)
		}
	}
	return out
}

// first is when the first of them, or the first for a reason, is known to have been.
func (evs containerEvents) first(reason string) (at time.Time) {
	for _, ev := range evs {
		if reason == "" || ev.Reason == reason {
			at = evidence.Earliest(at, ev.first)
		}
	}
	return at
}

// firstBackOff is when the kubelet first said that it backs off from restarting the container; zero if it did not.
func (evs containerEvents) firstBackOff() (at time.Time) {
	for _, ev := range evs {
		if ev.Reason == "BackOff" && podlife.RestartsFailed(ev.Message) {
			at = evidence.Earliest(at, ev.first)
		}
	}
	return at
}

// learnInits dates the runs of init containers: one that the kubelet went on
// from had succeeded. Of containers without Events nothing is known, so that these
// are all to be looked at.
func (pod *snapshotPod) learnInits(events map[string]containerEvents, places map[string]int) {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(events)), func(name string) bool {
		_, ok := places[name]
		return !ok
	})
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(places[a], places[b]) })
	var runs []func()
	var next time.Time
	for _, name := range slices.Backward(names) {
		started, ended := events[name].first("Started"), next
		if places[name] < len(pod.start.Spec.InitContainers) && !ended.IsZero() && !started.IsZero() {
			runs = append(runs, func() {
				s := &corev1.ContainerStatus{Name: name}
				pod.learnRun(s, &corev1.ContainerStateTerminated{
					ContainerID: string(pod.uid) + "/" + s.Name, // any that is one
					Reason:      "Completed", StartedAt: metav1.NewTime(started), FinishedAt: metav1.NewTime(ended),
				}, 0, nil)
			})
		}
		next = evidence.Earliest(next, events[name].first(""))
	}
	for _, run := range slices.Backward(runs) {
		run()
	}
}

// learnWaits dates why containers waited by the Events about it, whose words
// tell two kinds of backing off apart.
func (pod *snapshotPod) learnWaits(events []*snapshotEvent, containers map[string]containerEvents) {
	for _, ev := range events {
		container := podlife.ContainerOf(ev.InvolvedObject.FieldPath)
		if container == "" || ev.Reason != "BackOff" && ev.Reason != "Failed" {
			continue
		}
		pod.troubled = true
		if ev.Reason != "BackOff" {
			continue
		}
		why := &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
		pod.doubtCrashes(container, containers[container])
		if strings.Contains(ev.Message, "pulling image") {
			why = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: ev.Message}
		}
		pod.learn(ev.first, setStatus(corev1.ContainerStatus{Name: container, State: corev1.ContainerState{Waiting: why}}))
	}
}

// learnLastStarts dates the last start of each container that is to finish: it ran from then on, so it is
// not told to have waited until its pod was stopped. Of one that the kubelet backs off from restarting, its
// crashes say more.
func (pod *snapshotPod) learnLastStarts(events map[string]containerEvents) {
	for i := range pod.start.Spec.Containers {
		name := pod.start.Spec.Containers[i].Name
		if !events[name].firstBackOff().IsZero() {
			continue
		}
		at, restarts := pod.unseenStart(name, events[name]), int32(-1)
		for _, ev := range events[name] {
			if ev.Reason == "Started" {
				at = evidence.Latest(at, ev.last())
				restarts += max(ev.Count, 1)
			}
		}
		pod.learnStart(&corev1.ContainerStatus{Name: name}, metav1.NewTime(at), "", max(restarts, 0), nil)
	}
}

// unseenStart is the last that is known of a container before the kubelet stopped it, if no Event says that
// it was started: the kubelet stops what runs, so it was at some time since then. It is zero otherwise.
func (pod *snapshotPod) unseenStart(name string, events containerEvents) time.Time {
	at := pod.born
	var stopped time.Time
	for _, ev := range events {
		switch {
		case ev.Reason == "Started":
			return time.Time{}
		case ev.stopsPod():
			stopped = evidence.Earliest(stopped, ev.first)
		case ev.last().After(at):
			at = ev.last()
		}
	}
	if stopped.IsZero() || at.After(stopped) {
		return time.Time{}
	}
	pod.doubt(stream.Doubt{At: at, Earliest: at, Latest: stopped, Container: name})
	return at
}

// learnEnd dates the deletion: by the ReplicaSet that did it, or the kubelet
// that carried it out. Since when the pod was gone nothing tells; the last sign
// of life stands for it. The condition by which whoever deleted it said so is gone with it, and its Event is not.
func (pod *snapshotPod) learnEnd(events []*snapshotEvent, removal []time.Time) {
	var last time.Time
	for _, ev := range events {
		last = evidence.Latest(last, ev.last())
		if why := podlife.DisruptionSaid(ev.Reason, ev.Message); why != "" && !ev.first.IsZero() {
			pod.learn(ev.first, func(to *corev1.Pod) {
				setCondition(to, corev1.PodCondition{
					Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: why, LastTransitionTime: metav1.NewTime(ev.first.Truncate(time.Second)),
				})
			})
		}
	}
	pod.asked = endSaid(events)
	pod.askedKnown = !pod.asked.IsZero() || len(removal) > 0
	pod.askedHeard = pod.askedKnown && len(removal) == 0
	if pod.asked.IsZero() {
		pod.asked = last
	}
	if len(removal) > 0 {
		pod.asked, pod.removed = removal[0], true
	}
	pod.askedExact = true
	pod.gone = evidence.Latest(last, pod.asked)
	given := graceOf(&pod.start.Spec)
	grace := int64(given / time.Second)
	due := metav1.NewTime(pod.asked.Truncate(time.Second).Add(given))
	pod.learnDeletion(&due, &grace)
}

// allStarted is when the last container is known to have started, and whether all have.
func allStarted(spec *corev1.PodSpec, events map[string]containerEvents) (at time.Time, all bool) {
	for _, list := range events {
		at = evidence.Latest(at, list.first("Started"))
	}
	return at, len(spec.Containers) > 0 && !slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool {
		return events[c.Name].first("Started").IsZero()
	})
}

// maybeUp reports whether all containers had started, or may have: that the kubelet has stopped or
// probed one shows that it had, though no Event says so. Events expire, and some may be left out: of a pod that
// is gone, one that was made had started, and so may all have where no Event tells of any.
func maybeUp(spec *corev1.PodSpec, events map[string]containerEvents, gone bool) bool {
	if gone && len(events) == 0 {
		return true
	}
	return !slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool {
		return !slices.ContainsFunc(events[c.Name], func(ev *snapshotEvent) bool {
			return ev.Reason == "Started" || gone && ev.Reason == "Created" || ev.Reason == "Unhealthy" || ev.stopsPod()
		})
	})
}

// beReady notes when the pod was Ready.
func (pod *snapshotPod) beReady(at time.Time) {
	pod.ready = at
	pod.learn(at, func(to *corev1.Pod) { setCondition(to, readySince(at)) }).isReady = true
}

// podReport is what an Event of a pod's owner says about the pod that it names.
type podReport struct {
	owner  types.UID
	reason string
	pod    string
}

// noteReport notes what an Event about the object that has a UID says of a pod of it.
func (snap *snapshot) noteReport(ev *snapshotEvent, uid types.UID) {
	if ev.first.IsZero() {
		return
	}
	key := podReport{uid, ev.Reason, podIn(ev.Message)}
	snap.reports[key] = append(snap.reports[key], ev.spoken()...)
}

// sortReports puts the times of the reports in order.
func (snap *snapshot) sortReports() {
	for _, times := range snap.reports {
		slices.SortFunc(times, time.Time.Compare)
	}
}

// createdBy is when a ReplicaSet says that it has created a pod, in order.
func (snap *snapshot) createdBy(owner types.UID, pod string) []time.Time {
	return snap.reports[podReport{owner, "SuccessfulCreate", pod}]
}

// removal is when a ReplicaSet says that it has deleted a pod, in order.
func (snap *snapshot) removal(owner types.UID, pod string) []time.Time {
	return snap.reports[podReport{owner, "SuccessfulDelete", pod}]
}

// scheduledTo reads the node from the scheduler's "Successfully assigned
// shop/web-1 to node-3".
func scheduledTo(message string) string {
	_, node, _ := strings.Cut(message, " to ")
	return node
}

// podIn is the name of the pod that an Event of its owner is about: "Created pod: web-1", or a
// StatefulSet's "create Pod db-1 in StatefulSet db successful".
func podIn(message string) string {
	if _, rest, ok := strings.Cut(message, " Pod "); ok && strings.Contains(rest, " in StatefulSet ") {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	return podlife.LastClause(message)
}

// firstSign is when the first Event about a pod was.
func firstSign(events []*snapshotEvent) (at time.Time) {
	for _, ev := range events {
		at = evidence.Earliest(at, ev.first)
	}
	return at
}

// madeUntil is by when a pod had been made of which there are Events, as far as these are in order with what its
// owner says. The next pod of its name may be made within a second after its kubelet has said that it stops it.
func madeUntil(events []*snapshotEvent) time.Time {
	sign := firstSign(events)
	if slices.ContainsFunc(events, func(ev *snapshotEvent) bool { return ev.stopsPod() && ev.first.Equal(sign) }) {
		return sign
	}
	return sign.Add(time.Second)
}

// lastUntil is the last of some times in order that is not after another: of the pods that had the same
// name, each has its own.
func lastUntil(times []time.Time, until time.Time) (last time.Time) {
	for _, at := range times {
		if !at.After(until) {
			last = at
		}
	}
	return last
}

// removedAfter is when its owner says that it has deleted a pod of which there are Events: of the
// pods that had the same name, each was deleted later than it was heard of.
func (snap *snapshot) removedAfter(owner types.UID, pod string, events []*snapshotEvent) []time.Time {
	removals, sign := snap.removal(owner, pod), firstSign(events)
	return slices.DeleteFunc(slices.Clone(removals), func(at time.Time) bool { return at.Before(sign.Add(-time.Second)) })
}
