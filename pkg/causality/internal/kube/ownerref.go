package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// KindClaim is the kind of volume claims.
const KindClaim = "PersistentVolumeClaim"

// A static pod is known to its kubelet by the hash of its manifest, which its
// Events give for its UID. What the API has is a mirror of it, with a UID of its
// own, which the kubelet makes again whenever somebody deletes it. The mirror
// names the hash in an annotation.

// MirrorOf is the hash that a mirror pod states; "" for any other pod. Mirrors are
// made by kubelets and belong to their nodes: an annotation alone proves nothing.
func MirrorOf(in *corev1.Pod) types.UID {
	if !IsBuiltIn(ControllerRef(in), KindNode) {
		return ""
	}
	return UIDOf(in.Annotations[corev1.MirrorPodAnnotationKey])
}

// OwnerRef names an owner.
type OwnerRef struct {
	UID         types.UID
	group, kind string
	name        string
}

// String names the owner as kubectl would: Kind.group/name.
func (r OwnerRef) String() string {
	if r.group == "" {
		return r.kind + "/" + r.name
	}
	return r.kind + "." + r.group + "/" + r.name
}

// NewOwnerRef reads an owner reference.
func NewOwnerRef(ref metav1.OwnerReference) OwnerRef {
	group, _, ok := strings.Cut(ref.APIVersion, "/")
	if !ok {
		group = ""
	}
	return OwnerRef{UID: ref.UID, group: group, kind: ref.Kind, name: ref.Name}
}

// In is who a reference in a namespace leads to, if that is an object of the same
// namespace.
func (r OwnerRef) In(namespace string) ObjectID {
	group := r.group
	if !strings.Contains(group, ".") {
		group = ""
	}
	return ObjectID{r.kind, group, namespace, r.UID}
}

// OwnerRefOf returns the owner to follow: the controller, or else the first.
// Many custom controllers do not mark themselves.
func OwnerRefOf(meta metav1.Object) OwnerRef {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return NewOwnerRef(*ref)
	}
	if refs := meta.GetOwnerReferences(); len(refs) > 0 {
		return NewOwnerRef(refs[0])
	}
	return OwnerRef{}
}

// KindPod is what all workloads consist of, and may be one itself.
const KindPod = "Pod"

// The other kinds that the engine reads; those of workloads are in their own files.
const (
	KindCronJob            = "CronJob"
	KindControllerRevision = "ControllerRevision"
	KindAutoscaler         = "HorizontalPodAutoscaler"
	KindNode               = "Node"
)

// IsBuiltIn reports whether an owner reference is to one of Kubernetes' own
// kinds; custom resources may have the same names.
func IsBuiltIn(ref metav1.OwnerReference, kinds ...string) bool {
	return CustomGroup(ref.APIVersion) == "" && slices.Contains(kinds, ref.Kind)
}

// NameKey finds an object by name, for Events that lack a UID.
type NameKey struct{ Kind, Group, Namespace, Name string }

// ControllerRef returns the owner reference that manages an object. The engine
// wants one owner; of several, Kubernetes marks one as the controller.
func ControllerRef(meta metav1.Object) metav1.OwnerReference {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return *ref
	}
	return metav1.OwnerReference{}
}
