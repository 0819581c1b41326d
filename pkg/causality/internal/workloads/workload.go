package workloads

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// ScheduledRun is the run that the schedule asked for; a Job that was suspended
// and resumed has others.
func (w *Workload) ScheduledRun() *Change {
	for _, c := range w.Changes {
		if c.Kind == attr.ChangeJob && c.Cause == attr.CauseSchedule {
			return c
		}
	}
	return nil
}

// ForgetChange drops the oldest change, but for the trace that it joined.
func (w *Workload) ForgetChange() {
	c := w.Changes[0]
	w.Changes = w.Changes[1:]
	w.Forgotten = max(w.Forgotten, c.Revision)
	if c.Comparable() {
		w.LastCompleted = c
	}
	if c.Kind != attr.ChangeRollout || !c.Ledger.Joined.IsValid() {
		return
	}
	w.Ledger.RememberJoined(c.Revision, c.Ledger.Joined)
}

// Workload is what the engine keeps of an object that has pods made, and the
// changes it went through: a Deployment, a StatefulSet, a DaemonSet, a Job, an Argo
// Rollout, a ReplicaSet or ReplicationController that belongs to no other; and a pod that
// none of these made, which is its own workload.
type Workload struct {
	*podlife.Object
	Controller *Controller // its kind
	Seen       bool        // a state of it has been seen: the State below holds
	Watched    time.Time   // when its first state arrived
	// listed are the numbers that a StatefulSet's pods were to have in the list that the watch
	// began with; nil if it was not there.
	listed  *ordinals
	created time.Time // by its first state
	// Inferred says that its states were reconstructed from a snapshot, CountUnknown that how
	// many pods it wanted is not known: see stream.Observation.
	Inferred, CountUnknown bool

	// State is the last one, without which the next could not be understood.
	State
	Stated        evidence.Write
	lastFailedAt  time.Time // failedAt of the last state that had one
	lastAvailable time.Time // the latest availableAt of all states
	// templateAt and replicasAt are when the pod template, and the replicas, were last written,
	// by the managedFields of the last state.
	templateAt, replicasAt time.Time
	Writers                kube.Writers
	// takenUpTemplate is the template of the latest rollout that the controller has
	// taken up, not known if that was before the watcher came.
	takenUpTemplate kube.PodTemplate

	// Changes are in the order of the writes that opened them. The last one is current.
	Changes []*Change
	// Pending is the rollout to a template that was written and has no revision yet, as the
	// controller has not seen it, or the workload is paused. pendingTemplate is that template.
	Pending         *Change
	pendingTemplate kube.PodTemplate
	suspected       *Change // see ConfirmRollback
	datedLate       *Change // see DateRun
	// Deleted is set when its deletion was asked for, and Gone when there is no such object
	// any more: one that is deleted in the foreground is there until what it owns is gone. Of
	// a pod its record says so.
	Deleted, Gone bool
	// Contexts are the deployers' traces, lastDeployed is when the last change
	// was opened that may have joined one.
	Contexts     traceContexts
	lastDeployed evidence.Write
	// highest is the highest number that it is known to have had.
	highest int64
	// Forgotten is the highest number of the rollouts that are not kept.
	Forgotten int64
	// LastCompleted is the latest completed rollout of those that are not kept, to compare
	// later ones with.
	LastCompleted *Change

	Ledger ledger.Workload

	// Runs is the service of a Job's pods, or of a pod that is its own workload; of the
	// others the template says it.
	Runs *kube.Service

	Composition *Composition // of a workload that is put together

	shown []attribute.KeyValue // labels and annotations that somebody asked for: see Shown

	CronJob *cronTrigger // of a Job that a CronJob has
	Resumed time.Time    // the latest time at which the controller says it resumed the Job
	// toResume says that it is a Job that was created suspended, and that was not resumed yet.
	toResume bool

	// RestUntil is when the engine reviews it next at the earliest: see RestAfter.
	RestUntil time.Time
}

// Together is how long what may be forgotten of a workload waits for more, where its pods go one after the other, and
// how long the stops of the pods of one that is gone wait for each other: a review takes all of it, and there is none
// for each pod.
const Together = 15 * time.Second

// RestAfter has the workload left alone for a time after a review, which is as long as that took many times over.
// Of one that is gone, which was handed out, nothing is urgent: over says that.
func (w *Workload) RestAfter(now time.Time, rest time.Duration, over bool) {
	if over {
		rest = max(rest, Together)
	}
	w.RestUntil = now.Add(rest)
}

// State is one state of a workload that was observed, reduced to what the kinds have in
// common. It is what a Controller reads from an object.
type State struct {
	generation int64
	observed   int64 // the generation that the controller has seen
	// Revision is the number of the rollout where the workload states it
	// (Deployments), revisionName the ControllerRevision that is rolled out
	// (StatefulSets).
	Revision int64
	revisionNumber
	revisionName string
	replicas     int32 // how many pods are wanted
	total        int32 // how many there are, old ones included
	Available    int32 // how many of them are available
	// Of StatefulSets, ready counts pods before their minReadySeconds are over, those
	// below the partition keep the old revision, updated says that the others have
	// the new one, and InOrder that pods are made one after the other; firstOrdinal is
	// the number of the first pod.
	ready, partition int32
	updated, InOrder bool
	// othersLeft says that a pod has another revision than the one which is rolled out, or is being deleted: the
	// status does not tell which.
	othersLeft   bool
	firstOrdinal int32
	OnDelete     bool // pods are replaced when somebody deletes them
	template     kube.PodTemplate
	MinReady     time.Duration
	paused       bool
	// Of a Deployment, begun says that pods have the template, and pausedAt is when its
	// controller noticed that it is paused; zero if it does not say.
	begun    bool
	pausedAt time.Time
	// atRest says that the next step of a rollout is not held up by pods, where a pause
	// is not stated.
	atRest bool
	// Leaving says that pods are kept for a while that are out of use already, as those
	// before a blue-green switch.
	Leaving  bool
	Recreate bool // of Deployments: old pods are gone before new ones are made

	// Complete is what `kubectl rollout status` calls successfully rolled out
	// (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go).
	Complete bool
	// Scaled says that all replicas are there and available, and no others.
	Scaled bool
	// IsNew says that the controller has not seen the workload yet, unnumbered
	// that it has no revision yet; First that its template is the one it was
	// created with.
	IsNew, unnumbered, First bool
	// RolledOut says that the controller is done with the template, even if
	// pods have become unavailable since, and underWay that it is not. If neither is said,
	// nothing tells.
	RolledOut, underWay bool
	failedAt            time.Time        // lastTransitionTime of ProgressDeadlineExceeded, if so
	failedUntil         time.Time        // of the first state of a Deployment: FailedUntil
	failure             evidence.Failure // why it failed, if not because its deadline was exceeded
	deadline            time.Duration    // progressDeadlineSeconds
	// availableAt is the last update of Progressing=NewReplicaSetAvailable.
	availableAt time.Time
}

// Total is how many pods the status counts, old ones included.
func (st *State) Total() int32 { return st.total }

// young is how long after a write an incomplete status is still taken for that
// write's doing, where the status does not tell: of workloads that were there
// before the watcher was.
const young = 10 * time.Minute

func recent(at time.Time, o stream.Observation) bool { return at.After(o.Time.Add(-young)) }

// Current is the latest change, nil if none was seen.
func (w *Workload) Current() *Change {
	if len(w.Changes) == 0 {
		return nil
	}
	return w.Changes[len(w.Changes)-1]
}

// ChangeAt is the latest change that was opened by the time of a write, so that the write was
// made during it or after it; nil if there is none.
func (w *Workload) ChangeAt(write evidence.Write) *Change {
	for _, c := range slices.Backward(w.Changes) {
		if !write.Before(c.Opened) {
			return c
		}
	}
	return nil
}

// ChangeAfter is the first change that was opened after a write; nil if there is none.
func (w *Workload) ChangeAfter(write evidence.Write) *Change {
	for _, c := range w.Changes {
		if write.Before(c.Opened) {
			return c
		}
	}
	return nil
}

// Direct reports whether the workload makes its pods itself.
func (w *Workload) Direct() bool { return w.Controller.Pods != PodsMadeBySets }

// writer is who last wrote the pod template, or else the replicas.
func (w *Workload) writer(fields []metav1.ManagedFieldsEntry, template bool) kube.Written {
	switch k := w.Composition; {
	case k == nil:
		return kube.Writer(fields, template, w.Writers)
	case template:
		who := k.Template
		if w.Seen && who.At.Equal(k.dated.At) && who.Seen.Equal(k.dated.Seen) {
			who.At = time.Time{} // this write was not seen yet
		}
		return who
	default:
		return k.Replicas
	}
}

// Keep makes a state the last one. It need not have a number.
func (w *Workload) Keep(fields []metav1.ManagedFieldsEntry, st State) {
	w.Seen = true
	if st.Revision == 0 {
		st.Revision = w.Revision
	}
	if !st.claimed {
		w.highest = max(w.highest, st.Revision)
	}
	w.State = st
	w.templateAt, w.replicasAt = kube.Writer(fields, true, nil).At, kube.Writer(fields, false, nil).At
	w.Writers = kube.ReadWriters(fields)
}
