package kube

import (
	"cmp"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// KindOf is the kind of an object: what it says of itself, or what it is typed
// as; typed clients leave the kind out.
func KindOf(obj runtime.Object) string {
	if kind := obj.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return kind
	}
	return reflect.TypeOf(obj).Elem().Name()
}

// ObjectID is who an object is. A UID alone is not: whoever may create a pod or an
// Event may write any UID into its owner references or its involvedObject. So a
// reference leads to an object only where kind, group and namespace are the
// object's, too, and what is written in one namespace never gets into another.
type ObjectID struct {
	Kind string
	// Group is a custom resource's. It is empty for Kubernetes' own kinds, whose
	// groups have moved (extensions, apps) while the kinds stayed.
	Group     string
	Namespace string // empty for cluster-scoped objects
	UID       types.UID
}

// WithUID is the identity of another object that has all in common with this one but the UID.
func (id ObjectID) WithUID(uid types.UID) ObjectID {
	id.UID = uid
	return id
}

// Compare orders identities, so that what is done for many comes in a fixed order.
func (id ObjectID) Compare(other ObjectID) int {
	return cmp.Or(cmp.Compare(id.UID, other.UID), cmp.Compare(id.Kind, other.Kind),
		cmp.Compare(id.Namespace, other.Namespace), cmp.Compare(id.Group, other.Group))
}

// CustomGroup is the API group of a custom resource, "" for one of Kubernetes' own
// kinds. A CustomResourceDefinition's group has a dot
// (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation); those with a
// dot that are Kubernetes' own (*.k8s.io) hold none of the kinds that the engine
// tells apart.
func CustomGroup(apiVersion string) string {
	group, _, versioned := strings.Cut(apiVersion, "/")
	if !versioned || !strings.Contains(group, ".") {
		return ""
	}
	return group
}

// TypeOf is the kind of an object and, of a custom resource, its group: what it says
// of itself, or what it is typed as; typed clients leave the kind out.
func TypeOf(obj runtime.Object) (kind, group string) {
	apiVersion, _ := obj.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	return KindOf(obj), CustomGroup(apiVersion)
}

// IDOf is the identity of an object.
func IDOf(obj runtime.Object, meta metav1.Object) ObjectID {
	kind, group := TypeOf(obj)
	return ObjectID{kind, group, meta.GetNamespace(), meta.GetUID()}
}

// BuiltIn is the identity of an object of one of Kubernetes' own kinds.
func BuiltIn(kind string, meta metav1.Object) ObjectID {
	return ObjectID{Kind: kind, Namespace: meta.GetNamespace(), UID: meta.GetUID()}
}
