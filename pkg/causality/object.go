package causality

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// object is what all records have in common. It exists from the first
// Event or state that names it, so that an Event may come before its object.
type object struct {
	uid       types.UID
	kind      string
	namespace string
	name      string
	events    []*event
	touched   time.Time // arrival of the latest news
	owned     ownerRef  // by whom; zero if by nobody
	// exists is set while the object's own stream says that it is there, for
	// those that are known by their metadata only.
	exists bool
	// target is what the object is for, if that is not what owns it: the
	// workload that an autoscaler scales.
	target nameKey
}

// ownerRef names an owner.
type ownerRef struct {
	uid         types.UID
	group, kind string
	name        string
}

// String names the owner as kubectl would: Kind.group/name.
func (r ownerRef) String() string {
	if r.group == "" {
		return r.kind + "/" + r.name
	}
	return r.kind + "." + r.group + "/" + r.name
}

func newOwnerRef(ref metav1.OwnerReference) ownerRef {
	group, _, ok := strings.Cut(ref.APIVersion, "/")
	if !ok {
		group = ""
	}
	return ownerRef{uid: ref.UID, group: group, kind: ref.Kind, name: ref.Name}
}

// ownerOf returns the owner to follow: the controller, or else the first.
// Many custom controllers do not mark themselves.
func ownerOf(meta metav1.Object) ownerRef {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return newOwnerRef(*ref)
	}
	if refs := meta.GetOwnerReferences(); len(refs) > 0 {
		return newOwnerRef(refs[0])
	}
	return ownerRef{}
}

// The kinds that are workloads, and what they consist of.
const (
	kindDeployment            = "Deployment"
	kindReplicaSet            = "ReplicaSet"
	kindStatefulSet           = "StatefulSet"
	kindDaemonSet             = "DaemonSet"
	kindJob                   = "Job"
	kindCronJob               = "CronJob"
	kindReplicationController = "ReplicationController"
	kindPod                   = "Pod"
)

// isBuiltIn reports whether an owner reference is to one of Kubernetes' own
// kinds; custom resources may have the same names.
func isBuiltIn(ref metav1.OwnerReference, kinds ...string) bool {
	switch newOwnerRef(ref).group {
	case "", "apps", "batch", "extensions":
		return slices.Contains(kinds, ref.Kind)
	}
	return false
}

// nameKey finds an object by name, for Events that lack a UID.
type nameKey struct{ kind, namespace, name string }

// subject names the object as kubectl would.
func (o *object) subject() string { return strings.ToLower(o.kind) + "/" + o.name }

// object returns the record of a UID, made if need be.
func (e *Engine) object(uid types.UID, kind, namespace, name string) *object {
	obj := e.objects[uid]
	if obj == nil {
		obj = &object{uid: uid, kind: kind, namespace: namespace, name: name}
		e.objects[uid] = obj
	}
	if obj.kind == "" {
		obj.kind = kind
	}
	return obj
}

// track is object for something that was seen itself: Events without a UID
// find it by name from now on, and those that came before it are its own.
func (e *Engine) track(kind string, meta metav1.Object) *object {
	obj := e.object(meta.GetUID(), kind, meta.GetNamespace(), meta.GetName())
	key := nameKey{kind, obj.namespace, obj.name}
	e.names[key] = obj.uid
	stray := uidByName(kind, obj.namespace, obj.name)
	if s := e.objects[stray]; s != nil {
		obj.events = append(obj.events, s.events...)
		slices.SortStableFunc(obj.events, func(a, b *event) int { return a.first().Compare(b.first()) })
		delete(e.objects, stray)
	}
	return obj
}

// uidByName stands in for the UID of an object that is known by its name only.
func uidByName(kind, namespace, name string) types.UID {
	return types.UID(namePrefix + kind + "/" + namespace + "/" + name)
}

const namePrefix = "name:"

func (o *object) byName() bool { return strings.HasPrefix(string(o.uid), namePrefix) }

// forget drops an object and what is known of its Events.
func (e *Engine) forget(obj *object) {
	for _, ev := range obj.events {
		delete(e.events, ev.key)
	}
	delete(e.objects, obj.uid)
	e.aim(obj, nameKey{})
	key := nameKey{obj.kind, obj.namespace, obj.name}
	if e.names[key] == obj.uid {
		delete(e.names, key)
	}
}

// controller returns the owner reference that manages an object. The engine
// wants one owner; of several, Kubernetes marks one as the controller.
func controller(meta metav1.Object) metav1.OwnerReference {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return *ref
	}
	return metav1.OwnerReference{}
}
