package workloads

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// MakerOf is the built-in controller that a pod has, in the pod's own namespace; zero
// if it has none.
func MakerOf(meta metav1.Object) kube.ObjectID {
	ref := kube.ControllerRef(meta)
	if k := OwningController(ref); k == nil || k.Pods != PodsMadeByController {
		return kube.ObjectID{}
	}
	return kube.NewOwnerRef(ref).In(meta.GetNamespace())
}

// Controller is a kind of workload: how the controller that works for it numbers its
// rollouts, makes and replaces pods, what it waits for, and how its objects are read and
// told of. There is one value for each kind, in a file of its own. A workload's record
// holds that of its kind, and all else asks what the controller does, never which one it
// is: kinds_test.go sees to it.
type Controller struct {
	// GroupVersionKind names the kind; its spans are called by it: "Deployment rollout".
	schema.GroupVersionKind
	// service is the component that does the work, as service.name has it:
	// "deployment-controller".
	service string
	// nameKey and uidKey are the semantic conventions' attributes for the object, ""
	// where they have none.
	nameKey, uidKey attribute.Key
	// labelKey and annotationKey make the attributes for a label and an annotation of the
	// object, nil where the conventions have none.
	labelKey, annotationKey func(key, val string) attribute.KeyValue

	Pods     podMaking
	Numbers  numbering
	Replaces Replacement
	ScaledBy scaling
	// rolls says that the controller replaces the pods when the template changes.
	// Without that a new template is for the pods that come next, whenever that is.
	rolls bool
	// CompleteWhenReady says that a rollout is complete without its last pod having been
	// ready for minReadySeconds.
	CompleteWhenReady bool
	// FreedBy is what of a pod that was deleted keeps the controller from going on.
	FreedBy freeing
	// FixedTemplate says that the API server lets nobody change the pod template, so
	// that all pods are of the one that the object has.
	FixedTemplate bool

	// revisionAnnotation is where a ReplicaSet of the workload has the number of its
	// rollout, and historyAnnotation where it has those that it had before.
	revisionAnnotation, historyAnnotation string
	// named says who gives the workloads their names.
	named naming

	// Compose puts the workload's state together where only the metadata of its own
	// object is read; else nil.
	Compose *composer

	// States reads the kind's own objects, where those have revisions or replicas. Pods
	// and ReplicaSets are more than workloads, Jobs have runs, and of custom resources
	// only the metadata is read: the engine observes these in ways of their own.
	States stateReader
	// Template is the pod template of an object of the kind, nil if it is of another, or
	// only its metadata is read.
	Template func(object metav1.Object) *corev1.PodTemplateSpec
}

// podMaking is what makes the pods of a workload.
type podMaking int

const (
	// PodsMadeByController says that the workload's own controller makes them, so that there
	// are no steps.
	PodsMadeByController podMaking = iota
	// PodsMadeBySets says that ReplicaSets make them, which the controller scales step by step.
	PodsMadeBySets
	// PodItself says that nothing makes them: the workload is a pod.
	PodItself
)

// numbering is what numbers the rollouts of a workload, and how it states that the
// controller has turned to another template.
type numbering int

const (
	// notNumbered says that nothing numbers them; the controller has turned to what it has
	// observed.
	notNumbered numbering = iota
	// numberedByAnnotation says that an annotation of the workload and its ReplicaSets has the
	// number.
	numberedByAnnotation
	// numberedByNamedRevision says that a ControllerRevision has it, which the status names.
	numberedByNamedRevision
	// numberedByRevision says that a ControllerRevision has it, which is not named; the
	// controller has turned to what it has observed.
	numberedByRevision
)

// ByControllerRevision reports whether ControllerRevisions number the rollouts.
func (n numbering) ByControllerRevision() bool {
	return n == numberedByNamedRevision || n == numberedByRevision
}

// Replacement is which pod comes in the place of one that was lost.
type Replacement int

const (
	// replacedByAny says that it is any that is made, as one is like another.
	replacedByAny Replacement = iota
	// ReplacedByName says that it is the one of the same name.
	ReplacedByName
	// ReplacedOnNode says that it is the one for the same node.
	ReplacedOnNode
	// NeverReplaced says that none does. The pods are to end, and those that are made after
	// them are other tries at the same run.
	NeverReplaced
)

// InTheWay reports whether a lost pod has to be gone before the next one can come in its place,
// which has its name or its node.
func (r Replacement) InTheWay() bool { return r == ReplacedByName || r == ReplacedOnNode }

// scaling is who decides how many pods there are to be.
type scaling int

const (
	// scaledBySpec says that it is who writes spec.replicas.
	scaledBySpec scaling = iota
	// ScaledByNodes says that it is the nodes that fit; the status says how many, a moment
	// after the controller has made or removed the pods.
	ScaledByNodes
)

// freeing is when a pod that was deleted is out of its controller's way.
type freeing int

const (
	// freedWhenGone says that it is when the name of the pod is free.
	freedWhenGone freeing = iota
	// FreedWhenEnded says that it is when the containers of the pod have ended.
	FreedWhenEnded
)

// naming is who gives the workloads of a kind their names.
type naming int

const (
	// namedForGood says that it is somebody who calls the one that comes after it the same.
	namedForGood naming = iota
	// namedByOwner says that it is somebody, or what made it, which calls each one something
	// else.
	namedByOwner
	// namedAnew says that it is whoever made it. Each is called something else.
	namedAnew
)

// stateReader reads the states of a kind's own objects.
type stateReader interface {
	// Reads reports whether an object is one of them: bare metadata is not.
	Reads(object runtime.Object) bool
	// Read reduces the state that was observed; last has the state before.
	Read(o stream.Observation, last *Workload) State
}

// Controllers are all kinds of workloads.
var Controllers = []*Controller{
	&deploymentController, &ReplicaSetController, &statefulSetController, &daemonSetController,
	&JobController, &replicationController, &PodController, &rolloutController,
}

// ControllerOf finds a kind of workload, nil if it is none. The group counts for custom
// resources only: see objectID.
func ControllerOf(kind, group string) *Controller {
	for _, k := range Controllers {
		if k.Kind == kind && k.IdentityGroup() == group {
			return k
		}
	}
	return nil
}

// OwningController is the kind of workload that an owner reference names, nil if it
// names another object.
func OwningController(ref metav1.OwnerReference) *Controller {
	return ControllerOf(ref.Kind, kube.CustomGroup(ref.APIVersion))
}

// IdentityGroup is that of the kind's identities.
func (k *Controller) IdentityGroup() string {
	if strings.Contains(k.Group, ".") {
		return k.Group
	}
	return ""
}

// ID is the identity of an object of the kind.
func (k *Controller) ID(meta metav1.Object) kube.ObjectID {
	return kube.ObjectID{Kind: k.Kind, Group: k.IdentityGroup(), Namespace: meta.GetNamespace(), UID: meta.GetUID()}
}

// GoesPodByPod reports whether the controller, in a rollout, waits for one pod before it
// goes on with the next.
func (k *Controller) GoesPodByPod() bool { return k.rolls && k.Pods == PodsMadeByController }

// statesOf reads the states of the objects of one type.
type statesOf[T runtime.Object] func(in T, o stream.Observation, last *Workload) State

// Reads reports whether an object is of the type.
func (read statesOf[T]) Reads(object runtime.Object) bool {
	_, ok := object.(T)
	return ok
}

// Read reads the object that was observed.
func (read statesOf[T]) Read(o stream.Observation, last *Workload) State {
	return read(o.Object.(T), o, last)
}

// templateIn finds the pod template in the objects of one type; nil in any other object.
func templateIn[T metav1.Object](find func(in T) *corev1.PodTemplateSpec) func(object metav1.Object) *corev1.PodTemplateSpec {
	return func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(T); ok {
			return find(in)
		}
		return nil
	}
}

// TemplateOf is a workload's pod template, nil if it has none.
func TemplateOf(object metav1.Object) *corev1.PodTemplateSpec {
	for _, k := range Controllers {
		if k.Template != nil {
			if t := k.Template(object); t != nil {
				return t
			}
		}
	}
	return nil
}

// PodController is the kubelet, which works for a pod that no workload made.
var PodController = Controller{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind(kube.KindPod),
	service:          attr.ServiceKubelet,
	nameKey:          semconv.K8SPodNameKey,
	uidKey:           semconv.K8SPodUIDKey,
	labelKey:         semconv.K8SPodLabel,
	annotationKey:    semconv.K8SPodAnnotation,
	Pods:             PodItself,
	named:            namedAnew,
	Replaces:         NeverReplaced,
}
