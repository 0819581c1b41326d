package causality

import (
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// Annotations that the deployment controller keeps
	// (k8s.io/kubernetes/pkg/controller/deployment/util).
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
)

// maxSteps bounds what is kept of a ReplicaSet that an autoscaler moves up and
// down for weeks. The largest rollouts have a step for every few pods.
const maxSteps = 1024

// replicaSet is what the engine keeps of a ReplicaSet.
type replicaSet struct {
	*object
	owner    types.UID
	created  moment
	revision int64
	// rolledBackTo maps a revision that this ReplicaSet got when it was used
	// again to the revision it had before.
	rolledBackTo map[int64]int64
	replicas     int32
	known        bool // replicas has been seen
	// listed is replicas in the list that a watch starts with; -1 if it was
	// not there.
	listed int32
	steps  []*step
	// available is the history of status.availableReplicas.
	available []availability
	// createFailure is the ReplicaFailure condition, when it is true.
	createFailure failure
	deleted       stamp
	gone          bool
}

// step is one change of a ReplicaSet's spec.replicas.
type step struct {
	from, to   int32
	generation int64
	stamp      stamp
	decided    moment
	initial    bool // not seen itself: the state the watch began with
	// sentStart is the start of its span, once that was handed out.
	sentStart time.Time
	// filled counts its pods that the engine has forgotten.
	filled int32
}

func (s *step) up() bool { return s.to > s.from }

type availability struct {
	replicas int32
	at       time.Time
}

type failure struct{ reason, message string }

func (e *Engine) observeReplicaSet(o Observation, in *appsv1.ReplicaSet) *replicaSet {
	rs := e.replicaSets[in.UID]
	if rs == nil && o.Type == watch.Deleted {
		return nil // nothing is known that could have ended
	}
	if rs == nil {
		rs = &replicaSet{
			object:       e.track("ReplicaSet", in),
			rolledBackTo: map[int64]int64{},
			listed:       -1,
		}
		arrival := o.Time
		if o.Initial || in.Generation > 1 {
			arrival = time.Time{}
		}
		rs.created = inSecond(in.CreationTimestamp.Time, arrival)
		e.replicaSets[in.UID] = rs
	}
	rs.touched = o.Time
	if owner := controller(in).UID; owner != "" && owner != rs.owner {
		e.adopt(rs, owner)
	}
	if o.Type == watch.Deleted {
		rs.gone = true
		rs.deleted = newStamp(in.ResourceVersion, o)
		return rs
	}
	rs.observeRevision(in.Annotations)
	rs.observeReplicas(o, in)
	if n := len(rs.available); n == 0 || rs.available[n-1].replicas != in.Status.AvailableReplicas {
		rs.available = append(rs.available, availability{in.Status.AvailableReplicas, o.Time})
		if len(rs.available) > maxTransitions {
			rs.available = slices.Delete(rs.available, 0, 1)
		}
	}
	for i := range in.Status.Conditions {
		if c := &in.Status.Conditions[i]; c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			rs.createFailure = failure{c.Reason, c.Message}
		}
	}
	return rs
}

// adopt files a ReplicaSet under its Deployment. One that was orphaned (kubectl
// delete --cascade=orphan) stays with the old one until another takes it.
func (e *Engine) adopt(rs *replicaSet, owner types.UID) {
	e.leave(rs)
	rs.owner = owner
	e.replicaSetsOf[owner] = append(e.replicaSetsOf[owner], rs)
}

// leave takes a ReplicaSet from its Deployment.
func (e *Engine) leave(rs *replicaSet) {
	left := slices.DeleteFunc(e.replicaSetsOf[rs.owner], func(o *replicaSet) bool { return o == rs })
	if len(left) == 0 {
		delete(e.replicaSetsOf, rs.owner)
	} else {
		e.replicaSetsOf[rs.owner] = left
	}
}

// observeRevision reads the rollout number. A rollback gives an old
// ReplicaSet a new number and appends the old one to its history.
func (rs *replicaSet) observeRevision(annotations map[string]string) {
	revision, err := strconv.ParseInt(annotations[revisionAnnotation], 10, 64)
	if err != nil || revision == rs.revision {
		return
	}
	history := strings.Split(annotations[revisionHistoryAnnotation], ",")
	if previous, err := strconv.ParseInt(history[len(history)-1], 10, 64); err == nil {
		rs.rolledBackTo[revision] = previous
	}
	rs.revision = revision
}

func (rs *replicaSet) observeReplicas(o Observation, in *appsv1.ReplicaSet) {
	replicas := int32(1) // the API's default
	if in.Spec.Replicas != nil {
		replicas = *in.Spec.Replicas
	}
	if rs.known && replicas == rs.replicas {
		return
	}
	s := &step{
		from:       rs.replicas,
		to:         replicas,
		generation: in.Generation,
		stamp:      newStamp(in.ResourceVersion, o),
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
