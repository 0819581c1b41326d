package watcher

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/rollspan/rollspan/pkg/causality"
)

// store is what a Reflector writes to: it turns what the Reflector says into
// observations instead of keeping it. A Reflector calls it from one goroutine.
type store struct {
	kind kind
	// emit takes an observation, waiting while there is no room for it. It
	// fails only when the program stops.
	emit func(causality.Observation) error
	now  func() time.Time
	// synced is called once, when the first list is through.
	synced func()
	// relisted is called for every later list, with how many deletions the
	// watch had missed.
	relisted func(missedDeletions int)
	// started says that the first list is through.
	started bool
}

func (s *store) observe(t watch.EventType, object runtime.Object, initial bool) error {
	// A typed client leaves the kind out; a recording has it. The engine
	// should see no difference.
	object.GetObjectKind().SetGroupVersionKind(s.kind.GroupVersionKind)
	return s.emit(causality.Observation{Time: s.now(), Type: t, Object: object, Initial: initial})
}

func (s *store) listed(missedDeletions int) {
	if s.started {
		s.relisted(missedDeletions)
		return
	}
	s.started = true
	s.synced()
}

// Resync has nothing to do: there is no other side to reconcile with.
func (s *store) Resync() error { return nil }

// Transformer trims objects while a list is still being received.
func (s *store) Transformer() cache.TransformFunc {
	return func(v any) (any, error) {
		if object, ok := v.(runtime.Object); ok {
			trim(object)
		}
		return v, nil
	}
}

// identity tells one state of one object from others.
type identity struct {
	uid             types.UID
	resourceVersion string
	// digest is the content's, for some kinds; see digest.
	digest uint64
}

// same says that id and old tell the same of the same object.
func (id identity) same(old identity) bool {
	return id.uid == old.uid && (id.resourceVersion == old.resourceVersion || id.digest != 0 && id.digest == old.digest)
}

// objectStore keeps the identity of every object, and no more, so that a
// relist can tell what was deleted or changed while the watch was down. That
// is some 260 bytes an object: two strings of 36 and about 10 bytes under the
// object's name.
type objectStore struct {
	store
	known map[types.NamespacedName]identity
}

func newObjectStore(s store) *objectStore {
	return &objectStore{store: s, known: map[types.NamespacedName]identity{}}
}

// Add observes an object that the watch says is new.
func (s *objectStore) Add(object any) error { return s.put(watch.Added, object) }

// Update observes a change.
func (s *objectStore) Update(object any) error { return s.put(watch.Modified, object) }

func (s *objectStore) put(t watch.EventType, v any) error {
	object, name, id, err := identify(v)
	if err != nil {
		return err
	}
	old, ok := s.known[name]
	if ok && old.uid != id.uid {
		if err := s.missed(name, old); err != nil {
			return err
		}
	}
	s.known[name] = id
	if ok && id.digest != 0 && id.same(old) {
		return nil // a heartbeat
	}
	return s.observe(t, object, false)
}

// Delete observes a deletion, with the object's last state.
func (s *objectStore) Delete(v any) error {
	object, name, _, err := identify(v)
	if err != nil {
		return err
	}
	delete(s.known, name)
	return s.observe(watch.Deleted, object, false)
}

// Replace takes the list that a watch begins with. The objects of the first
// one are Initial. A later one yields what was missed: deletions first, then
// new and changed objects; an object that is as it was yields nothing.
func (s *objectStore) Replace(list []any, _ string) error {
	type item struct {
		object runtime.Object
		name   types.NamespacedName
	}
	items := make([]item, 0, len(list))
	fresh := make(map[types.NamespacedName]identity, len(list))
	for _, v := range list {
		object, name, id, err := identify(v)
		if err != nil {
			return err
		}
		items = append(items, item{object, name})
		fresh[name] = id
	}

	var gone []types.NamespacedName
	for name, old := range s.known {
		if fresh[name].uid != old.uid {
			gone = append(gone, name)
		}
	}
	slices.SortFunc(gone, func(a, b types.NamespacedName) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	for _, name := range gone {
		if err := s.missed(name, s.known[name]); err != nil {
			return err
		}
	}

	for _, it := range items {
		id := fresh[it.name]
		old, ok := s.known[it.name]
		t := watch.Added
		switch {
		case ok && id.same(old):
			continue
		case ok:
			t = watch.Modified
		}
		if err := s.observe(t, it.object, !s.started); err != nil {
			return err
		}
	}
	s.known = fresh
	s.listed(len(gone))
	return nil
}

// missed observes a deletion of which only the identity is left.
func (s *objectStore) missed(name types.NamespacedName, id identity) error {
	delete(s.known, name)
	return s.observe(watch.Deleted, &metav1.PartialObjectMetadata{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: id.uid},
	}, false)
}

// eventStore is for Events. Keeping even the identity of an hour's Events
// would cost more than all else together, and their deletion means nothing but
// that the hour is over. So it keeps one number for all of them: the newest
// resource version it has passed on. A relist repeats nothing that is older.
type eventStore struct {
	store
	newest string
}

// Add observes a new Event.
func (s *eventStore) Add(object any) error { return s.put(watch.Added, object) }

// Update observes an Event that repeats.
func (s *eventStore) Update(object any) error { return s.put(watch.Modified, object) }

func (s *eventStore) put(t watch.EventType, v any) error {
	object, _, id, err := identify(v)
	if err != nil {
		return err
	}
	s.newest = id.resourceVersion
	return s.observe(t, object, false)
}

// Delete passes over an Event's expiry.
func (s *eventStore) Delete(v any) error {
	_, _, id, err := identify(v)
	if err != nil {
		return err
	}
	s.newest = id.resourceVersion
	return nil
}

// Bookmark moves the newest resource version on where Events are rare.
func (s *eventStore) Bookmark(resourceVersion string) error {
	s.newest = resourceVersion
	return nil
}

// Replace takes a list: the first one whole, of later ones what is newer than
// all that was passed on before. A list comes by name or, where it was streamed, out
// of a map; the Events are passed on in the order of their writes, as a watch does.
func (s *eventStore) Replace(list []any, listVersion string) error {
	type item struct {
		object  runtime.Object
		version string
	}
	items := make([]item, 0, len(list))
	for _, v := range list {
		object, _, id, err := identify(v)
		if err != nil {
			return err
		}
		items = append(items, item{object, id.resourceVersion})
	}
	slices.SortStableFunc(items, func(a, b item) int {
		order, _ := resourceversion.CompareResourceVersion(a.version, b.version) // 0 where they cannot be compared
		return order
	})

	// A list that is older than what was seen comes from a cluster restored
	// from a backup. Its versions compare to nothing, so everything is passed
	// on; the engine knows an Event it has seen.
	inOrder := s.started && !newer(s.newest, listVersion)
	for _, it := range items {
		if inOrder && !newer(it.version, s.newest) {
			continue
		}
		if err := s.observe(watch.Added, it.object, !s.started); err != nil {
			return err
		}
	}
	s.newest = listVersion
	s.listed(0)
	return nil
}

// newer says whether resource version a is later than b; where they cannot be
// compared it says yes, so that nothing is lost.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// identify takes in what a Reflector says: it trims the object and returns what
// to know it by.
func identify(v any) (runtime.Object, types.NamespacedName, identity, error) {
	object, ok := v.(runtime.Object)
	if !ok {
		return nil, types.NamespacedName{}, identity{}, fmt.Errorf("a %T is no API object", v)
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, types.NamespacedName{}, identity{}, err
	}
	trim(object)
	name := types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()}
	return object, name, identity{m.GetUID(), m.GetResourceVersion(), digest(object)}, nil
}
