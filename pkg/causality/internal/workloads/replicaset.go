package workloads

import (
	"slices"
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// kindReplicaSet is the kind of ReplicaSets.
const kindReplicaSet = "ReplicaSet"

// ReplicaSetController is that of a ReplicaSet which is a workload of its own.
var ReplicaSetController = Controller{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(kindReplicaSet),
	service:          attr.ServiceReplicaSet,
	nameKey:          semconv.K8SReplicaSetNameKey,
	uidKey:           semconv.K8SReplicaSetUIDKey,
	labelKey:         semconv.K8SReplicaSetLabel,
	annotationKey:    semconv.K8SReplicaSetAnnotation,
	Numbers:          notNumbered,
	Replaces:         replacedByAny,
	ScaledBy:         scaledBySpec,
	FreedBy:          freedWhenGone,
	FixedTemplate:    true,
	named:            namedByOwner,
	Template:         templateIn(func(in *appsv1.ReplicaSet) *corev1.PodTemplateSpec { return &in.Spec.Template }),
}

// MaxSteps bounds what is kept of a ReplicaSet that an autoscaler moves up and
// down for weeks. The largest rollouts have a step for every few pods.
const MaxSteps = 1024

// PodSet is what has pods made to reach a number of them: a ReplicaSet that is part of a
// workload, such as a Deployment or an Argo Rollout, or a workload that makes its pods
// itself. Only the former has steps and revisions.
type PodSet struct {
	*podlife.Object
	Owner    kube.ObjectID // the workload; itself if it is one
	By       *Controller   // the workload's kind; nil if it is one itself
	Created  evidence.Moment
	Revision int64
	// RolledBackTo maps a revision that this ReplicaSet got when it was used
	// again to the revision it had before.
	RolledBackTo map[int64]int64
	// ListedContexts are the trace contexts that it had when the watcher came: a ReplicaSet
	// keeps the annotations that its Deployment had.
	ListedContexts []trace.SpanContext
	Replicas       int32
	Known          bool // Replicas has been seen
	// Listed is what Replicas was in the list that a watch starts with; -1 if the set was
	// not there.
	Listed int32
	Steps  []*Step // in the order in which they were decided
	// Available is the history of status.availableReplicas.
	Available []availability
	// createFailures are the times in which its pods could not be created, in order.
	createFailures []createFailure
	DeletedBy      evidence.Write
	Gone           bool
	// ReleasedBy is the write by which its workload was deleted without it.
	ReleasedBy evidence.Write
	// template is the one that it was first seen with, and Tried says that it has wanted
	// pods for use since it has its revision: of a workload that is put together.
	template kube.PodTemplate
	Tried    bool
}

// NewPodSet returns the record of a set of which no state was seen.
func NewPodSet(obj *podlife.Object) *PodSet {
	return &PodSet{Object: obj, RolledBackTo: map[int64]int64{}, Listed: -1}
}

// Direct reports whether the set is the workload itself.
func (set *PodSet) Direct() bool { return set.Owner == set.ObjectID }

// Step is one change of a ReplicaSet's spec.replicas: the deployment controller scales
// web-6757 from 1 to 2. A rollout consists of steps of several ReplicaSets.
type Step struct {
	From, To   int32
	Generation int64
	Write      evidence.Write
	Decided    evidence.Moment
	Initial    bool // it was not seen: the ReplicaSet had been scaled when the watch began

	Ledger ledger.Step
}

// Up reports whether the step asks for more pods, rather than for fewer.
func (s *Step) Up() bool { return s.To > s.From }

// MadeAfter reports whether a ReplicaSet was seen to be made, with pods, after a write.
func (set *PodSet) MadeAfter(write evidence.Write) bool {
	return len(set.Steps) > 0 && !set.Steps[0].Initial && set.Steps[0].From == 0 && !set.Steps[0].Write.Before(write)
}

// availability is how many pods of a set were available from a time on.
type availability struct {
	replicas int32
	At       time.Time
}

// ReplicaSetID is the identity of a ReplicaSet.
func ReplicaSetID(in *appsv1.ReplicaSet) kube.ObjectID { return ReplicaSetController.ID(in) }

// Observe takes in a state of a ReplicaSet that is part of a workload.
func (set *PodSet) Observe(o stream.Observation, in *appsv1.ReplicaSet) {
	set.observeRevision(in.Annotations)
	set.observeReplicas(o, in)
	// Pods that are kept from before are no try: the deadline goes in the turn after the new revision comes.
	set.Tried = set.Tried || set.Replicas > 0 && in.Annotations[scaleDownDeadlineAnnotation] == ""
	set.ObserveAvailable(in.Status.AvailableReplicas, o.Time)
	set.observeCreateFailure(in.Status.Conditions, o.Time)
}

// ObserveAvailable takes in how many of its pods are available.
func (set *PodSet) ObserveAvailable(replicas int32, seen time.Time) {
	if n := len(set.Available); n > 0 && set.Available[n-1].replicas == replicas {
		return
	}
	set.Available = append(set.Available, availability{replicas, seen})
	if len(set.Available) > podlife.MaxTransitions {
		set.Available = slices.Delete(set.Available, 0, 1)
	}
}

// MostAvailable is how many of its pods were available at once, at most, by a time.
func (set *PodSet) MostAvailable(by time.Time) (most int) {
	for _, a := range set.Available {
		if !a.At.After(by) {
			most = max(most, int(a.replicas))
		}
	}
	return most
}

// ReadReplicaSet reads the state of a ReplicaSet that is a workload of its own.
func ReadReplicaSet(in *appsv1.ReplicaSet, o stream.Observation, last *Workload) State {
	st := State{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   WantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		Available:  in.Status.AvailableReplicas,
		MinReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
	}
	st.readTemplate(&in.Spec.Template, last)
	st.fixed(in.CreationTimestamp.Time, o)
	return st
}

// fixed completes the state of what does not roll: only its creation is a
// rollout.
func (st *State) fixed(created time.Time, o stream.Observation) {
	st.IsNew, st.unnumbered, st.First = st.observed == 0, st.observed == 0, true
	st.Scaled = st.observed >= st.generation && st.observed != 0 && st.total == st.replicas && st.Available >= st.replicas
	st.Complete = st.Scaled
	st.RolledOut = !st.IsNew && (st.generation > 1 || !recent(created, o))
}

// observeRevision reads the rollout number. A rollback gives an old
// ReplicaSet a new number and appends the old one to its history.
func (set *PodSet) observeRevision(annotations map[string]string) {
	revision, err := strconv.ParseInt(annotations[set.By.revisionAnnotation], 10, 64)
	if err != nil || revision == set.Revision {
		return
	}
	history := strings.Split(annotations[set.By.historyAnnotation], ",")
	if previous, err := strconv.ParseInt(history[len(history)-1], 10, 64); err == nil {
		set.RolledBackTo[revision] = previous
		ledger.KeepNewest(set.RolledBackTo, MaxNumbers) // an annotation, which others may write
	}
	if set.Revision != 0 {
		set.Tried = false // it is used again
	}
	set.Revision = revision
}

func (set *PodSet) observeReplicas(o stream.Observation, in *appsv1.ReplicaSet) {
	replicas := WantedReplicas(in.Spec.Replicas)
	if set.Known && replicas == set.Replicas {
		return
	}
	written := evidence.NewWrite(in.ResourceVersion, o)
	step := &Step{
		From:       set.Replicas,
		To:         replicas,
		Generation: written.Number(in.Generation),
		Write:      written,
		Decided:    evidence.Arrived(o.Time),
	}
	if !set.Known {
		if in.Generation > 1 || o.Initial {
			step.Initial = true
			step.Decided = set.Created
			step.Write = evidence.Write{Arrival: set.Created.Earliest}
		} else {
			step.Decided = evidence.InSecond(in.CreationTimestamp.Time, o.Time)
		}
	}
	if !set.Known && o.Initial {
		set.Listed = replicas
	}
	set.Known = true
	set.Replicas = replicas
	if step.From == step.To {
		return
	}
	set.Steps = append(set.Steps, step)
	if len(set.Steps) > MaxSteps {
		set.Steps = slices.Delete(set.Steps, 0, 1)
	}
}
