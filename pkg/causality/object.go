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
	objectID
	name    string
	events  []*event
	touched time.Time // arrival of the latest news
	owned   ownerRef  // by whom; zero if by nobody
	// proven says that the object's own stream has shown it, so that it is who its
	// identity says: those that Events and owner references name need not be.
	proven bool
	// shared says that another object had the UID before.
	shared bool
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

// in is who a reference in a namespace leads to, if that is an object of the same
// namespace.
func (r ownerRef) in(namespace string) objectID {
	group := r.group
	if !strings.Contains(group, ".") {
		group = ""
	}
	return objectID{r.kind, group, namespace, r.uid}
}

// ownerRefOf returns the owner to follow: the controller, or else the first.
// Many custom controllers do not mark themselves.
func ownerRefOf(meta metav1.Object) ownerRef {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return newOwnerRef(*ref)
	}
	if refs := meta.GetOwnerReferences(); len(refs) > 0 {
		return newOwnerRef(refs[0])
	}
	return ownerRef{}
}

// kindPod is what all workloads consist of, and may be one itself.
const kindPod = "Pod"

// The other kinds that the engine reads; those of workloads are in their own files.
const (
	kindCronJob            = "CronJob"
	kindControllerRevision = "ControllerRevision"
	kindAutoscaler         = "HorizontalPodAutoscaler"
	kindNode               = "Node"
)

// isBuiltIn reports whether an owner reference is to one of Kubernetes' own
// kinds; custom resources may have the same names.
func isBuiltIn(ref metav1.OwnerReference, kinds ...string) bool {
	return customGroup(ref.APIVersion) == "" && slices.Contains(kinds, ref.Kind)
}

// nameKey finds an object by name, for Events that lack a UID.
type nameKey struct{ kind, group, namespace, name string }

// nameKey finds the object by its name.
func (o *object) nameKey() nameKey { return nameKey{o.kind, o.group, o.namespace, o.name} }

// subject names the object as kubectl would.
func (o *object) subject() string { return strings.ToLower(o.kind) + "/" + o.name }

// object returns the record of an identity, made if need be.
func (e *Engine) object(id objectID, name string) *object {
	obj := e.objects[id]
	if obj == nil {
		obj = &object{objectID: id, name: name}
		e.objects[id] = obj
	}
	return obj
}

// track is object for something that was seen itself: Events that do not say all of
// who it is find it by name from now on, and those that came before it are its own.
func (e *Engine) track(id objectID, name string) *object {
	obj := e.object(id, name)
	obj.proven = true
	e.names[obj.nameKey()] = id
	if first, known := e.uids[id.uid]; !known {
		e.uids[id.uid] = id
	} else if first != id {
		obj.shared = true
	}
	if id.group != "" && !slices.Contains(e.groups[id.kind], id.group) {
		e.groups[id.kind] = append(e.groups[id.kind], id.group)
	}
	for _, known := range id.asInEvents(name) {
		stray := e.objects[known]
		if stray == nil || stray == obj {
			continue
		}
		for _, ev := range stray.events {
			ev.object = obj
		}
		obj.events = append(obj.events, stray.events...)
		slices.SortStableFunc(obj.events, func(a, b *event) int { return a.first().Compare(b.first()) })
		delete(e.objects, known)
		e.observeAnnouncements(obj, stray.events)
	}
	return obj
}

// asInEvents are the identities under which Events of an object are filed that came
// before it, where they left out its UID, its API version or its kind.
func (id objectID) asInEvents(name string) []objectID {
	noGroup, noKind := id, id
	noGroup.group = ""
	noKind.kind, noKind.group = "", ""
	return []objectID{noGroup, noKind, id.named(name), noGroup.named(name)}
}

// named stands in for the identity of an object that is known by its name only.
func (id objectID) named(name string) objectID {
	id.uid = types.UID(namePrefix + id.kind + "/" + id.namespace + "/" + name)
	return id
}

const namePrefix = "name:"

// byName reports whether the UID is one of these. What others state must not be: the
// name in it need not be of their namespace.
func (id objectID) byName() bool { return strings.HasPrefix(string(id.uid), namePrefix) }

// unique is what the IDs of traces about the object are made of: its UID. Of an object
// that only others speak of, and of one whose UID is another's, too, it is all of its
// identity: what is claimed in one namespace must not get into the traces of an object
// of another that really has the UID.
func (o *object) unique() string {
	if o.byName() || o.proven && !o.shared {
		return string(o.uid)
	}
	return strings.Join([]string{string(o.uid), o.kind, o.group, o.namespace}, "/")
}

// forget drops an object and what is known of its Events.
func (e *Engine) forget(obj *object) {
	for _, ev := range obj.events {
		e.dropEvent(ev)
	}
	delete(e.objects, obj.objectID)
	e.aim(obj, nameKey{})
	if e.names[obj.nameKey()] == obj.objectID {
		delete(e.names, obj.nameKey())
	}
	if e.uids[obj.uid] == obj.objectID {
		delete(e.uids, obj.uid)
	}
}

// controllerRef returns the owner reference that manages an object. The engine
// wants one owner; of several, Kubernetes marks one as the controller.
func controllerRef(meta metav1.Object) metav1.OwnerReference {
	if ref := metav1.GetControllerOfNoCopy(meta); ref != nil {
		return *ref
	}
	return metav1.OwnerReference{}
}
