package causality

import (
	"slices"
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindReplicaSet = "ReplicaSet"

// replicaSetController is that of a ReplicaSet which is a workload of its own.
var replicaSetController = controller{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(kindReplicaSet),
	service:          attr.ServiceReplicaSet,
	nameKey:          semconv.K8SReplicaSetNameKey,
	uidKey:           semconv.K8SReplicaSetUIDKey,
	numbers:          numberedNot,
	replaces:         replacedByAny,
	scaledBy:         scaledBySpec,
	freedBy:          freedWhenGone,
	fixedTemplate:    true,
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*appsv1.ReplicaSet); ok {
			return &in.Spec.Template
		}
		return nil
	},
}

// maxSteps bounds what is kept of a ReplicaSet that an autoscaler moves up and
// down for weeks. The largest rollouts have a step for every few pods.
const maxSteps = 1024

// podSet is what has pods made to reach a number of them: a ReplicaSet of a
// Deployment, or a workload that makes its pods itself. Only the former has
// steps and revisions.
type podSet struct {
	*object
	owner    objectID    // the workload; itself if it is one
	by       *controller // the workload's kind; nil if it is one itself
	created  moment
	revision int64
	// rolledBackTo maps a revision that this ReplicaSet got when it was used
	// again to the revision it had before.
	rolledBackTo map[int64]int64
	// listedContexts are the trace contexts that it had when the watcher came: a
	// ReplicaSet keeps its Deployment's annotations.
	listedContexts []trace.SpanContext
	replicas       int32
	known          bool // replicas has been seen
	// listed is replicas in the list that a watch starts with; -1 if it was
	// not there.
	listed int32
	steps  []*step
	// available is the history of status.availableReplicas.
	available []availability
	// createFailures are in order of their times.
	createFailures []createFailure
	deleted        stamp
	gone           bool
	// released is when its Deployment was deleted without it.
	released stamp
	// template is the one that it was first seen with, and tried says that it has wanted
	// pods since it has its revision: of a workload that is put together.
	template podTemplate
	tried    bool
}

func newPodSet(obj *object) *podSet {
	return &podSet{object: obj, rolledBackTo: map[int64]int64{}, listed: -1}
}

// podSet returns the record of what makes pods, made if need be.
func (e *Engine) podSet(obj *object) *podSet {
	set := e.sets[obj.objectID]
	if set == nil {
		set = newPodSet(obj)
		e.sets[obj.objectID] = set
	}
	return set
}

// direct reports whether the set is the workload itself.
func (rs *podSet) direct() bool { return rs.owner == rs.objectID }

// step is one change of a ReplicaSet's spec.replicas.
type step struct {
	from, to   int32
	generation int64
	stamp      stamp
	decided    moment
	initial    bool // not seen itself: the state the watch began with

	ledger stepLedger
}

func (s *step) up() bool { return s.to > s.from }

type availability struct {
	replicas int32
	at       time.Time
}

type failure struct{ reason, message string }

func (f failure) words() (reason, message string) { return f.reason, f.message }

// observeReplicaSet returns the object whose workload has news.
func (e *Engine) observeReplicaSet(o Observation, k *controller, in *appsv1.ReplicaSet) *podSet {
	id := k.id(in)
	rs := e.sets[id]
	var owner objectID
	ref := controllerRef(in)
	by := owningController(ref)
	if by != nil && by.pods == podsMadeBySets {
		owner = newOwnerRef(ref).in(in.Namespace)
		if by.compose != nil && e.workloads[owner] == nil {
			e.expect(owner, by, o, in)
			owner = objectID{} // it is a workload of its own as long as that is not seen
		}
	}
	if owner.uid == "" && (rs == nil || rs.direct() || rs.owner.uid == "") {
		// No Deployment has it. One that a Deployment let go of (kubectl
		// delete --cascade=orphan) stays with it until another takes it.
		e.observeWorkload(o, k, in, func(last *workload) workloadState {
			return readReplicaSet(in, o, last)
		})
		return e.sets[id]
	}
	if rs == nil && o.Type == watch.Deleted {
		return nil // nothing is known that could have ended
	}
	if rs == nil || rs.direct() {
		if rs != nil {
			e.taken(rs, in, o)
		}
		rs = e.podSet(e.track(id, in.Name))
		e.firstSeen(rs, o, in)
	}
	rs.touched = o.Time
	rs.owned = ownerRefOf(in)
	if owner.uid != "" && owner != rs.owner {
		e.adopt(rs, owner)
		rs.by, rs.released = by, stamp{}
	}
	if ref.UID == "" && rs.released == (stamp{}) {
		rs.released = newStamp(in.ResourceVersion, o)
	}
	if o.Type == watch.Deleted {
		rs.gone = true
		rs.deleted = newStamp(in.ResourceVersion, o)
	} else {
		rs.observe(o, in)
	}
	e.tellOwner(rs, o, in)
	return rs
}

func replicaSetID(in *appsv1.ReplicaSet) objectID { return replicaSetController.id(in) }

// firstSeen begins the record of a ReplicaSet that is part of a workload.
func (e *Engine) firstSeen(rs *podSet, o Observation, in *appsv1.ReplicaSet) {
	arrival := o.Time
	if o.Initial || in.Generation > 1 {
		arrival = time.Time{}
	}
	rs.created = inSecond(in.CreationTimestamp.Time, arrival)
	if o.Initial {
		rs.listedContexts = e.contextsIn(in.Annotations)
	}
	rs.tried = in.Generation > 1
}

// observe takes in a state of a ReplicaSet that is part of a workload.
func (rs *podSet) observe(o Observation, in *appsv1.ReplicaSet) {
	rs.observeRevision(in.Annotations)
	rs.observeReplicas(o, in)
	rs.tried = rs.tried || rs.replicas > 0
	rs.observeAvailable(in.Status.AvailableReplicas, o.Time)
	rs.observeCreateFailure(in.Status.Conditions, o.Time)
}

func (rs *podSet) observeAvailable(replicas int32, seen time.Time) {
	if n := len(rs.available); n > 0 && rs.available[n-1].replicas == replicas {
		return
	}
	rs.available = append(rs.available, availability{replicas, seen})
	if len(rs.available) > maxTransitions {
		rs.available = slices.Delete(rs.available, 0, 1)
	}
}

// readReplicaSet reads a ReplicaSet that no Deployment has.
func readReplicaSet(in *appsv1.ReplicaSet, o Observation, last *workload) workloadState {
	st := workloadState{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   wantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		available:  in.Status.AvailableReplicas,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
	}
	st.readTemplate(&in.Spec.Template, last)
	st.fixed(in.CreationTimestamp.Time, o)
	return st
}

// fixed completes the state of what does not roll: only its creation is a
// rollout.
func (st *workloadState) fixed(created time.Time, o Observation) {
	st.isNew, st.unnumbered, st.first = st.observed == 0, st.observed == 0, true
	st.scaled = st.observed >= st.generation && st.observed != 0 && st.total == st.replicas && st.available >= st.replicas
	st.complete = st.scaled
	st.rolledOut = !st.isNew && (st.generation > 1 || !recent(created, o))
}

// adopt files what makes pods under its workload.
func (e *Engine) adopt(rs *podSet, owner objectID) {
	e.leave(rs)
	rs.owner = owner
	e.setsOf[owner] = append(e.setsOf[owner], rs)
}

// leave takes a set from its workload.
func (e *Engine) leave(rs *podSet) {
	left := slices.DeleteFunc(e.setsOf[rs.owner], func(o *podSet) bool { return o == rs })
	if len(left) == 0 {
		delete(e.setsOf, rs.owner)
	} else {
		e.setsOf[rs.owner] = left
	}
}

// observeRevision reads the rollout number. A rollback gives an old
// ReplicaSet a new number and appends the old one to its history.
func (rs *podSet) observeRevision(annotations map[string]string) {
	revision, err := strconv.ParseInt(annotations[rs.by.revisionAnnotation], 10, 64)
	if err != nil || revision == rs.revision {
		return
	}
	history := strings.Split(annotations[rs.by.historyAnnotation], ",")
	if previous, err := strconv.ParseInt(history[len(history)-1], 10, 64); err == nil {
		rs.rolledBackTo[revision] = previous
		keepNewest(rs.rolledBackTo, maxNumbers) // an annotation, which others may write
	}
	if rs.revision != 0 {
		rs.tried = false // it is used again
	}
	rs.revision = revision
}

func (rs *podSet) observeReplicas(o Observation, in *appsv1.ReplicaSet) {
	replicas := wantedReplicas(in.Spec.Replicas)
	if rs.known && replicas == rs.replicas {
		return
	}
	written := newStamp(in.ResourceVersion, o)
	s := &step{
		from:       rs.replicas,
		to:         replicas,
		generation: written.number(in.Generation),
		stamp:      written,
		decided:    arrived(o.Time),
	}
	if !rs.known {
		if in.Generation > 1 || o.Initial {
			s.initial = true
			s.decided = rs.created
			s.stamp = stamp{arrival: rs.created.lo}
		} else {
			s.decided = inSecond(in.CreationTimestamp.Time, o.Time)
		}
	}
	if !rs.known && o.Initial {
		rs.listed = replicas
	}
	rs.known = true
	rs.replicas = replicas
	if s.from == s.to {
		return
	}
	rs.steps = append(rs.steps, s)
	if len(rs.steps) > maxSteps {
		rs.steps = slices.Delete(rs.steps, 0, 1)
	}
}
