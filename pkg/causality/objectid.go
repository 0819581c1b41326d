package causality

import (
	"cmp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// objectID is who an object is. A UID alone is not: whoever may create a pod or an
// Event may write any UID into its owner references or its involvedObject. So a
// reference leads to an object only where kind, group and namespace are the
// object's, too, and what is written in one namespace never gets into another.
type objectID struct {
	kind string
	// group is a custom resource's. It is empty for Kubernetes' own kinds, whose
	// groups have moved (extensions, apps) while the kinds stayed.
	group     string
	namespace string // empty for cluster-scoped objects
	uid       types.UID
}

// compare orders identities, so that what is done for many comes in a fixed order.
func (id objectID) compare(other objectID) int {
	return cmp.Or(cmp.Compare(id.uid, other.uid), cmp.Compare(id.kind, other.kind),
		cmp.Compare(id.namespace, other.namespace), cmp.Compare(id.group, other.group))
}

// customGroup is the API group of a custom resource, "" for one of Kubernetes' own
// kinds. A CustomResourceDefinition's group has a dot
// (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation); those with a
// dot that are Kubernetes' own (*.k8s.io) hold none of the kinds that the engine
// tells apart.
func customGroup(apiVersion string) string {
	group, _, versioned := strings.Cut(apiVersion, "/")
	if !versioned || !strings.Contains(group, ".") {
		return ""
	}
	return group
}

// typeOf is the kind of an object and, of a custom resource, its group: what it says
// of itself, or what it is typed as; typed clients leave the kind out.
func typeOf(obj runtime.Object) (kind, group string) {
	apiVersion, _ := obj.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	return kindOf(obj), customGroup(apiVersion)
}

// idOf is the identity of an object.
func idOf(obj runtime.Object, meta metav1.Object) objectID {
	kind, group := typeOf(obj)
	return objectID{kind, group, meta.GetNamespace(), meta.GetUID()}
}

// builtIn is the identity of an object of one of Kubernetes' own kinds.
func builtIn(kind string, meta metav1.Object) objectID {
	return objectID{kind: kind, namespace: meta.GetNamespace(), uid: meta.GetUID()}
}

// clusterScoped are the kinds of Kubernetes' own that Events are about and that are
// in no namespace.
var clusterScoped = map[string]bool{
	kindNode: true, "Namespace": true, "PersistentVolume": true, "StorageClass": true,
	"VolumeAttachment": true, "CSINode": true, "CertificateSigningRequest": true,
	"ClusterRole": true, "ClusterRoleBinding": true, "CustomResourceDefinition": true,
	"APIService": true, "PriorityClass": true, "RuntimeClass": true, "IngressClass": true,
	"DeviceClass": true, "ResourceSlice": true,
}

// isNamespaced reports whether a kind of Kubernetes' own is known to have its objects in
// namespaces.
func isNamespaced(kind string) bool { return namespaced[kind] || controllerOf(kind, "") != nil }

// namespaced are the kinds of Kubernetes' own, other than workloads, that Events are
// mostly about. Which scope another one has, only its objects tell.
var namespaced = map[string]bool{
	kindCronJob: true, kindControllerRevision: true, kindClaim: true, kindAutoscaler: true,
	"Service": true, "Endpoints": true, "Ingress": true, "PodDisruptionBudget": true,
	"ConfigMap": true, "Secret": true, "ServiceAccount": true, "Lease": true, "ResourceQuota": true,
}

// scopeOf is the namespace of the objects that an Event can be about: its own. Those
// about cluster-scoped objects are written to the namespace default, or to
// kube-system (k8s.io/kubernetes/pkg/apis/core/validation/events.go); in any other
// namespace they count for nothing that is the cluster's.
func scopeOf(ev *corev1.Event) string {
	switch ev.Namespace {
	case "", metav1.NamespaceDefault, metav1.NamespaceSystem:
	default:
		return ev.Namespace
	}
	ref := &ev.InvolvedObject
	builtIn := customGroup(ref.APIVersion) == ""
	switch {
	case builtIn && clusterScoped[ref.Kind]:
		return ""
	case ref.Namespace == "" && (!builtIn || !isNamespaced(ref.Kind)):
		return ""
	case ev.Namespace == "":
		return ref.Namespace // a damaged Event, which proves nothing else
	}
	return ev.Namespace
}

// owner is who an owner reference in a namespace leads to: an object there, or, if
// there is none, a cluster-scoped one.
func (e *Engine) owner(namespace string, ref ownerRef) *object {
	if ref.uid == "" {
		return nil
	}
	id := ref.in(namespace)
	if obj := e.objects[id]; obj != nil || namespace == "" {
		return obj
	}
	id.namespace = ""
	return e.objects[id]
}

// ownerOf is the object's owner, nil if it has none that is known.
func (e *Engine) ownerOf(obj *object) *object { return e.owner(obj.namespace, obj.owned) }
