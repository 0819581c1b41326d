package snapshots

import (
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// snapshotDeployment is what a snapshot proves of a Deployment's past.
type snapshotDeployment struct {
	*appsv1.Deployment
	progress  *appsv1.DeploymentCondition // its condition Progressing, nil if there is none
	fields    fieldHistory
	sets      []*snapshotSet
	steps     *stepHistory
	revisions []*snapshotRevision
	// toEmit are the revisions whose rollouts are to be emitted, and base is the ReplicaSet of the one
	// before them, if there was one.
	toEmit   []*snapshotRevision
	byNumber map[int64]*snapshotRevision // of these
	base     *snapshotSet
	// scales are the steps that somebody asked for after the last revision
	// was rolled out.
	scales []*snapshotStep
	isOver *bool // over, once it was asked for
}

func newSnapshotDeployment(in *appsv1.Deployment) *snapshotDeployment {
	return &snapshotDeployment{Deployment: in, progress: workloads.DeploymentCondition(in, appsv1.DeploymentProgressing), fields: newFieldHistory(in)}
}

// wanted is spec.replicas.
func (d *snapshotDeployment) wanted() int32 { return max(workloads.WantedReplicas(d.Spec.Replicas), 0) }

// wantedFirst is spec.replicas before all scales.
func (d *snapshotDeployment) wantedFirst() int32 {
	if len(d.scales) > 0 {
		return d.scales[0].from
	}
	return d.wanted()
}

// current is the ReplicaSet of the last revision, nil if it is not there.
func (d *snapshotDeployment) current() *snapshotSet {
	if len(d.revisions) == 0 {
		return nil
	}
	return d.revisions[len(d.revisions)-1].set
}

// isPast reports whether the Deployment says that its revision is a later one.
func (d *snapshotDeployment) isPast(r *snapshotRevision) bool {
	n, err := strconv.ParseInt(d.Annotations[workloads.RevisionAnnotation], 10, 64)
	return err == nil && n > r.number
}

// revision returns a revision of which states are to be emitted.
func (d *snapshotDeployment) revision(number int64) *snapshotRevision { return d.byNumber[number] }

// revisionOf is the one of these for which a ReplicaSet was created; nil if there is none.
func (d *snapshotDeployment) revisionOf(set *snapshotSet) *snapshotRevision {
	if len(set.numbers) != 1 {
		return nil
	}
	return d.revision(set.numbers[0])
}

// lastProgress is when the controller last reported on the current revision.
func (d *snapshotDeployment) lastProgress() time.Time {
	c := d.progress
	if c == nil {
		return time.Time{}
	}
	switch c.Reason {
	case workloads.NewReplicaSetAvailable, workloads.ProgressDeadlineExceeded, "ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet":
		return c.LastUpdateTime.Time
	}
	return time.Time{} // paused, or in trouble: says nothing of revisions
}

// over reports whether the last revision is rolled out.
func (d *snapshotDeployment) over() bool {
	if d.isOver == nil {
		st := workloads.ReadDeployment(d.Deployment, stream.Observation{}, &workloads.Workload{})
		over := workloads.DeploymentIsComplete(d.Deployment, d.wanted()) || st.RolledOut || st.Held() || d.lostPodsSince()
		d.isOver = &over
	}
	return *d.isOver
}

// lostPodsSince reports whether a Deployment that states no progress has all of its pods, no
// others, and misses only such as are Ready no more, or are not yet and were made since.
func (d *snapshotDeployment) lostPodsSince() bool {
	st := &d.Status
	n := len(d.revisions)
	if d.progress != nil || n == 0 || st.Replicas > st.UpdatedReplicas {
		return false
	}
	last := d.revisions[n-1]
	if (st.ObservedGeneration < d.Generation || st.UpdatedReplicas < d.wanted()) && d.Generation <= last.number {
		return false // nobody has written anything else
	}
	return !last.began.IsZero() && !slices.ContainsFunc(d.madeFor(last), func(pod *snapshotPod) bool {
		return pod.ready.IsZero() && pod.readyFrom.IsZero()
	})
}

// dropUndated leaves out what is over since nobody knows when.
func (snap *snapshot) dropUndated(d *snapshotDeployment) {
	n := len(d.toEmit)
	if n == 0 || !d.over() || !d.toEmit[n-1].completed.IsZero() || !d.toEmit[n-1].failed.IsZero() {
		return
	}
	snap.found.Undated += n
	d.toEmit, d.byNumber, d.base = nil, nil, nil
}

// countKnown reports whether the Deployment is known to have wanted as many pods in the
// rollouts that are told as it wants now, less the scales that are known. Whether somebody
// scaled it since is known if nobody wrote its spec but for its revisions; if the Events are
// all there, as the one about the first step is; or by the size that the ReplicaSet of the
// revision before was told when it was emptied.
func (d *snapshotDeployment) countKnown() bool {
	n := len(d.revisions)
	if len(d.toEmit) == 0 || n == 0 || !d.over() {
		return true
	}
	first := d.toEmit[0]
	if d.otherWrites() <= 0 {
		return true
	}
	if wrote := kube.Writer(d.ManagedFields, false, nil).At; !wrote.IsZero() && !wrote.After(first.began.Add(time.Second)) {
		return true
	}
	for _, s := range first.set.steps {
		if s.event != nil && s.at.Equal(first.began) {
			return true
		}
	}
	if len(d.toEmit) > 1 || n < 2 {
		return false
	}
	return d.revisions[n-2].set.Annotations[desiredReplicasAnnotation] == strconv.Itoa(int(d.wantedFirst()))
}

// otherWrites is how often the spec was written beside the revisions and the scales that are known.
func (d *snapshotDeployment) otherWrites() int64 {
	n := len(d.revisions)
	if n == 0 {
		return 0
	}
	return d.Generation - d.revisions[n-1].number - int64(len(d.scales))
}

// desiredReplicasAnnotation is how many pods its Deployment wanted when a ReplicaSet was
// scaled last (k8s.io/kubernetes/pkg/controller/deployment/util).
const desiredReplicasAnnotation = "deployment.kubernetes.io/desired-replicas"

// emitDeployment emits a Deployment's past, and that of its ReplicaSets and
// their pods.
func (snap *snapshot) emitDeployment(d *snapshotDeployment) {
	d.steps = newStepHistory(snap.stepsOf(d))
	d.narrowReady()
	d.revisions = d.datedRevisions()
	isPast := len(d.revisions) > 0 && d.isPast(d.revisions[len(d.revisions)-1])
	if isPast { // what the Deployment says is of another, which is left out
		snap.found.Undated += len(d.revisions)
		d.revisions = nil
	}
	snap.choose(d)
	d.findScales(snap.begin)
	for i, r := range d.toEmit {
		d.judge(snap, r, d.toEmit[i+1:])
	}
	snap.dropUndated(d)
	snap.doubtBegun(d)
	snap.countUnknown[d.UID] = !d.countKnown()
	listed, from, end := snap.begin, snap.begin, snap.begin
	switch {
	case len(d.toEmit) > 0:
		from = d.toEmit[0].began
		end = d.toEmit[len(d.toEmit)-1].began
		if from.Before(listed) {
			listed = from
		}
	case !d.over():
		// It is on its way, and nothing tells since when but that it was by then.
		listed = snap.onItsWay(d)
		from, end = listed, listed
	}
	for _, r := range d.toEmit {
		d.concludeReady(r)
		end = evidence.Latest(end, r.completed)
	}
	if !d.stepsProven(from) {
		snap.found.Unproven = append(snap.found.Unproven, d.UID)
	}
	for _, set := range d.sets {
		snap.emitSet(set, d, listed, from, end)
		lacks := snap.lacksPods(set)
		for _, pod := range set.pods {
			// The one in its place may be among those that are left out, or it went in a rollout of
			// which nothing is told.
			forget := isPast || lacks && !pod.removed || pod.removed && pod.asked.Before(from)
			if forget && !pod.asked.IsZero() {
				snap.forgetEnd(pod)
			}
			snap.emitPod(pod, listed)
		}
	}
	snap.emitStates(d, listed)
}

// choose picks the revisions to tell: the last ones, back to the first that is
// not dated, as nothing tells how the one before that went on; of these the
// ones that began in time. One that is not over is told in any case.
func (snap *snapshot) choose(d *snapshotDeployment) {
	n := len(d.revisions)
	if n == 0 {
		return
	}
	if last := d.revisions[n-1]; last.began.IsZero() && !d.over() {
		last.began = snap.onItsWay(d)
	}
	first := n
	for first > 0 && !d.revisions[first-1].began.IsZero() &&
		(first == n || d.revisions[first-1].number == d.revisions[first].number-1) {
		first--
	}
	snap.found.Undated += first
	for first < n && d.revisions[first].began.Before(snap.begin) && (first < n-1 || d.over()) {
		first++
		snap.found.Earlier++
	}
	d.toEmit = d.revisions[first:]
	d.byNumber = map[int64]*snapshotRevision{}
	for _, r := range slices.Backward(d.toEmit) { // of equal numbers the first counts
		d.byNumber[r.number] = r
	}
	if first > 0 && first < n {
		d.base = d.revisions[first-1].set
	}
}

// underWaySince is since when the last revision has been on its way at the
// latest.
func (d *snapshotDeployment) underWaySince() time.Time {
	c := d.progress
	if c == nil {
		return time.Time{}
	}
	if c.Reason == workloads.ProgressDeadlineExceeded {
		return c.LastUpdateTime.Add(-d.deadline())
	}
	return d.lastProgress()
}

// onItsWay is when the last revision was on its way at the latest, as far as anything says:
// it was when the snapshot was taken, but not before the Deployment was created.
func (snap *snapshot) onItsWay(d *snapshotDeployment) time.Time {
	at := d.underWaySince()
	if at.IsZero() {
		at = snap.end
	}
	at = evidence.Latest(at, d.CreationTimestamp.Time)
	from := d.CreationTimestamp.Time
	if set := d.current(); set != nil && len(set.numbers) > 1 {
		from = evidence.Latest(from, set.created)
	} else if set != nil {
		from = set.created
	}
	snap.doubt(d.UID, stream.Doubt{At: at, Earliest: from, Latest: at})
	return at
}

func (d *snapshotDeployment) deadline() time.Duration {
	if d.Spec.ProgressDeadlineSeconds == nil {
		return 0
	}
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
}

// emitStates emits the states of the Deployment itself.
func (snap *snapshot) emitStates(d *snapshotDeployment, listed time.Time) {
	at := listed
	first := &snapshotRevision{set: d.current()}
	if n := len(d.revisions); n > 0 {
		first.number = d.revisions[n-1].number
	}
	if len(d.toEmit) > 0 {
		first.number, first.set = d.toEmit[0].number-1, d.base
	}
	switch {
	case len(d.toEmit) == 0 && len(d.scales) == 0:
		before := d.last()
		if asked := before.DeletionTimestamp; asked != nil && asked.After(listed) {
			before.DeletionTimestamp = nil
		}
		snap.emit(listed, rankListed, watch.Added, before)
	case len(d.toEmit) == 0 || !d.createdAs(d.toEmit[0]):
		snap.emit(listed, rankListed, watch.Added, d.state(first, listed, stateSettled))
	}
	for _, r := range d.toEmit {
		if d.createdAs(r) {
			snap.emit(r.began, rankSpec, watch.Added, d.state(r, r.began, stateNew))
		} else {
			snap.emit(r.began, rankSpec, watch.Modified, d.state(r, r.began, stateProgressing))
		}
		at = evidence.Latest(at, r.began)
		if !r.failed.IsZero() {
			at = evidence.Latest(at, r.failed)
			snap.emit(at, rankStatus, watch.Modified, d.state(r, r.failed, stateFailed))
		}
		if !r.completed.IsZero() {
			at = evidence.Latest(at, r.completed)
			snap.emit(at, rankStatus, watch.Modified, d.state(r, r.completed, stateComplete))
		}
	}
	at = snap.emitScales(d, at)
	for i := range d.Status.Conditions {
		c := &d.Status.Conditions[i]
		at = evidence.Latest(at, c.LastTransitionTime.Time, c.LastUpdateTime.Time)
	}
	if d.DeletionTimestamp != nil {
		at = evidence.Latest(at, d.DeletionTimestamp.Time)
	}
	if len(d.toEmit) > 0 || len(d.scales) > 0 || at.After(listed) {
		snap.emit(at, rankStatus, watch.Modified, d.last())
	}
}

// last is the Deployment as it is in the snapshot, with the revision of its ReplicaSet if it does not
// say it itself: its controller writes that before any status, so whoever took the snapshot left it out.
func (d *snapshotDeployment) last() *appsv1.Deployment {
	to := d.DeepCopy()
	n := len(d.revisions)
	if to.Annotations[workloads.RevisionAnnotation] != "" || d.Status.ObservedGeneration == 0 || n == 0 && !d.over() {
		return to
	}
	number := int64(1) // any will do for one that is at rest
	if n > 0 {
		number = d.revisions[n-1].number
	}
	if to.Annotations == nil {
		to.Annotations = map[string]string{}
	}
	to.Annotations[workloads.RevisionAnnotation] = strconv.FormatInt(number, 10)
	return to
}

// createdAs reports whether the Deployment was created with a revision's
// template.
func (d *snapshotDeployment) createdAs(r *snapshotRevision) bool {
	return r.number == 1 && !d.CreationTimestamp.IsZero()
}

// stateKind is which moment of a rollout a state of the Deployment shows.
type stateKind int

const (
	stateNew     stateKind = iota
	stateSettled           // since nobody knows when
	stateProgressing
	stateComplete
	stateFailed
)

// state is the Deployment as it was at a time, in a revision.
func (d *snapshotDeployment) state(r *snapshotRevision, at time.Time, how stateKind) *appsv1.Deployment {
	to := &appsv1.Deployment{TypeMeta: d.TypeMeta, ObjectMeta: d.ObjectMeta, Spec: d.Spec}
	to.DeletionTimestamp = nil
	to.ManagedFields = d.fields.until(at)
	// Since when it has the others, such as a deployer's trace context, nothing
	// tells.
	to.Annotations = map[string]string{workloads.RevisionAnnotation: strconv.FormatInt(r.number, 10)}
	last := d.revisions[len(d.revisions)-1].number
	to.Generation = r.number + max(d.Generation-last-int64(len(d.scales)), 0)
	to.Spec.Paused = false
	w := d.wantedFirst()
	to.Spec.Replicas = &w
	d.setTemplate(&to.Spec.Template, r.set)
	if how == stateNew {
		return to // the controller has not seen it
	}
	to.Status = appsv1.DeploymentStatus{ObservedGeneration: to.Generation, Replicas: w, AvailableReplicas: w}
	c := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated",
		LastUpdateTime: metav1.NewTime(at.Truncate(time.Second)), LastTransitionTime: metav1.NewTime(at.Truncate(time.Second)),
	}
	switch how {
	case stateComplete:
		to.Status.UpdatedReplicas = w
		c.Reason = workloads.NewReplicaSetAvailable
	case stateFailed:
		c.Status, c.Reason = corev1.ConditionFalse, workloads.ProgressDeadlineExceeded
	case stateSettled:
		to.Status.UpdatedReplicas = w
		return to
	case stateNew, stateProgressing:
	}
	to.Status.Conditions = append(to.Status.Conditions, c)
	return to
}

// setTemplate makes the pod template that of a ReplicaSet, which is the
// Deployment's with a label added. The current one is taken as it is written,
// as far as the controller has seen it.
func (d *snapshotDeployment) setTemplate(to *corev1.PodTemplateSpec, set *snapshotSet) {
	seen := d.Status.ObservedGeneration >= d.Generation && !d.Spec.Paused
	switch {
	case set == nil:
		*to = corev1.PodTemplateSpec{}
	case set != d.current() || !seen:
		*to = *set.template()
	}
}
