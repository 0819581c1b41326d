package watcher

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// store is what a Reflector writes to: it turns what the Reflector says into
// observations instead of keeping it. A Reflector calls it from one goroutine.
type store struct {
	kind kind
	// hide takes out of an object what may be secret; nil for nothing.
	hide func(runtime.Object)
	// emit takes an observation, waiting while there is no room for it. It
	// fails only when the program stops.
	emit func(causality.Observation) error
	now  func() time.Time
	// synced is called once, when the first list is through.
	synced func()
	// relisted is called for every later list, with how many deletions the
	// watch had missed.
	relisted func(missedDeletions int)
	// started says that the first list is through, be it in a run before this one;
	// first that of this run is.
	started, first bool
	// listing says that a list was begun, and goesOn that the next one to end is none.
	listing, goesOn bool
	// version is up to where all was seen.
	version string
	// reached is told what the source says of itself, which it is to name; nil for nobody.
	reached func(sourceMark) error
	// optional and found are the source's.
	optional, found bool
	// restored is told that the API server is at a version before one that was seen, and returns
	// why nothing more is wanted; nil where that is of no interest.
	restored func(was, is string) error
	// resumed says that version is that of the run before, or of before an outage, and nobody knows
	// yet whether the API server is as far. late says that what comes is from before that was found
	// out, up to the version upTo, and stated is what the object at hand states of when it was
	// written.
	resumed, late bool
	upTo          string
	stated        time.Time
	// held are what a list after the first one brought, until the end of the list
	// shows what was missed before that; heldBytes is their estimated size.
	held      []causality.Observation
	heldBytes int64
}

// maxHeldBytes bounds what is held back of a list. What a watch misses is seldom
// that much; where it is, the order between what was held and what comes after it
// is the list's.
const maxHeldBytes = 8 << 20

// observe emits what a watch says, or a deletion that it missed.
func (s *store) observe(t watch.EventType, object runtime.Object) error {
	o := s.observation(t, object, false)
	if s.late {
		o.Since = s.stated
	}
	return s.emit(o)
}

func (s *store) observation(t watch.EventType, object runtime.Object, initial bool) causality.Observation {
	object.GetObjectKind().SetGroupVersionKind(s.kind.GroupVersionKind) // of a deletion that was missed, too
	return causality.Observation{Time: s.now(), Type: t, Object: object, Initial: initial}
}

// relists says whether a list is under way that is not the first one: it has what was written while
// nobody looked.
func (s *store) relists() bool { return s.listing && s.started }

// listedItem is an observation of what a list has. Where that is not the first one it came late:
// when it was written is not known better than between what it states of that, and now.
func (s *store) listedItem(t watch.EventType, object runtime.Object) causality.Observation {
	o := s.observation(t, object, !s.started)
	if s.relists() && s.stated.Before(o.Time) { // else our clock is behind, and nothing bounds it
		o.Since = s.stated
	}
	return o
}

// hold keeps an observation for release, and says whether that is due.
func (s *store) hold(o causality.Observation) (full bool) {
	s.held = append(s.held, o)
	s.heldBytes += sizeOf(o.Object)
	return s.heldBytes > maxHeldBytes
}

// release emits what is held. It counts as seen now: what was emitted meanwhile, by
// other streams too, came before it.
func (s *store) release() error {
	for i, o := range s.held {
		o.Time = s.now()
		if err := s.emit(o); err != nil {
			s.held = s.held[i:]
			return err
		}
	}
	s.held, s.heldBytes = nil, 0
	return nil
}

// last feeds the last items of a list to into, which is the store that s is of, and reports whether
// it was a list that has ended.
func (s *store) last(into intake, list []any, version string) (was bool, err error) {
	if s.wentOn() {
		if !s.late { // else it may yet say that a list is due
			s.through()
		}
		return false, nil
	}
	if !s.listing {
		if err := into.begin(version); err != nil {
			return false, err
		}
	}
	for _, v := range list {
		if err := into.item(watch.Added, v); err != nil {
			return false, err
		}
	}
	return true, nil
}

// listed ends a list.
func (s *store) listed(missedDeletions int) {
	s.listing = false
	if s.started {
		s.relisted(missedDeletions)
	}
	s.started = true
	s.through()
}

// through says, once, that the first list is through, or that none is needed.
func (s *store) through() {
	if !s.first {
		s.first = true
		s.synced()
	}
}

// Resync has nothing to do: there is no other side to reconcile with.
func (s *store) Resync() error { return nil }

// identity tells one state of one object from others.
type identity struct {
	uid             types.UID
	resourceVersion string
	// digest is the content's, for some kinds; see digest.
	digest uint64
	// list is the number of the last list that had it.
	list uint32
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
	// list is the number of the latest list.
	list uint32
	// replaced are the objects in whose place a list had others of their names.
	replaced []lost
	// missedDeletions counts those that the list under way shows.
	missedDeletions int
}

// lost is an object of whose deletion only a list tells.
type lost struct {
	types.NamespacedName
	uid types.UID
}

func newObjectStore(s store) *objectStore {
	return &objectStore{store: s, known: map[types.NamespacedName]identity{}}
}

// Add observes an object that the watch says is new.
func (s *objectStore) Add(object any) error { return s.put(watch.Added, object) }

// Update observes a change.
func (s *objectStore) Update(object any) error { return s.put(watch.Modified, object) }

func (s *objectStore) put(t watch.EventType, v any) error {
	object, name, id, err := s.identify(v)
	if err != nil {
		return err
	}
	old, ok := s.known[name]
	if ok && old.uid != id.uid {
		if err := s.missed(lost{name, old.uid}); err != nil {
			return err
		}
	}
	id.list = s.list
	s.known[name] = id
	if ok && id.digest != 0 && id.same(old) {
		return s.told(id.resourceVersion) // a heartbeat
	}
	if err := s.observe(t, object); err != nil {
		return err
	}
	return s.told(id.resourceVersion)
}

// Delete observes a deletion, with the object's last state.
func (s *objectStore) Delete(v any) error {
	object, name, id, err := s.identify(v)
	if err != nil {
		return err
	}
	delete(s.known, name)
	if err := s.observe(watch.Deleted, object); err != nil {
		return err
	}
	return s.told(id.resourceVersion)
}

// begin begins a list.
func (s *objectStore) begin(string) error {
	if err := s.lists(); err != nil {
		return err
	}
	s.list++
	s.missedDeletions = 0
	return s.release() // of a list that did not come to its end
}

// item takes in what a list has: of the first one all of it, as Initial; of a later
// one what is new, or has changed. That is held back until it is known what was
// deleted meanwhile: a pod that was lost is told of before the one that replaced it.
func (s *objectStore) item(t watch.EventType, v any) error {
	object, name, id, err := s.identify(v)
	if err != nil {
		return err
	}
	old, ok := s.known[name]
	if t == watch.Deleted {
		if !ok {
			return nil
		}
		delete(s.known, name)
		return s.pass(s.observation(watch.Deleted, object, false))
	}
	if ok && id.uid == old.uid {
		if err := s.isBehind(old.resourceVersion, id.resourceVersion); err != nil {
			return err
		}
	}
	id.list = s.list
	s.known[name] = id
	t = watch.Added
	switch {
	case ok && id.same(old):
		return nil
	case ok && id.uid == old.uid:
		t = watch.Modified
	case ok:
		s.replaced = append(s.replaced, lost{name, old.uid})
	}
	return s.pass(s.listedItem(t, object))
}

// pass emits what a list brought, or holds it back.
func (s *objectStore) pass(o causality.Observation) error {
	if s.hold(o) || !s.started {
		return s.release()
	}
	return nil
}

// release emits what is held, after the deletions that came before it.
func (s *objectStore) release() error {
	slices.SortFunc(s.replaced, func(a, b lost) int { return strings.Compare(a.String(), b.String()) })
	for i, l := range s.replaced {
		if err := s.missed(l); err != nil {
			s.replaced = s.replaced[i:]
			return err
		}
	}
	s.replaced = nil
	return s.store.release()
}

// Replace ends the list that a watch begins with, of which these are the last
// items. What was missed comes out in order: deletions first, then what is new or
// has changed; an object that is as it was yields nothing.
func (s *objectStore) Replace(list []any, resourceVersion string) error {
	if was, err := s.last(s, list, resourceVersion); err != nil || !was {
		return err
	}
	for name, id := range s.known {
		if id.list != s.list {
			s.replaced = append(s.replaced, lost{name, id.uid})
			delete(s.known, name)
		}
	}
	if err := s.release(); err != nil {
		return err
	}
	s.listed(s.missedDeletions)
	s.version = resourceVersion
	return s.mark(sourceMark{version: resourceVersion})
}

// missed observes a deletion of which only the identity is left.
func (s *objectStore) missed(l lost) error {
	s.missedDeletions++
	return s.observe(watch.Deleted, &metav1.PartialObjectMetadata{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name, UID: l.uid},
	})
}

// eventStore is for Events. Keeping even the identity of an hour's Events
// would cost more than all else together, and their deletion means nothing but
// that the hour is over. So it keeps one number for all of them: the newest
// resource version it has passed on. A relist repeats nothing that is older.
type eventStore struct {
	store
	newest string
	// inOrder says that the list under way, as far as is known, counts on from
	// newest: what it has that is not newer was passed on. skipped says that there
	// was such an Event.
	inOrder, skipped bool
	// fed are hashes of what was passed on of the first list, so that it can be
	// begun again where it breaks off.
	fed map[uint64]struct{}
}

// Add observes a new Event.
func (s *eventStore) Add(object any) error { return s.put(watch.Added, object) }

// Update observes an Event that repeats.
func (s *eventStore) Update(object any) error { return s.put(watch.Modified, object) }

func (s *eventStore) put(t watch.EventType, v any) error {
	object, _, id, err := s.identify(v)
	if err != nil {
		return err
	}
	s.newest = id.resourceVersion
	if err := s.observe(t, object); err != nil {
		return err
	}
	return s.told(s.newest)
}

// Delete passes over an Event's expiry.
func (s *eventStore) Delete(v any) error {
	_, _, id, err := s.identify(v)
	if err != nil {
		return err
	}
	s.newest = id.resourceVersion
	return s.told(s.newest)
}

// Bookmark moves the newest resource version on where Events are rare.
func (s *eventStore) Bookmark(resourceVersion string) error {
	s.newest = resourceVersion
	return s.store.Bookmark(resourceVersion)
}

// begin begins a list.
//
// A list that is older than what was seen comes from a cluster restored from a
// backup. Its versions compare to nothing, so everything is passed on; the engine
// knows an Event it has seen.
func (s *eventStore) begin(resourceVersion string) error {
	if err := s.lists(); err != nil {
		return err
	}
	s.inOrder = s.started && (resourceVersion == "" || !newer(s.newest, resourceVersion))
	s.skipped = false
	return s.release() // of a list that did not come to its end
}

// item takes in an Event that a list has: of the first list any, of later ones what
// is newer than all that was passed on before.
func (s *eventStore) item(t watch.EventType, v any) error {
	object, _, id, err := s.identify(v)
	if err != nil || t == watch.Deleted {
		return err
	}
	if s.inOrder && !newer(id.resourceVersion, s.newest) {
		s.skipped = true
		return nil
	}
	if !s.started {
		key := maphash.String(seed, string(id.uid)+" "+id.resourceVersion)
		if _, ok := s.fed[key]; ok {
			return nil
		}
		if s.fed == nil {
			s.fed = map[uint64]struct{}{}
		}
		s.fed[key] = struct{}{}
	}
	if s.hold(s.listedItem(watch.Added, object)) {
		return s.release()
	}
	return nil
}

// release emits what is held in the order of the writes, as a watch does: lists
// come by name. Where there is more than can be held, that is the order within a
// few thousand Events. It matters to the engine within a namespace, and not for
// a first list.
func (s *eventStore) release() error {
	slices.SortStableFunc(s.held, func(a, b causality.Observation) int {
		order, _ := resourceversion.CompareResourceVersion(versionOf(a.Object), versionOf(b.Object)) // 0 where they cannot be compared
		return order
	})
	return s.store.release()
}

func versionOf(object runtime.Object) string {
	m, err := meta.Accessor(object)
	if err != nil {
		return ""
	}
	return m.GetResourceVersion()
}

// errOutOfOrder says that a list that was streamed is older than what was seen,
// which is known at its end only. It has to be listed again.
var errOutOfOrder = errors.New("the list is older than what was seen before")

// Replace ends a list, of which these are the last items.
func (s *eventStore) Replace(list []any, listVersion string) error {
	if was, err := s.last(s, list, listVersion); err != nil || !was {
		return err
	}
	if err := s.release(); err != nil {
		return err
	}
	if s.inOrder && s.skipped && newer(s.newest, listVersion) {
		s.newest = "" // which anything is newer than
		return errOutOfOrder
	}
	s.newest = listVersion
	s.fed = nil
	s.listed(0)
	s.version = listVersion
	return s.mark(sourceMark{version: listVersion})
}

// newer says whether resource version a is later than b; where they cannot be
// compared it says yes, so that nothing is lost.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// identify takes in what a Reflector says: it trims the object and returns what
// to know it by.
func (s *store) identify(v any) (runtime.Object, types.NamespacedName, identity, error) {
	object, ok := v.(runtime.Object)
	if !ok {
		return nil, types.NamespacedName{}, identity{}, fmt.Errorf("a %T is no API object", v)
	}
	m, err := meta.Accessor(object)
	if err != nil {
		return nil, types.NamespacedName{}, identity{}, err
	}
	// A typed client leaves the kind out, and one of metadata calls it otherwise; a
	// recording has it. The engine should see no difference.
	object.GetObjectKind().SetGroupVersionKind(s.kind.GroupVersionKind)
	if s.late || s.relists() {
		s.stated = statedBy(m)
	}
	trim(object)
	if s.hide != nil {
		s.hide(object)
	}
	name := types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()}
	return object, name, identity{uid: m.GetUID(), resourceVersion: m.GetResourceVersion(), digest: digest(object)}, nil
}
