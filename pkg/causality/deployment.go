package causality

import (
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// deployment is what the engine keeps of a Deployment, and the changes it
// went through.
type deployment struct {
	*object
	seen bool

	// The last state is needed to understand the next.
	deploymentState
	stale time.Time // time of the last ProgressDeadlineExceeded
	// availableAt is the last update of Progressing=NewReplicaSetAvailable.
	availableAt time.Time
	// writtenAt are the newest times managedFields gave.
	templateAt, replicasAt time.Time
	writers                writers

	// changes in order of their writes. The last one is current.
	changes []*change
	// pending is a template that was written but has no revision yet: the
	// controller has not seen it, or is paused.
	pending *change
	deleted bool

	// due is when the engine looks at it next; zero if there is no need.
	due time.Time
}

// current is the latest change, nil if none was seen.
func (d *deployment) current() *change {
	if len(d.changes) == 0 {
		return nil
	}
	return d.changes[len(d.changes)-1]
}

// changeAt is the change during or after which the write s was made.
func (d *deployment) changeAt(s stamp) *change {
	for _, c := range slices.Backward(d.changes) {
		if !s.before(c.opened) {
			return c
		}
	}
	return nil
}

func (e *Engine) observeDeployment(o Observation, in *appsv1.Deployment) *deployment {
	d := e.deployments[in.UID]
	if d == nil && o.Type == watch.Deleted {
		return nil // nothing is known that could have ended
	}
	if d == nil {
		d = &deployment{object: e.track("Deployment", in)}
		e.deployments[in.UID] = d
	}
	d.touched = o.Time
	s := newStamp(in.ResourceVersion, o)
	if o.Type == watch.Deleted {
		d.delete(arrived(o.Time), s)
		return d
	}
	if d.deleted {
		return d // in the foreground; its pods tell the rest
	}
	arrival := o.Time
	if o.Initial {
		arrival = time.Time{}
	}
	state := readDeployment(in, d)
	if !d.seen {
		d.firstState(in, state, s, o)
	} else {
		d.nextState(in, state, s, arrival)
	}
	d.keep(in, state)
	d.progress(in, state, s, arrival)
	if in.DeletionTimestamp != nil {
		// Foreground deletion: no grace period for workloads.
		d.delete(inSecond(in.DeletionTimestamp.Time, arrival), s)
	}
	return d
}

// deploymentState is one observed state, reduced.
type deploymentState struct {
	generation int64
	revision   int64
	replicas   int32
	template   templateHash
	images     []string
	minReady   time.Duration
	paused     bool
	complete   bool
	failedAt   time.Time // lastTransitionTime of ProgressDeadlineExceeded, if so
}

func readDeployment(in *appsv1.Deployment, d *deployment) deploymentState {
	st := deploymentState{
		generation: in.Generation,
		replicas:   1,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		paused:     in.Spec.Paused,
	}
	if in.Spec.Replicas != nil {
		st.replicas = *in.Spec.Replicas
	}
	st.revision, _ = strconv.ParseInt(in.Annotations[revisionAnnotation], 10, 64)
	if d.seen && d.generation == in.Generation && in.Generation != 0 {
		// metadata.generation moves with every change of the spec.
		st.template, st.images = d.template, d.images
	} else {
		st.template, st.images = hashTemplate(&in.Spec.Template), templateImages(&in.Spec.Template)
	}
	st.complete = deploymentComplete(in, st.replicas)
	if c := progressing(in); c != nil && c.Status == corev1.ConditionFalse && c.Reason == progressDeadlineExceeded {
		st.failedAt = c.LastTransitionTime.Time
		if st.failedAt.IsZero() {
			st.failedAt = c.LastUpdateTime.Time
		}
	}
	return st
}

// Reasons of the condition Progressing
// (k8s.io/kubernetes/pkg/controller/deployment/util).
const (
	progressDeadlineExceeded = "ProgressDeadlineExceeded"
	newReplicaSetAvailable   = "NewReplicaSetAvailable"
)

func progressing(in *appsv1.Deployment) *appsv1.DeploymentCondition {
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == appsv1.DeploymentProgressing {
			return c
		}
	}
	return nil
}

// deploymentComplete is what `kubectl rollout status` calls successfully
// rolled out (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go).
func deploymentComplete(in *appsv1.Deployment, want int32) bool {
	st := &in.Status
	return st.ObservedGeneration >= in.Generation && st.UpdatedReplicas >= want &&
		st.Replicas <= st.UpdatedReplicas && st.AvailableReplicas >= st.UpdatedReplicas
}

// keep makes st the last state. A revision does not go back: the annotation
// may be missing from a state, or be rubbish.
func (d *deployment) keep(in *appsv1.Deployment, st deploymentState) {
	d.seen = true
	st.revision = max(st.revision, d.revision)
	d.deploymentState = st
	d.templateAt, d.replicasAt = writer(in, true, nil).at, writer(in, false, nil).at
	d.writers = readWriters(in)
}

// firstState opens a change for a Deployment that is new or on its way. One
// that is complete, or has failed already, is settled: its story is over.
func (d *deployment) firstState(in *appsv1.Deployment, st deploymentState, s stamp, o Observation) {
	d.stale = st.failedAt
	isNew := st.revision == 0 || in.Status.ObservedGeneration == 0
	observed := in.Status.ObservedGeneration >= in.Generation
	settled := st.complete || !st.failedAt.IsZero() || rolledOut(in)
	if !isNew && settled && observed {
		return
	}
	who := writer(in, true, d.writers)
	c := &change{
		kind:         changeRollout,
		opened:       s,
		revision:     st.revision,
		generation:   st.generation,
		cause:        "create",
		manager:      who.manager,
		imagesAfter:  st.images,
		wanted:       st.replicas,
		templateHash: st.template,
		staleFailure: st.failedAt,
	}
	arrival := o.Time
	if o.Initial || !isNew {
		arrival = time.Time{}
	}
	switch {
	case st.revision <= 1 && !in.CreationTimestamp.IsZero():
		c.start = inSecond(in.CreationTimestamp.Time, arrival)
	case !who.at.IsZero():
		c.cause, c.start = "template", inSecond(who.at, arrival)
	default:
		c.cause, c.start = "template", arrived(o.Time)
	}
	if !isNew || o.Initial {
		// Whatever came before this state belongs to the change it shows.
		c.opened = stamp{arrival: c.start.lo}
	}
	if st.paused {
		c.pauses = append(c.pauses, pause{from: c.start})
	}
	if !isNew && (settled || st.paused) {
		// The revision is done with, and a later spec waits for its own, if
		// it is a new template at all.
		c.revision, c.cause = 0, "template"
		if !who.at.IsZero() {
			c.start = inSecond(who.at, arrival)
		}
		c.opened = s
		d.pending = c
		return
	}
	if st.revision == 0 {
		// The first revision will be this one's.
		d.pending = c
	}
	d.changes = append(d.changes, c)
}

// rolledOut reports whether the controller does not work on the current
// revision: it has called it complete, which it keeps saying when pods become
// unavailable afterwards, or was paused.
func rolledOut(in *appsv1.Deployment) bool {
	c := progressing(in)
	if c == nil {
		return false
	}
	switch c.Reason {
	case newReplicaSetAvailable, "DeploymentPaused", "DeploymentResumed":
		return true
	}
	return false
}

// nextState compares a state with the one before.
func (d *deployment) nextState(in *appsv1.Deployment, st deploymentState, s stamp, arrival time.Time) {
	if st.template != d.template {
		d.writeTemplate(in, st, s, arrival)
	}
	if st.replicas != d.replicas {
		d.scale(in, st, s, arrival)
	}
	if st.revision > d.revision {
		d.newRevision(st, s)
	}
	if st.paused != d.paused {
		at := arrived(s.arrival)
		for _, c := range []*change{d.current(), d.pending} {
			c.pause(st.paused, at)
		}
	}
}

// pause notes that an open rollout was paused or resumed.
func (c *change) pause(paused bool, at moment) {
	if c == nil || c.kind != changeRollout || c.ended {
		return
	}
	n := len(c.pauses)
	switch {
	case paused && (n == 0 || c.pauses[n-1].until.known()):
		c.pauses = append(c.pauses, pause{from: at})
	case !paused && n > 0 && !c.pauses[n-1].until.known():
		c.pauses[n-1].until = at
	}
}

// writeTemplate notes a new pod template. The rollout it asks for begins
// here, but which revision that is, and whether there will be one at all, is
// known when the controller has numbered it.
func (d *deployment) writeTemplate(in *appsv1.Deployment, st deploymentState, s stamp, arrival time.Time) {
	if d.pending != nil && d.pending == d.current() {
		// Not even the first revision exists yet: the rollout goes on with
		// another template.
		d.pending.templateHash, d.pending.imagesAfter = st.template, st.images
		return
	}
	d.pending = nil
	cur := d.current()
	if cur != nil && cur.kind == changeRollout && !cur.ended && cur.templateHash == st.template {
		return // written back before the controller saw it
	}
	who := writer(in, true, d.writers)
	c := &change{
		kind:         changeRollout,
		opened:       s,
		start:        writtenAt(who, d.templateAt, arrival, s.arrival),
		generation:   st.generation,
		cause:        "template",
		manager:      who.manager,
		imagesBefore: d.images,
		imagesAfter:  st.images,
		wanted:       st.replicas,
		before:       d.replicas,
		templateHash: st.template,
		staleFailure: d.stale,
	}
	if st.template.isRestartOf(d.template) {
		c.cause = "restart"
	}
	if d.paused || st.paused {
		c.pauses = append(c.pauses, pause{from: c.start})
	}
	d.pending = c
}

// newRevision gives the pending template its number: from now on the rollout
// before it can not complete any more.
func (d *deployment) newRevision(st deploymentState, s stamp) {
	c := d.pending
	d.pending = nil
	if c != nil && c == d.current() {
		c.revision = st.revision // the first one
		return
	}
	if c == nil {
		if cur := d.current(); cur != nil && cur.kind == changeRollout && cur.revision == 0 {
			cur.revision = st.revision
			return
		}
		// A new number for the same template, as after a restore.
		c = &change{
			kind: changeRollout, opened: s, start: arrived(s.arrival), generation: st.generation,
			cause: "template", imagesBefore: d.images, imagesAfter: st.images,
			wanted: st.replicas, before: d.replicas, templateHash: st.template, staleFailure: d.stale,
		}
	}
	c.revision = st.revision
	d.supersede(c)
	d.changes = append(d.changes, c)
}

// supersede ends the change that is open when the next one begins.
func (d *deployment) supersede(next *change) {
	if cur := d.current(); cur != nil && !cur.ended {
		cur.finish(outcomeSuperseded, next.start, next.opened)
	}
}

// scale notes a change of spec.replicas: a step of an open rollout, or a
// change of its own.
func (d *deployment) scale(in *appsv1.Deployment, st deploymentState, s stamp, arrival time.Time) {
	if d.pending != nil {
		d.pending.wanted = st.replicas
	}
	cur := d.current()
	if cur != nil && !cur.ended && cur.kind == changeRollout {
		cur.wanted = st.replicas
		return
	}
	if d.pending != nil {
		return
	}
	who := writer(in, false, d.writers)
	c := &change{
		kind:       changeScale,
		opened:     s,
		start:      writtenAt(who, d.replicasAt, arrival, s.arrival),
		generation: st.generation,
		cause:      "scale",
		manager:    who.manager,
		wanted:     st.replicas,
		before:     d.replicas,
		revision:   st.revision,
	}
	if who.subresource == "scale" && who.manager == "kube-controller-manager" {
		c.cause = "autoscale" // the HPA controller
	}
	d.supersede(c)
	d.changes = append(d.changes, c)
}

// progress notes what the status says of the current change.
func (d *deployment) progress(in *appsv1.Deployment, st deploymentState, s stamp, arrival time.Time) {
	if !st.failedAt.IsZero() {
		d.stale = st.failedAt
	}
	defer func() {
		if c := progressing(in); c != nil && c.Reason == newReplicaSetAvailable {
			d.availableAt = c.LastUpdateTime.Time
		}
	}()
	c := d.current()
	if d.pending != nil && d.pending != c && st.complete && !st.paused {
		d.pending = nil // the controller has seen it, and needs no new revision
	}
	if c == nil || d.pending != nil && d.pending != c {
		return
	}
	if c.kind == changeRollout && st.revision != c.revision {
		return
	}
	if !c.ended {
		c.ready = max(in.Status.AvailableReplicas, 0)
	}
	switch {
	case c.ended && c.outcome == outcomeFailed && !c.recovered && st.complete:
		c.recovered, c.recovery, c.recoverySeen = true, d.completedAt(in, arrival, s.arrival), s.arrival
	case c.ended:
	case st.complete && (c.kind != changeScale || in.Status.Replicas == st.replicas):
		// A rollout is complete as kubectl has it; it does not look at
		// replicas that a scale down is about to remove.
		c.finish(outcomeComplete, d.completedAt(in, arrival, s.arrival), s)
	case c.kind == changeRollout && !st.failedAt.IsZero() && !st.failedAt.Equal(c.staleFailure):
		if in.Spec.ProgressDeadlineSeconds != nil {
			c.deadline = time.Duration(*in.Spec.ProgressDeadlineSeconds) * time.Second
		}
		c.finish(outcomeFailed, inSecond(st.failedAt, arrival), s)
	}
}

// completedAt dates the status that shows a change complete. The API gives a
// time where the reason became NewReplicaSetAvailable with it, else perhaps in
// managedFields.
func (d *deployment) completedAt(in *appsv1.Deployment, arrival, seen time.Time) moment {
	if c := progressing(in); c != nil && c.Reason == newReplicaSetAvailable && c.LastUpdateTime.After(d.availableAt) {
		return inSecond(c.LastUpdateTime.Time, arrival)
	}
	if at := statusWritten(in); !at.IsZero() {
		return inSecond(at, arrival)
	}
	return arrived(seen)
}

func (d *deployment) delete(at moment, s stamp) {
	if d.deleted {
		return
	}
	d.deleted = true
	if d.pending != nil && d.pending != d.current() {
		// It never got a number; it would have been the next.
		d.pending.revision = d.revision + 1
		d.supersede(d.pending)
		d.changes = append(d.changes, d.pending)
	}
	d.pending = nil
	if cur := d.current(); cur != nil && !cur.ended {
		cur.finish(outcomeDeleted, at, s)
	}
	d.changes = append(d.changes, &change{
		kind: changeDelete, opened: s, start: at, cause: "delete", revision: d.revision, before: d.replicas,
	})
}
