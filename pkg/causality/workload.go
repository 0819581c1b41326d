package causality

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// workload is what the engine keeps of an object that has pods made, and the
// changes it went through: a Deployment, a StatefulSet, a DaemonSet, a Job, a
// ReplicaSet or ReplicationController that no Deployment has; and a pod that
// none of these made, which is its own workload.
type workload struct {
	*object
	controller *controller // its kind
	seen       bool
	inferred   bool // its states are of a snapshot's past: see Observation

	// The last state is needed to understand the next.
	workloadState
	stated        stamp
	stale         time.Time // time of the last ProgressDeadlineExceeded
	lastAvailable time.Time // the latest availableAt
	// writtenAt are the newest times managedFields gave.
	templateAt, replicasAt time.Time
	writers                writers
	// numbered is the template of the latest rollout that the controller has
	// taken up, not known if that was before the watcher came.
	numbered podTemplate

	// changes in order of their writes. The last one is current.
	changes []*change
	// pending is a template that was written but has no revision yet: the
	// controller has not seen it, or is paused. asked is that template.
	pending *change
	asked   podTemplate
	deleted bool
	// gone is set when there is no such object any more: one that is deleted in the
	// foreground is there until what it owns is gone. Of a pod its record says so.
	gone bool
	// contexts are the deployers' traces, lastDeployed is when the last change
	// was opened that may have joined one.
	contexts     traceContexts
	lastDeployed stamp
	// forgotten is the highest number of the rollouts that are not kept.
	forgotten int64
	// lastCompleted is the latest completed rollout of these, to compare with.
	lastCompleted *change

	ledger workloadLedger

	composition *composition // of a workload that is put together

	cronJob *cronTrigger // of a Job that a CronJob has
	resumed time.Time    // the latest time at which the controller says it resumed the Job

	// due is when the engine looks at it next; zero if there is no need. Before rested it
	// does not: see restAfterStep.
	due, rested time.Time
}

// workloadState is one observed state, reduced to what the kinds have in
// common.
type workloadState struct {
	generation int64
	observed   int64 // the generation that the controller has seen
	// revision is the number of the rollout where the workload states it
	// (Deployments), revisionName the ControllerRevision that is rolled out
	// (StatefulSets).
	revision     int64
	revisionName string
	replicas     int32 // wanted
	total        int32 // there are
	available    int32
	// StatefulSets: ready counts pods before their minReadySeconds are over, those
	// below the partition keep the old revision, updated says that the others have
	// the new one, and inOrder that pods are made one after the other; firstOrdinal is
	// the number of the first pod.
	ready, partition int32
	updated, inOrder bool
	firstOrdinal     int32
	onDelete         bool // pods are replaced when somebody deletes them
	template         podTemplate
	minReady         time.Duration
	paused           bool
	// atRest says that the next step of a rollout is not held up by pods, where a pause
	// is not stated.
	atRest bool
	// leaving says that pods are kept for a while that are out of use already.
	leaving  bool
	recreate bool // Deployments: old pods are gone before new ones are made

	// complete is what `kubectl rollout status` calls successfully rolled out
	// (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go).
	complete bool
	// scaled says that all replicas are there and available, and no others.
	scaled bool
	// isNew says that the controller has not seen the workload yet, unnumbered
	// that it has no revision yet; first that its template is the one it was
	// created with.
	isNew, unnumbered, first bool
	// rolledOut says that the controller is done with the template, even if
	// pods have become unavailable since.
	rolledOut bool
	failedAt  time.Time     // lastTransitionTime of ProgressDeadlineExceeded, if so
	failure   failure       // why it failed, where nothing was too late
	deadline  time.Duration // progressDeadlineSeconds
	// availableAt is the last update of Progressing=NewReplicaSetAvailable.
	availableAt time.Time
}

// young is how long after a write an incomplete status is still taken for that
// write's doing, where the status does not tell: of workloads that were there
// before the watcher was.
const young = 10 * time.Minute

func recent(at time.Time, o Observation) bool { return at.After(o.Time.Add(-young)) }

// current is the latest change, nil if none was seen.
func (d *workload) current() *change {
	if len(d.changes) == 0 {
		return nil
	}
	return d.changes[len(d.changes)-1]
}

// changeAt is the change during or after which the write s was made.
func (d *workload) changeAt(s stamp) *change {
	for _, c := range slices.Backward(d.changes) {
		if !s.before(c.opened) {
			return c
		}
	}
	return nil
}

// changeAfter is the first change that was opened after s.
func (d *workload) changeAfter(s stamp) *change {
	for _, c := range d.changes {
		if s.before(c.opened) {
			return c
		}
	}
	return nil
}

// direct reports whether the workload makes its pods itself.
func (d *workload) direct() bool { return d.controller.pods != podsMadeBySets }

// workload returns the record of a workload, made if need be. Nil means that
// there is nothing to observe.
func (e *Engine) workload(o Observation, k *controller, meta metav1.Object) *workload {
	id := k.id(meta)
	d := e.workloads[id]
	if d == nil {
		if o.Type == watch.Deleted {
			return nil // nothing is known that could have ended
		}
		d = &workload{object: e.track(id, meta.GetName()), controller: k}
		e.workloads[id] = d
		if d.direct() {
			set := e.podSet(d.object)
			if set.owner != id {
				e.adopt(set, id)
			}
		}
	}
	d.touched = o.Time
	d.owned = ownerRefOf(meta)
	return d
}

// observeWorkload takes in a state of a workload that has revisions or
// replicas. read reduces it; last is the state before.
func (e *Engine) observeWorkload(o Observation, k *controller, meta metav1.Object, read func(last *workload) workloadState) *workload {
	d := e.workload(o, k, meta)
	if d == nil {
		return nil
	}
	d.inferred = o.Inferred
	s := newStamp(meta.GetResourceVersion(), o)
	if o.Type == watch.Deleted {
		d.vanish(arrived(o.Time), s)
		return d
	}
	if d.deleted {
		return d // in the foreground; its pods tell the rest
	}
	fields := meta.GetManagedFields()
	arrival := o.arrival()
	state := read(d)
	e.observeContexts(d, meta, s, o.Initial || !d.seen && !state.isNew && !state.first)
	if !d.seen {
		d.firstState(meta, state, s, o)
	} else {
		d.nextState(fields, state, s, arrival)
	}
	d.keep(fields, state)
	d.stated = s
	d.progress(fields, state, s, arrival)
	if d.direct() {
		e.sets[d.objectID].observeAvailable(state.available, o.Time)
	}
	if at := meta.GetDeletionTimestamp(); !at.IsZero() {
		// Foreground deletion: no grace period for workloads.
		d.delete(inSecond(at.Time, arrival), s)
	}
	return d
}

// writer is who last wrote the pod template, or else the replicas.
func (d *workload) writer(fields []metav1.ManagedFieldsEntry, template bool) written {
	switch k := d.composition; {
	case k == nil:
		return writer(fields, template, d.writers)
	case template:
		return k.template
	default:
		return k.replicas
	}
}

// keep makes st the last state. A revision does not go back: the annotation
// may be missing from a state, or be rubbish.
func (d *workload) keep(fields []metav1.ManagedFieldsEntry, st workloadState) {
	d.seen = true
	st.revision = max(st.revision, d.revision)
	d.workloadState = st
	d.templateAt, d.replicasAt = writer(fields, true, nil).at, writer(fields, false, nil).at
	d.writers = readWriters(fields)
}
