package snapshots

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// emitOther emits the past of an object that is neither a Deployment nor part of one.
func (snap *snapshot) emitOther(o runtime.Object) {
	o = o.DeepCopyObject()
	meta := o.(metav1.Object) // only what has metadata is among them
	asked := meta.GetDeletionTimestamp()
	if asked == nil || !asked.After(snap.begin) {
		snap.emitState(o, meta)
		return
	}
	// It waits for what it owns, or for a finalizer. Until then nobody had deleted it.
	before := o.DeepCopyObject()
	was := before.(metav1.Object) // as above
	was.SetDeletionTimestamp(nil)
	from := len(snap.stream)
	snap.emitState(before, was)
	last, at := snap.lastTold(from, meta)
	if last == nil {
		last = o
	}
	deleted := last.DeepCopyObject()
	deleted.(metav1.Object).SetDeletionTimestamp(asked) // as above
	at = evidence.Latest(at, asked.Time)
	// Pods that it took, and that are gone by now, nothing need tell of: without one it ends as it begins.
	snap.doubt(meta.GetUID(), stream.Doubt{At: at, Earliest: at, Latest: snap.end, Of: stream.DoubtOfEnd})
	snap.emit(at, rankStatus, watch.Modified, deleted)
}

// emitState emits what led to an object's state.
func (snap *snapshot) emitState(o runtime.Object, meta metav1.Object) {
	created := meta.GetCreationTimestamp().Time
	switch in := o.(type) {
	case *batchv1.Job:
		snap.emitJob(in, created)
	case *appsv1.StatefulSet, *appsv1.DaemonSet, *appsv1.ReplicaSet, *corev1.ReplicationController:
		snap.emitDirect(o, meta, created)
	case *appsv1.ControllerRevision:
		if created.Before(snap.begin) {
			snap.emit(snap.begin, rankListed, watch.Added, o)
		} else {
			snap.emit(created, rankBefore, watch.Added, o)
		}
	case *corev1.Node:
		// What became of it is in its conditions, which state when themselves.
		at := evidence.Latest(snap.begin, created)
		for i := range in.Status.Conditions {
			at = evidence.Latest(at, in.Status.Conditions[i].LastTransitionTime.Time)
		}
		if rebooted := snap.rebooted(in); !rebooted.IsZero() {
			snap.emitReboot(in, rebooted, at)
			return
		}
		snap.emit(at, rankListed, watch.Added, o)
	default:
		snap.emit(evidence.Latest(snap.begin, created), rankListed, watch.Added, o)
	}
}

// emitJob emits a Job's run: if it is not over, or began in time.
func (snap *snapshot) emitJob(in *batchv1.Job, began time.Time) {
	if c := workloads.JobCondition(in, batchv1.JobSuspended); c != nil && c.Status == corev1.ConditionFalse {
		began = c.LastTransitionTime.Time // it was resumed, and says itself when
	}
	done := workloads.FinishedJobCondition(in)
	suspended := ptr.Deref(in.Spec.Suspend, false)
	if suspended || done != nil && began.Before(snap.begin) {
		snap.emit(snap.begin, rankListed, watch.Added, in)
		return
	}
	start := in.DeepCopy()
	start.Status = batchv1.JobStatus{}
	if c := workloads.JobCondition(in, batchv1.JobSuspended); c != nil {
		start.Status.Conditions = []batchv1.JobCondition{*c}
	}
	snap.emitSuspended(in, began)
	snap.emit(began, rankSpec, watch.Added, start)
	at := began
	if in.Status.StartTime != nil {
		at = evidence.Latest(at, in.Status.StartTime.Time)
	}
	if done != nil {
		at = evidence.Latest(at, done.LastTransitionTime.Time)
	}
	for _, pod := range snap.podsOf[in.UID] {
		snap.emitPod(pod, evidence.Earliest(snap.begin, began))
	}
	snap.emit(at, rankStatus, watch.Modified, in)
}

// emitSuspended emits that a Job which was resumed was there before, and suspended.
func (snap *snapshot) emitSuspended(in *batchv1.Job, resumed time.Time) {
	at := evidence.Latest(snap.begin, in.CreationTimestamp.Time)
	if !at.Before(resumed) {
		return
	}
	before := in.DeepCopy()
	before.Status, before.Spec.Suspend = batchv1.JobStatus{}, new(true)
	snap.emit(at, rankListed, watch.Added, before)
}

// emitDirect emits the past of a workload that makes its pods itself: its creation and its
// rollouts, as far as they began in time or the last is not over.
func (snap *snapshot) emitDirect(o runtime.Object, meta metav1.Object, created time.Time) {
	d := newSnapshotDirect(o, meta, created, snap.podsOf[meta.GetUID()])
	complete, updated := workloads.DirectIsComplete(o, snap.end), ""
	if set, ok := o.(*appsv1.StatefulSet); ok {
		updated = set.Status.UpdateRevision // no other kind says which it has rolled out or is about to
	}
	d.rollouts = snap.rolloutsOf(d, complete, updated)
	d.lastNumber = hasNumber(snap.revisionsOf[meta.GetUID()])
	noteSurplus(d.pods, d.wanted)
	d.concludeReady()
	d.judge(snap, complete)
	first := snap.firstTold(d)
	listed := evidence.Latest(snap.begin, created)
	if first < len(d.rollouts) {
		listed = evidence.Earliest(listed, d.rollouts[first].began)
	}
	d.forgetRemoved(snap, d.rollouts[first:])
	// As one may be made in the instant from which another is taken for asked to go, the older ones are told first.
	for _, pod := range d.born {
		snap.emitPod(pod, listed)
	}
	switch {
	case first < len(d.rollouts):
		snap.emitRollouts(d, first, listed)
	case complete:
		snap.emit(listed, rankListed, watch.Added, o)
	case len(d.rollouts) == 0 && d.isYoung(snap.end):
		// Whether it never was complete or is not any more does not show; what
		// there is now is told.
		snap.emit(snap.end, rankListed, watch.Added, o)
	default:
		updated = cmp.Or(updated, unknownRevision) // one without would be new
		snap.emit(listed, rankListed, watch.Added, d.state(directSettled, updated, updated, 0, listed))
	}
}

// firstTold is the first of the rollouts to tell: those that began in time, up to the last; that
// one in any case if it is not over, and none if nothing tells how it ended.
func (snap *snapshot) firstTold(d *snapshotDirect) int {
	n := len(d.rollouts)
	first := n
	for first > 0 && (!d.rollouts[first-1].began.Before(snap.begin) || first == n && d.end == directOpen) {
		first--
	}
	if first < n && d.end == directUnknown {
		snap.found.Undated += n - first
		return n
	}
	return first
}

// isYoung reports whether the workload was created, or its spec written, a short while ago.
func (d *snapshotDirect) isYoung(end time.Time) bool {
	wrote := kube.Writer(d.meta.GetManagedFields(), true, nil).At
	return evidence.Latest(wrote, d.created).After(end.Add(-podlife.SlowestStart))
}

// snapshotDirect is what a snapshot proves of such a workload.
type snapshotDirect struct {
	object   runtime.Object
	meta     metav1.Object
	fields   fieldHistory
	created  time.Time
	pods     []*snapshotPod
	born     []*snapshotPod // the same in order of birth
	rollouts []directRollout
	// goesBack says that the last rollout is of a revision that was taken up again, and goes on.
	goesBack bool
	// lastNumber is that of the last ControllerRevision.
	lastNumber      int64
	minReady, grace time.Duration
	// wanted is how many pods the last rollout wanted.
	wanted int32

	// end is how the last rollout ended, made are the pods that it made and that were not
	// removed in it, and late are those that were made later. It had made all of its pods by
	// reach, and was complete at completed.
	end              directEnd
	made, late       []*snapshotPod
	reach, completed time.Time
}

func newSnapshotDirect(o runtime.Object, meta metav1.Object, created time.Time, pods []*snapshotPod) *snapshotDirect {
	d := &snapshotDirect{object: o, meta: meta, fields: newFieldHistory(meta), created: created, pods: pods, born: slices.Clone(pods), wanted: directReplicas(o)}
	d.minReady, d.grace = timings(o)
	slices.SortStableFunc(d.born, func(a, b *snapshotPod) int { return a.born.Compare(b.born) })
	return d
}

// bornFrom are the pods that were born at a time or later, in order.
func bornFrom(pods []*snapshotPod, at time.Time) []*snapshotPod {
	return pods[sort.Search(len(pods), func(i int) bool { return !pods[i].born.Before(at) }):]
}

// directRollout is a rollout, by the name of its ControllerRevision; ones that
// have none roll out once.
type directRollout struct {
	revision string
	began    time.Time
}

// rolloutsOf lists the rollouts of a workload that are dated, up to the last:
// each by the creation of its ControllerRevision. One that is taken up again
// gets a new number, but no time. Unless that is the last one, and not over, it is not told, nor is what came
// before it; how many these are is counted, unless the pods show that all of it was before the time that is asked
// for.
func (snap *snapshot) rolloutsOf(d *snapshotDirect, complete bool, updated string) []directRollout {
	revisions := snap.revisionsOf[d.meta.GetUID()]
	if len(revisions) == 0 {
		return d.onlyRollout(updated)
	}
	slices.SortFunc(revisions, func(a, b *appsv1.ControllerRevision) int { return cmp.Compare(a.Revision, b.Revision) })
	var out []directRollout
	var newest time.Time // of those before
	untold := 0
	for i, r := range revisions {
		at, again := r.CreationTimestamp.Time, false
		switch {
		case i == 0 && r.Revision == 1:
			at = d.created
		case !newest.IsZero() && !at.After(newest):
			again = true
		}
		newest = evidence.Latest(newest, at)
		if again {
			at = time.Time{}
			if i == len(revisions)-1 && !complete && (updated == "" || updated == r.Name) {
				at = snap.rolledBack(d, directRollout{revision: r.Name}, newest)
			}
		}
		if at.IsZero() {
			untold, out = untold+snap.inTime(out)+1, nil
			continue
		}
		out = append(out, directRollout{r.Name, at})
	}
	if n := len(out); n > 0 && updated != "" && out[n-1].revision != updated {
		untold, out = untold+snap.inTime(out)+1, nil // what it rolls out is left out
	}
	isOver := complete && d.allBornBefore(snap.begin)
	if !isOver && (len(out) == 0 || !out[0].began.Before(snap.begin)) {
		snap.found.Undated += untold
	}
	return out
}

// allBornBefore reports whether all pods that are there were born before a time, and no rollout leaves any as it is.
// Then what the workload has rolled out completely had begun before, too.
func (d *snapshotDirect) allBornBefore(at time.Time) bool {
	there := 0
	for _, pod := range d.pods {
		if pod.final == nil {
			continue
		}
		if !pod.born.Before(at) {
			return false
		}
		there++
	}
	return there > 0 && !leavesPods(d.object)
}

// inTime is how many of the rollouts began in the time that is asked for.
func (snap *snapshot) inTime(rollouts []directRollout) (n int) {
	for _, r := range rollouts {
		if !r.began.Before(snap.begin) {
			n++
		}
	}
	return n
}

// rolledBack is when the rollout of an older revision that was taken up again was on its way at the latest, of
// a workload that is not complete, whose revision before was created at a time: when the template was last
// written, or else the snapshot taken. It began when the last pod of another revision was there, and is over when
// none is; zero if there is none. Of the pods that the controller leaves as they are nothing tells.
func (snap *snapshot) rolledBack(d *snapshotDirect, r directRollout, before time.Time) time.Time {
	if in, ok := d.object.(*appsv1.StatefulSet); ok && hasUpdated(in) {
		return time.Time{}
	}
	from, others := before, false
	for _, pod := range d.pods {
		if pod.asked.IsZero() && d.isOld(pod, r) {
			from, others = evidence.Latest(from, pod.born), true
		}
	}
	if !others {
		return time.Time{}
	}
	at := kube.Writer(d.meta.GetManagedFields(), true, nil).At
	if at.Before(from) {
		at = snap.end
	}
	d.goesBack = true
	snap.doubt(d.meta.GetUID(), stream.Doubt{At: at, Earliest: from, Latest: at})
	return at
}

// onlyRollout is the rollout of a workload of which there are no
// ControllerRevisions, as support bundles have none: its creation, if its spec
// was never written since; or else the last write of it, if that had all of its
// pods replaced. Any other write may have been a scale.
func (d *snapshotDirect) onlyRollout(updated string) []directRollout {
	wrote := kube.Writer(d.meta.GetManagedFields(), true, nil).At
	if d.meta.GetGeneration() <= 1 || !rollsOut(d.object) || wrote.Equal(d.created) {
		return []directRollout{{updated, d.created}}
	}
	for _, pod := range d.pods {
		if pod.final != nil && pod.born.Before(wrote) {
			return nil
		}
	}
	if wrote.IsZero() || len(d.pods) == 0 {
		return nil
	}
	return []directRollout{{updated, wrote}}
}

// rollsOut reports whether another template has the pods of a workload replaced.
func rollsOut(o runtime.Object) bool {
	switch o.(type) {
	case *appsv1.StatefulSet, *appsv1.DaemonSet:
		return true
	}
	return false
}

// unknownRevision stands for the ControllerRevision that was rolled out before; any name but the next
// one's would do.
const unknownRevision = "unknown"

// emitRollouts emits the rollouts from the first one on.
func (snap *snapshot) emitRollouts(d *snapshotDirect, first int, listed time.Time) {
	last := len(d.rollouts) - 1
	if first < last && d.wanted == 0 {
		snap.countUnknown[d.meta.GetUID()] = true // there were some, as far as anything tells
	}
	before := ""
	if first > 0 || d.rollouts[first].began.After(d.created) {
		before = unknownRevision
		if first > 0 {
			before = d.rollouts[first-1].revision
		}
		snap.emit(listed, rankListed, watch.Added, d.state(directSettled, before, before, last-first+1, listed))
	}
	for i := first; i < last; i++ {
		r, next := d.rollouts[i], d.rollouts[i+1]
		snap.emitBegun(d, r, before, last-i)
		if at, ok := d.readyBetween(r.began, next.began); ok {
			snap.emit(at, rankStatus, watch.Modified, d.state(directSettled, r.revision, r.revision, last-i, at))
			// Some of the pods may have been made for a scale.
			snap.doubt(d.meta.GetUID(), stream.Doubt{At: at, Earliest: r.began, Latest: at.Add(statusSlack), Of: stream.DoubtOfEnd})
		} else {
			// It may have been complete for long.
			snap.doubt(d.meta.GetUID(), stream.Doubt{At: next.began, Earliest: r.began, Latest: next.began, Of: stream.DoubtOfEnd})
		}
		before = r.revision
	}
	r := d.rollouts[last]
	snap.emitBegun(d, r, before, 0)
	if d.end == directComplete {
		snap.emit(d.completed, rankStatus, watch.Modified, d.state(directSettled, r.revision, r.revision, 0, d.completed))
		return
	}
	at := r.began
	for _, pod := range d.made {
		at = evidence.Latest(at, pod.ready)
	}
	snap.emit(at, rankStatus, watch.Modified, d.object)
}

func (snap *snapshot) emitBegun(d *snapshotDirect, r directRollout, before string, left int) {
	created := before == "" && r.began.Equal(d.created)
	if created {
		snap.emit(r.began, rankSpec, watch.Added, d.state(directNew, "", r.revision, left, r.began))
	}
	if r.revision != "" || !created {
		snap.emit(r.began, rankSet, watch.Modified, d.state(directBegun, before, r.revision, left, r.began))
	}
}

// readyBetween is when as many pods as are wanted had been made and got Ready
// between two rollouts.
func (d *snapshotDirect) readyBetween(from, until time.Time) (at time.Time, ok bool) {
	n := int32(0)
	for _, pod := range bornFrom(d.born, from) {
		if pod.born.After(until) {
			break
		}
		if !pod.ready.IsZero() && pod.ready.Before(until) {
			at, n = evidence.Latest(at, pod.ready), n+1
		}
	}
	return at, n > 0 && n >= d.wanted
}

// concludeReady dates when pods of a StatefulSet that are gone had been Ready:
// unless it makes its pods in parallel, it makes the next one then. Of one that nothing dates the first next that is
// known need not be that.
func (d *snapshotDirect) concludeReady() {
	in, ok := d.object.(*appsv1.StatefulSet)
	if !ok || in.Spec.PodManagementPolicy == appsv1.ParallelPodManagement {
		return
	}
	byOrdinal := map[int][]*snapshotPod{}
	for _, pod := range d.born {
		byOrdinal[ordinal(pod.name)] = append(byOrdinal[ordinal(pod.name)], pod)
	}
	for _, pod := range d.pods {
		if pod.final != nil || pod.troubled || !pod.ready.IsZero() || pod.born.IsZero() {
			continue
		}
		// If it was gone when the first of them was born, it was for the others.
		next := bornFrom(byOrdinal[ordinal(pod.name)+1], pod.born.Add(1))
		if len(next) > 0 && pod.alive(next[0].born) {
			pod.doubt(stream.Doubt{At: next[0].born, Earliest: evidence.Latest(d.created, pod.born, pod.started), Latest: next[0].born, Of: stream.DoubtOfReady})
			pod.beReady(next[0].born)
		}
	}
}

// ordinal is the number that ends the name of a StatefulSet's pod; -1 if none does.
func ordinal(pod string) int {
	n, err := strconv.Atoi(pod[strings.LastIndexByte(pod, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}
