package causality

import (
	"iter"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// involvedObject is the identity of what an Event is about. It is an object of the
// Event's own namespace and of the kind that the Event names, whatever UID it states:
// anybody who may write Events somewhere can state any. An Event without its object's
// UID goes to the object that has the name now. Kubelets do not know the UID of their
// Node; older ones give its name for it. Of a static pod they give a UID that the API
// does not have: static is set if it may be one.
func (e *Engine) involvedObject(in *corev1.Event, first time.Time) (id kube.ObjectID, static bool) {
	ref := &in.InvolvedObject
	id = kube.ObjectID{Kind: ref.Kind, Group: kube.CustomGroup(ref.APIVersion), Namespace: workloads.EventScope(in), UID: ref.UID}
	if ref.Kind == kube.KindNode && string(id.UID) == ref.Name || podlife.ByName(id) {
		id.UID = "" // no API server gives such a UID
	}
	id = e.resolve(id, ref.Name)
	if static = id.Kind == kube.KindPod && e.pods[id] == nil; static {
		if pod := e.mirrorAt(id, first); pod != nil && pod.Name == ref.Name {
			return pod.ObjectID, true
		}
	}
	return id, static
}

// resolve completes the identity that an Event gives, which may lack the object's UID,
// its API version or its kind, by what is known of the namespace.
func (e *Engine) resolve(id kube.ObjectID, name string) kube.ObjectID {
	if e.objects[id] != nil {
		return id
	}
	for candidate := range e.candidates(id) {
		switch known, ok := e.names[kube.NameKey{Kind: candidate.Kind, Group: candidate.Group, Namespace: candidate.Namespace, Name: name}]; {
		case id.UID != "" && e.objects[candidate] != nil:
			return candidate
		case id.UID == "" && ok:
			return known
		}
	}
	if id.UID == "" {
		return podlife.Named(id, name)
	}
	return id
}

// candidates are the identities that one which an Event gives may stand for.
func (e *Engine) candidates(id kube.ObjectID) iter.Seq[kube.ObjectID] {
	return func(yield func(kube.ObjectID) bool) {
		if id.Kind == "" {
			if known := e.uids[id.UID]; id.UID != "" && known.Namespace == id.Namespace {
				yield(known)
			}
			return
		}
		if !yield(id) || id.Group != "" {
			return
		}
		for _, group := range e.groups[id.Kind] {
			id.Group = group
			if !yield(id) {
				return
			}
		}
	}
}

// object returns the record of an identity, made if need be.
func (e *Engine) object(id kube.ObjectID, name string) *podlife.Object {
	obj := e.objects[id]
	if obj == nil {
		obj = &podlife.Object{ObjectID: id, Name: name}
		e.objects[id] = obj
	}
	return obj
}

// track is object for something that was seen itself: Events that do not say all of
// who it is find it by name from now on, and those that came before it are its own.
func (e *Engine) track(id kube.ObjectID, name string) *podlife.Object {
	obj := e.object(id, name)
	obj.Proven = true
	e.names[obj.NameKey()] = id
	if first, known := e.uids[id.UID]; !known {
		e.uids[id.UID] = id
	} else if first != id {
		obj.Shared = true
	}
	if id.Group != "" && !slices.Contains(e.groups[id.Kind], id.Group) {
		e.groups[id.Kind] = append(e.groups[id.Kind], id.Group)
	}
	for _, known := range podlife.AsInEvents(id, name) {
		orphan := e.objects[known]
		if orphan == nil || orphan == obj {
			continue
		}
		for _, ev := range orphan.Events {
			ev.Object = obj
		}
		obj.Events = append(obj.Events, orphan.Events...)
		e.old.Earlier(obj, e.now)
		slices.SortStableFunc(obj.Events, func(a, b *podlife.Event) int { return a.First().Compare(b.First()) })
		delete(e.objects, known)
		e.old.Remove(orphan)
		e.settled(orphan)
		e.observeAnnouncements(obj, orphan.Events)
	}
	return obj
}

// forget drops an object and what is known of its Events.
func (e *Engine) forget(obj *podlife.Object) {
	for _, ev := range obj.Events {
		e.dropEvent(ev)
	}
	delete(e.objects, obj.ObjectID)
	e.old.Remove(obj)
	e.settled(obj)
	e.setTarget(obj, kube.NameKey{})
	if e.names[obj.NameKey()] == obj.ObjectID {
		delete(e.names, obj.NameKey())
	}
	if e.uids[obj.UID] == obj.ObjectID {
		delete(e.uids, obj.UID)
	}
}

// owner is who an owner reference in a namespace leads to: an object there, or, if
// there is none, a cluster-scoped one.
func (e *Engine) owner(namespace string, ref kube.OwnerRef) *podlife.Object {
	if ref.UID == "" {
		return nil
	}
	id := ref.In(namespace)
	if obj := e.objects[id]; obj != nil || namespace == "" {
		return obj
	}
	id.Namespace = ""
	return e.objects[id]
}

// ownerOf is the object's owner, nil if it has none that is known.
func (e *Engine) ownerOf(obj *podlife.Object) *podlife.Object {
	return e.owner(obj.Namespace, obj.Owned)
}
