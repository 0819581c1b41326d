package causality

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

	// observer reads the kind's own objects; nil of pods, which are read as such.
	observer observer
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

// observer takes in an observation of a kind's own object. It returns false where it
// reads no such object, as the bare metadata of one that is gone.
type observer interface {
	observe(e *Engine, k *controller, o Observation) bool
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

// stateReader observes the objects of a type that have revisions or replicas.
type stateReader[T metav1.Object] func(in T, o Observation, last *workload) workloadState

func (read stateReader[T]) observe(e *Engine, k *controller, o Observation) bool {
	in, ok := o.Object.(T)
	if ok {
		e.touch(e.numbered(e.observeWorkload(o, k, in, func(last *workload) workloadState { return read(in, o, last) })))
	}
	return ok
}

// observeOwn takes in an observation of a workload, if it is one.
func (e *Engine) observeOwn(o Observation) bool {
	return slices.ContainsFunc(controllers, func(k *controller) bool {
		return k.observer != nil && k.observer.observe(e, k, o)
	})
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
