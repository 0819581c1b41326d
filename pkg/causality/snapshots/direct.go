package snapshots

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
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

// directEnd is how the last rollout of a workload that makes its pods itself went on.
type directEnd int

const (
	// directUnknown: it is over, and nothing tells since when.
	directUnknown directEnd = iota
	directComplete
	directOpen
)

// judge finds out how the last rollout ended, and which pods it made: those that there are
// now need not be among them. A pod may have been made in the place of one that was lost since,
// for a node that came later, or because there were to be more.
func (d *snapshotDirect) judge(snap *snapshot, complete bool) {
	if len(d.rollouts) == 0 {
		return
	}
	r := d.rollouts[len(d.rollouts)-1]
	d.chain(snap, r)
	d.narrowReady(snap, r)
	n := int32(len(d.made)) //nolint:gosec // no workload has that many pods
	shrunk := n > d.wanted  // it is scaled down just now, or its controller has not said how many it wants
	d.wanted = max(d.wanted, n)
	snap.countUnknown[d.meta.GetUID()] = shrunk
	if d.onTheWay(complete, snap.end) {
		d.end = directOpen
		return
	}
	at := r.began
	for _, pod := range d.made {
		if pod.ready.IsZero() {
			return
		}
		at = evidence.Latest(at, pod.availableAt(d.minReady))
	}
	grown := n < d.wanted && d.hasGrown(snap, at)
	if !grown && (n < d.due(r) || n == 0 && d.otherWrites() > 0) {
		return // some that it made have gone since, or all in a scale to none
	}
	for _, pod := range d.pods {
		// Old pods that it removed: it is complete without them.
		if pod.removed && pod.born.Before(r.began) && !pod.asked.Before(r.began) && !pod.asked.After(d.reach) {
			at = evidence.Latest(at, pod.asked)
		}
	}
	d.end, d.completed = directComplete, at
	d.doubtBegun(snap, r)
	snap.doubt(d.meta.GetUID(), stream.Doubt{At: at, Earliest: evidence.Latest(r.began, availableAfter(at, d.made, d.minReady)), Latest: reportedBy(at, d.made, d.minReady), Of: stream.DoubtOfEnd})
	if grown {
		d.wanted = n
	}
	snap.countUnknown[d.meta.GetUID()] = shrunk || !d.countKnown(at, grown)
}

// due is how many pods a rollout was to make: a partition leaves some as they are in an update.
func (d *snapshotDirect) due(r directRollout) int32 {
	in, ok := d.object.(*appsv1.StatefulSet)
	if !ok || !r.began.After(d.created) {
		return d.wanted
	}
	if due := d.wanted - partitionOf(in); due > 0 {
		return due
	}
	return d.wanted
}

// partitionOf is how many pods of a StatefulSet are left as they are in an update.
func partitionOf(in *appsv1.StatefulSet) int32 {
	if ru := in.Spec.UpdateStrategy.RollingUpdate; ru != nil {
		return ptr.Deref(ru.Partition, 0)
	}
	return 0
}

// chain collects the pods that a rollout made. A controller makes the pods of a creation one
// right after another (slowStartBatch of k8s.io/kubernetes/pkg/controller), and goes on with
// the next of an update, or of a StatefulSet in order, when that before is available and the
// old one is gone. The first of an update waits for an old one, too.
func (d *snapshotDirect) chain(snap *snapshot, r directRollout) {
	n := 0 // pods that it made, those too that were removed in it
	one := d.goesPodByPod(r)
	update, grace := r.began.After(d.created), time.Duration(0)
	if update {
		grace = d.grace // of the old pod
	}
	d.reach = r.began.Add(grace + nextSlack)
	updated := d.inPlacesOfOld(snap, r)
	var last *snapshotPod
	for _, pod := range bornFrom(d.born, r.began.Truncate(time.Second)) {
		switch {
		case pod.born.After(d.reach) && !updated[pod]:
			if pod.final != nil {
				d.late = append(d.late, pod)
			}
			continue
		case d.isOld(pod, r), snap.nodeAge(pod).After(d.reach):
			continue
		case one && d.outOfOrder(pod, last, update):
			if pod.final != nil {
				d.late = append(d.late, pod)
			}
			continue
		}
		last = pod
		n++
		if pod.asked.IsZero() || pod.asked.After(d.reach) || pod.ready.IsZero() {
			d.made = append(d.made, pod)
		}
		switch next := pod.born.Add(batchSlack); {
		case one:
			d.reach = evidence.Latest(d.reach, evidence.Latest(pod.born, pod.ready).Add(d.minReady+grace+nextSlack))
		case n == 1:
			d.reach = next
		default:
			d.reach = evidence.Latest(d.reach, next)
		}
	}
}

// inPlacesOfOld are the pods of a rollout that each came in the place of one that was older than the
// rollout. Whenever that was, they are what the rollout was for: a StatefulSet waits for a pod that is never
// Ready until somebody deletes it. Where the spec was written besides, the rollout may have begun with that,
// as a partition was moved.
func (d *snapshotDirect) inPlacesOfOld(snap *snapshot, r directRollout) map[*snapshotPod]bool {
	updated := map[*snapshotPod]bool{}
	if d.otherWrites() > 0 {
		return updated
	}
	before := map[place]*snapshotPod{}
	for _, pod := range d.born {
		p, ok := snap.placeOf(pod)
		if !ok {
			continue
		}
		if old := before[p]; old != nil && !old.born.IsZero() && old.born.Before(r.began) && pod.revision() != "" && r.isNamed(pod.revision()) {
			updated[pod] = true
		}
		before[p] = pod
	}
	return updated
}

// doubtBegun says of a rollout whose spec was written again, and not for another revision, that it
// may have begun with that: as a partition was moved (spec.updateStrategy), which leaves no trace.
// That was before the last of its pods for which the controller waited longer than it has to.
func (d *snapshotDirect) doubtBegun(snap *snapshot, r directRollout) {
	if d.otherWrites() <= 0 || !d.goesPodByPod(r) {
		return
	}
	var latest, available time.Time
	for _, pod := range d.made {
		if !available.IsZero() && pod.born.After(available.Add(nextSlack)) {
			latest = pod.born
		}
		available = evidence.Latest(available, pod.availableAt(d.minReady))
	}
	snap.doubt(d.meta.GetUID(), stream.Doubt{At: r.began, Earliest: r.began, Latest: latest})
}

// outOfOrder reports whether a pod of a StatefulSet is not the next that a rollout makes after
// another: a creation goes up their numbers, and an update goes down, unless it takes several at a time, or
// somebody deletes the old ones.
func (d *snapshotDirect) outOfOrder(pod, last *snapshotPod, update bool) bool {
	in, ok := d.object.(*appsv1.StatefulSet)
	if !ok || last == nil {
		return false
	}
	if update {
		ru := in.Spec.UpdateStrategy.RollingUpdate
		several := ru != nil && ru.MaxUnavailable != nil && ru.MaxUnavailable.String() != "1"
		if several || in.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
			return false
		}
		return ordinal(pod.name) >= ordinal(last.name)
	}
	return ordinal(pod.name) <= ordinal(last.name)
}

// isOld reports whether a pod states another revision than that of a rollout.
func (d *snapshotDirect) isOld(pod *snapshotPod, r directRollout) bool {
	is := pod.revision()
	return is != "" && r.revision != "" && !r.isNamed(is)
}

// revision is the ControllerRevision that a pod states, or the hash that ends its name; "" if it states none.
func (pod *snapshotPod) revision() string {
	if pod.final == nil {
		return ""
	}
	return pod.final.Labels[appsv1.ControllerRevisionHashLabelKey]
}

// isNamed reports whether the rollout is that of a revision which a pod states.
func (r directRollout) isNamed(stated string) bool {
	return stated == r.revision || strings.HasSuffix(r.revision, "-"+stated)
}

// nodeAge is when a pod's node was created; zero if the snapshot has no such node.
func (snap *snapshot) nodeAge(pod *snapshotPod) time.Time {
	if pod.final == nil {
		return time.Time{}
	}
	return snap.nodes[pod.final.Spec.NodeName]
}

// goesPodByPod reports whether the next pod of a rollout waits for the one before.
func (d *snapshotDirect) goesPodByPod(r directRollout) bool {
	switch in := d.object.(type) {
	case *appsv1.StatefulSet:
		return r.began.After(d.created) || in.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	case *appsv1.DaemonSet:
		return r.began.After(d.created)
	}
	return false
}

// onTheWay reports whether the last rollout has never been complete: a pod that it made
// was never Ready, pods of an earlier one are still there, or, where nothing but their
// number tells, it began a short while ago.
func (d *snapshotDirect) onTheWay(complete bool, end time.Time) bool {
	if complete {
		return false
	}
	if d.goesBack || d.updating() {
		return true
	}
	alive := 0
	for _, pod := range d.made {
		if !pod.alive(end) {
			continue
		}
		if pod.ready.IsZero() && pod.readyFrom.IsZero() {
			return true
		}
		alive++
	}
	return alive < int(d.wanted) && len(d.late) == 0 && d.otherWrites() <= 0 && d.reach.After(end.Add(-podlife.SlowestStart))
}

// updating reports whether the status says that pods of an earlier revision are there.
func (d *snapshotDirect) updating() bool {
	switch in := d.object.(type) {
	case *appsv1.StatefulSet:
		return in.Status.CurrentRevision != in.Status.UpdateRevision && !hasUpdated(in)
	case *appsv1.DaemonSet:
		return in.Status.UpdatedNumberScheduled < in.Status.CurrentNumberScheduled
	}
	return false
}

// hasUpdated reports whether a StatefulSet has all the pods of the new revision that it is to have, though its
// current revision is still the one before: it is for good with OnDelete, and for as long as there is a partition
// (completeRollingUpdate of k8s.io/kubernetes/pkg/controller/statefulset).
func hasUpdated(in *appsv1.StatefulSet) bool {
	return leavesPods(in) && in.Status.UpdatedReplicas >= workloads.WantedReplicas(in.Spec.Replicas)-partitionOf(in)
}

// leavesPods reports whether the controller of a workload leaves some pods as they are in an update.
func leavesPods(o runtime.Object) bool {
	switch in := o.(type) {
	case *appsv1.StatefulSet:
		return partitionOf(in) > 0 || in.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	case *appsv1.DaemonSet:
		return in.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	}
	return false
}

// hasGrown reports whether all pods that were made later than the last rollout was complete
// are there because more were wanted then: for nodes that are younger, or as the only write
// of the spec beside those of the rollouts asked for more.
func (d *snapshotDirect) hasGrown(snap *snapshot, completed time.Time) bool {
	young := int32(0)
	for _, pod := range d.late {
		if snap.nodeAge(pod).After(completed) {
			young++
		}
	}
	if _, ok := d.object.(*appsv1.DaemonSet); ok {
		return int32(len(d.made))+young == d.wanted && int(young) == len(d.late) //nolint:gosec // as above
	}
	return d.otherWrites() == 1 && len(d.made)+len(d.late) == int(d.wanted)
}

// otherWrites is how often the spec was written beside its creation and the revisions, as far
// as their numbers tell.
func (d *snapshotDirect) otherWrites() int64 {
	return d.meta.GetGeneration() - max(d.lastNumber, 1)
}

// countKnown reports whether a rollout is known to have wanted as many pods as there are of
// it. Those that a scale has removed since left no trace.
func (d *snapshotDirect) countKnown(completed time.Time, grown bool) bool {
	if _, ok := d.object.(*appsv1.DaemonSet); ok || grown || d.otherWrites() <= 0 {
		return true
	}
	wrote := kube.Writer(d.meta.GetManagedFields(), false, nil).At
	return !wrote.IsZero() && !wrote.After(completed.Add(time.Second))
}

// forgetRemoved leaves out that the controller itself deleted pods outside of all that is
// told: for a rollout that is not, or because there were to be fewer. They were not lost, and
// no pod came in the place of one. Where pods of it are left out of the snapshot, nothing tells
// whether the one that came next is that of a rollout.
func (d *snapshotDirect) forgetRemoved(snap *snapshot, told []directRollout) {
	lacks := snap.lacksPods(d.meta)
	for _, pod := range d.pods {
		inTold := len(told) > 0 && !pod.asked.Before(told[0].began) && (d.end == directOpen || !pod.asked.After(d.completed))
		if pod.asked.IsZero() || inTold {
			continue
		}
		old := len(d.rollouts) > 0 && d.isOld(pod, d.rollouts[len(d.rollouts)-1])
		switch {
		case !pod.removed && !old && !d.ofOldTemplate(pod) && !d.updating() && !lacks:
		default:
			snap.forgetEnd(pod)
		}
	}
}

// forgetEnd leaves out that a pod was deleted.
func (snap *snapshot) forgetEnd(pod *snapshotPod) {
	if pod.final == nil {
		pod.facts = slices.DeleteFunc(pod.facts, func(f fact) bool { return f.deletes })
		pod.asked, pod.gone = time.Time{}, time.Time{}
		return
	}
	// It was on its way out when it was seen.
	snap.emitted[pod] = true
	snap.emit(snap.end, rankListed, watch.Added, pod.final.DeepCopy())
}

// ofOldTemplate reports whether a DaemonSet's pod was made of another template than the
// current one, as its label says that the controller keeps for that.
func (d *snapshotDirect) ofOldTemplate(pod *snapshotPod) bool {
	in, ok := d.object.(*appsv1.DaemonSet)
	if !ok || pod.final == nil {
		return false
	}
	is, now := pod.final.Labels[templateGenerationLabel], in.Annotations[appsv1.DeprecatedTemplateGeneration]
	return is != "" && now != "" && is != now
}

// templateGenerationLabel is that of a DaemonSet's pods (DaemonSetTemplateGenerationKey of
// k8s.io/kubernetes/pkg/apis/extensions).
const templateGenerationLabel = "pod-template-generation"

// timings reads what a controller waits for between two pods.
func timings(o runtime.Object) (minReady, grace time.Duration) {
	seconds := int32(0)
	switch in := o.(type) {
	case *appsv1.StatefulSet:
		seconds, grace = in.Spec.MinReadySeconds, graceOf(&in.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		seconds, grace = in.Spec.MinReadySeconds, graceOf(&in.Spec.Template.Spec)
	}
	return time.Duration(max(seconds, 0)) * time.Second, grace
}

// hasNumber is the number of the last ControllerRevision that a workload has; 0 without any.
func hasNumber(revisions []*appsv1.ControllerRevision) (n int64) {
	for _, r := range revisions {
		n = max(n, r.Revision)
	}
	return n
}

// lastTold is the last state that is told of an object, from a place in the stream on, and
// when; nil if none is.
func (snap *snapshot) lastTold(from int, meta metav1.Object) (last runtime.Object, at time.Time) {
	for _, t := range snap.stream[from:] {
		if t.Object.(metav1.Object).GetUID() == meta.GetUID() {
			last, at = t.Object, evidence.Latest(at, t.Time)
		}
	}
	return last, at
}
