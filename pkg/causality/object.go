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
	stray := types.UID("name:" + kind + "/" + obj.namespace + "/" + obj.name)
	if s := e.objects[stray]; s != nil {
		obj.events = append(obj.events, s.events...)
		slices.SortStableFunc(obj.events, func(a, b *event) int { return a.first().Compare(b.first()) })
		delete(e.objects, stray)
	}
	return obj
}

// forget drops an object and what is known of its Events.
func (e *Engine) forget(obj *object) {
	for _, ev := range obj.events {
		delete(e.events, ev.key)
	}
	delete(e.objects, obj.uid)
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
