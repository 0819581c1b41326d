package causality

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// controller is a kind of workload: how the controller that works for it numbers its
// rollouts, makes and replaces pods, what it waits for, and how its objects are read and
// told of. There is one value for each kind, in a file of its own. A workload's record
// holds that of its kind, and all else asks what the controller does, never which one it
// is: kinds_test.go sees to it.
type controller struct {
	// GroupVersionKind names the kind; its spans are called by it: "Deployment rollout".
	schema.GroupVersionKind
	// service is the component that does the work, as service.name has it.
	service string
	// nameKey and uidKey are the semantic conventions' attributes for the object, ""
	// where they have none.
	nameKey, uidKey attribute.Key

	pods     podMaking
	numbers  numbering
	replaces replacement
	scaledBy scaling
	// rolls says that the controller replaces the pods when the template changes.
	// Without that a new template is for the pods that come next, whenever that is.
	rolls bool
	// completeWhenReady says that a rollout is complete without its last pod having been
	// ready for minReadySeconds.
	completeWhenReady bool
	// freedBy is what of a pod that was deleted keeps the controller from going on.
	freedBy freeing
	// fixedTemplate says that the API server lets nobody change the pod template, so
	// that all pods are of the one that the object has.
	fixedTemplate bool

	// revisionAnnotation is where a ReplicaSet of the workload has the number of its
	// rollout, and historyAnnotation where it has those that it had before.
	revisionAnnotation, historyAnnotation string
	// compose puts the workload's state together where only the metadata of its own
	// object is read; else nil.
	compose *composer

	// states reads the kind's own objects, where those have revisions or replicas. Pods
	// and ReplicaSets are more than workloads, Jobs have runs, and of custom resources
	// only the metadata is read: the engine observes these in ways of their own.
	states stateReader
	// template is the pod template of an object of the kind, nil if it is of another, or
	// only its metadata is read.
	template func(object metav1.Object) *corev1.PodTemplateSpec
}

// podMaking is what makes the pods of a workload.
type podMaking int

const (
	// podsMadeItself: the workload's controller, so that there are no steps.
	podsMadeItself podMaking = iota
	// podsMadeBySets: ReplicaSets, which the controller scales step by step.
	podsMadeBySets
	// podItself: nothing, it is a pod.
	podItself
)

// numbering is what numbers the rollouts of a workload, and how it states that the
// controller has turned to another template.
type numbering int

const (
	// numberedNot: nothing; the controller has turned to what it has observed.
	numberedNot numbering = iota
	// numberedByAnnotation: an annotation of the workload and its ReplicaSets.
	numberedByAnnotation
	// numberedByNamedRevision: a ControllerRevision that the status names.
	numberedByNamedRevision
	// numberedByRevision: a ControllerRevision that is not named; the controller has
	// turned to what it has observed.
	numberedByRevision
)

// byControllerRevision reports whether ControllerRevisions number the rollouts.
func (n numbering) byControllerRevision() bool {
	return n == numberedByNamedRevision || n == numberedByRevision
}

// replacement is which pod comes in the place of one that was lost.
type replacement int

const (
	// replacedByAny: any that is made, as one is like another.
	replacedByAny replacement = iota
	// replacedByName: the one of that name.
	replacedByName
	// replacedOnNode: the one for that node.
	replacedOnNode
	// replacedNot: none. The pods are to end, and those that are made after them are
	// other tries at the same run.
	replacedNot
)

// scaling is who decides how many pods there are to be.
type scaling int

const (
	// scaledBySpec: who writes spec.replicas.
	scaledBySpec scaling = iota
	// scaledByNodes: the nodes that fit; the status says how many, a moment after the
	// controller has made or removed the pods.
	scaledByNodes
)

// freeing is when a pod that was deleted is out of its controller's way.
type freeing int

const (
	// freedWhenGone: when its name is free.
	freedWhenGone freeing = iota
	// freedWhenEnded: when its containers have ended.
	freedWhenEnded
)

// stateReader reads the states of a kind's own objects.
type stateReader interface {
	// reads reports whether an object is one of them: bare metadata is not.
	reads(object runtime.Object) bool
	// read reduces the state that was observed; last is the state before.
	read(o Observation, last *workload) workloadState
}

// controllers are all kinds of workloads.
var controllers = []*controller{
	&deploymentController, &replicaSetController, &statefulSetController, &daemonSetController,
	&jobController, &replicationController, &podController, &rolloutController,
}

// controllerOf finds a kind of workload, nil if it is none. The group counts for custom
// resources only: see objectID.
func controllerOf(kind, group string) *controller {
	for _, k := range controllers {
		if k.Kind == kind && k.group() == group {
			return k
		}
	}
	return nil
}

// owningController is the kind of workload that an owner reference names, nil if it
// names another object.
func owningController(ref metav1.OwnerReference) *controller {
	return controllerOf(ref.Kind, customGroup(ref.APIVersion))
}

// group is that of the kind's identities.
func (k *controller) group() string {
	if strings.Contains(k.Group, ".") {
		return k.Group
	}
	return ""
}

// id is the identity of an object of the kind.
func (k *controller) id(meta metav1.Object) objectID {
	return objectID{kind: k.Kind, group: k.group(), namespace: meta.GetNamespace(), uid: meta.GetUID()}
}

// goesPodByPod reports whether the controller, in a rollout, waits for one pod before it
// goes on with the next.
func (k *controller) goesPodByPod() bool { return k.rolls && k.pods == podsMadeItself }

// statesOf reads the states of the objects of one type.
type statesOf[T runtime.Object] func(in T, o Observation, last *workload) workloadState

func (read statesOf[T]) reads(object runtime.Object) bool {
	_, ok := object.(T)
	return ok
}

func (read statesOf[T]) read(o Observation, last *workload) workloadState {
	return read(o.Object.(T), o, last)
}

// observeOwn takes in an observation of a workload, if it is one.
func (e *Engine) observeOwn(o Observation) bool {
	switch in := o.Object.(type) {
	case *batchv1.Job:
		e.touch(e.observeJob(o, &jobController, in))
		return true
	case *appsv1.ReplicaSet:
		if rs := e.observeReplicaSet(o, &replicaSetController, in); rs != nil {
			e.touchOwner(rs.object, rs.gone)
		}
		return true
	}
	for _, k := range controllers {
		switch {
		case k.states != nil && k.states.reads(o.Object):
			read := func(last *workload) workloadState { return k.states.read(o, last) }
			e.touch(e.numbered(e.observeWorkload(o, k, o.Object.(metav1.Object), read)))
			return true
		case k.compose != nil && e.observeMetadata(o, k):
			return true
		}
	}
	return false
}

// templateOf is a workload's pod template, nil if it has none.
func templateOf(object metav1.Object) *corev1.PodTemplateSpec {
	for _, k := range controllers {
		if k.template != nil {
			if t := k.template(object); t != nil {
				return t
			}
		}
	}
	return nil
}
