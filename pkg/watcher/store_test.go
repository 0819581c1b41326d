package watcher

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
)

// script collects what a store emits as "ADDED web u1@5", with "initial" where
// it is and "gone" where only the identity is left.
type script struct {
	lines  []string
	synced int
	missed []int
	fail   error
}

func (s *script) store(k kind) store {
	return store{
		kind:     k,
		now:      func() time.Time { return time.Unix(0, 0) },
		synced:   func() { s.synced++ },
		relisted: func(n int) { s.missed = append(s.missed, n) },
		emit: func(o causality.Observation) error {
			if s.fail != nil {
				return s.fail
			}
			m := o.Object.(metav1.Object)
			line := fmt.Sprintf("%s %s %s@%s", o.Type, m.GetName(), m.GetUID(), m.GetResourceVersion())
			if o.Initial {
				line += " initial"
			}
			if _, ok := o.Object.(*metav1.PartialObjectMetadata); ok {
				line += " gone"
			}
			if got := o.Object.GetObjectKind().GroupVersionKind(); got != k.GroupVersionKind {
				line += " of kind " + got.String()
			}
			s.lines = append(s.lines, line)
			return nil
		},
	}
}

// expect compares what was emitted since the last call.
func (s *script) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.lines, want) {
		t.Errorf("got  %q\nwant %q", s.lines, want)
	}
	s.lines = nil
}

func pod(name, uid, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid), ResourceVersion: version}}
}

func event(name, version string) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), ResourceVersion: version}}
}

func TestObjectStore(t *testing.T) {
	var s script
	o := newObjectStore(s.store(podKind))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	must(o.Replace([]any{pod("a", "u1", "1"), pod("b", "u2", "2"), pod("c", "u3", "3"), pod("d", "u4", "4")}, "4"))
	s.expect(t, "ADDED a u1@1 initial", "ADDED b u2@2 initial", "ADDED c u3@3 initial", "ADDED d u4@4 initial")
	if s.synced != 1 || len(s.missed) != 0 {
		t.Errorf("synced %d, relisted %v", s.synced, s.missed)
	}

	must(o.Add(pod("e", "u5", "5")))
	must(o.Update(pod("a", "u1", "6")))
	must(o.Delete(pod("b", "u2", "7")))
	s.expect(t, "ADDED e u5@5", "MODIFIED a u1@6", "DELETED b u2@7")

	// While the watch was down: a is as it was, c was deleted, d was deleted
	// and made again, e was changed, f is new.
	must(o.Replace([]any{pod("a", "u1", "6"), pod("d", "u6", "9"), pod("e", "u5", "8"), pod("f", "u7", "10")}, "10"))
	s.expect(t, "DELETED c u3@ gone", "DELETED d u4@ gone", "ADDED d u6@9", "MODIFIED e u5@8", "ADDED f u7@10")
	if s.synced != 1 || !slices.Equal(s.missed, []int{2}) {
		t.Errorf("synced %d, relisted %v", s.synced, s.missed)
	}

	// The same list again says nothing.
	must(o.Replace([]any{pod("a", "u1", "6"), pod("d", "u6", "9"), pod("e", "u5", "8"), pod("f", "u7", "10")}, "11"))
	s.expect(t)

	// Recreated under the same name, and the watch did not say so.
	must(o.Add(pod("a", "u8", "12")))
	s.expect(t, "DELETED a u1@ gone", "ADDED a u8@12")

	// All of it is gone.
	must(o.Replace(nil, "13"))
	s.expect(t, "DELETED a u8@ gone", "DELETED d u6@ gone", "DELETED e u5@ gone", "DELETED f u7@ gone")
	must(o.Resync())
	s.expect(t)
}

// What only a list tells, behind the first one, was written between what it states of that, and its
// arrival; what a watch tells has just been.
func TestListSaysSinceWhen(t *testing.T) {
	stated := time.Unix(1_700_000_000, 0)
	written := func(version string) *corev1.Pod {
		p := pod("a", "u1", version)
		p.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: stated}}}
		return p
	}
	said := func(version string) *corev1.Event {
		e := event("a", version)
		e.CreationTimestamp = metav1.Time{Time: stated}
		return e
	}
	var since []time.Time
	var s script
	of := func(k kind) store {
		base := s.store(k)
		base.now = func() time.Time { return stated.Add(time.Minute) }
		base.emit = func(o causality.Observation) error {
			since = append(since, o.Since)
			return nil
		}
		return base
	}
	objects, events := newObjectStore(of(podKind)), &eventStore{store: of(eventKind)}
	for _, err := range []error{
		objects.Replace([]any{written("1")}, "1"), objects.Update(written("2")), objects.Replace([]any{written("3")}, "4"), objects.Update(written("5")),
		events.Replace([]any{said("1")}, "1"), events.Add(said("2")), events.Replace([]any{said("3")}, "4"), events.Add(said("5")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []time.Time{{}, {}, stated, {}, {}, {}, stated, {}}
	if !slices.EqualFunc(since, want, time.Time.Equal) {
		t.Errorf("got  %v\nwant %v", since, want)
	}
}

func TestObjectStoreTellsNamespacesApart(t *testing.T) {
	var s script
	o := newObjectStore(s.store(podKind))
	other := pod("a", "u2", "2")
	other.Namespace = "other"
	if err := o.Replace([]any{pod("a", "u1", "1"), other}, "2"); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "ADDED a u1@1 initial", "ADDED a u2@2 initial")
}

func TestEventStore(t *testing.T) {
	var s script
	e := &eventStore{store: s.store(eventKind)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(e.Replace([]any{event("b", "95"), event("a", "90")}, "99"))
	s.expect(t, "ADDED a uid-a@90 initial", "ADDED b uid-b@95 initial")

	// Expiry means nothing.
	must(e.Add(event("c", "100")))
	must(e.Update(event("b", "101")))
	must(e.Delete(event("a", "102")))
	s.expect(t, "ADDED c uid-c@100", "MODIFIED b uid-b@101")

	// A relist yields what is newer than all that was seen. 1000 is newer
	// than 102, though not as text.
	must(e.Bookmark("105"))
	must(e.Replace([]any{event("b", "101"), event("c", "100"), event("d", "104"), event("f", "1000")}, "1001"))
	s.expect(t, "ADDED f uid-f@1000")

	// Lists come by name, or out of a map, and are passed on in the order of the
	// writes: what came before is not news to the engine.
	must(e.Replace([]any{event("f", "1000"), event("j", "1100"), event("k", "1020"), event("l", "1003")}, "1200"))
	s.expect(t, "ADDED l uid-l@1003", "ADDED k uid-k@1020", "ADDED j uid-j@1100")

	// A cluster that came back from a backup counts from before.
	must(e.Replace([]any{event("g", "50")}, "60"))
	s.expect(t, "ADDED g uid-g@50")
	must(e.Replace([]any{event("g", "50"), event("h", "61")}, "62"))
	s.expect(t, "ADDED h uid-h@61")

	// Versions that are no numbers compare to nothing: all is passed on.
	must(e.Replace([]any{event("h", "x"), event("i", "y")}, "z"))
	s.expect(t, "ADDED h uid-h@x", "ADDED i uid-i@y")
	if s.synced != 1 || len(s.missed) != 5 {
		t.Errorf("synced %d, relisted %v", s.synced, s.missed)
	}
}

func TestStoresStop(t *testing.T) {
	s := script{fail: errors.New("stopping")}
	o := newObjectStore(s.store(podKind))
	e := &eventStore{store: s.store(eventKind)}
	for name, err := range map[string]error{
		"Replace": o.Replace([]any{pod("a", "u1", "1")}, "1"), "Add": o.Add(pod("a", "u1", "1")),
		"Update": o.Update(pod("a", "u1", "1")), "Delete": o.Delete(pod("a", "u1", "1")),
		"Events": e.Replace([]any{event("a", "1")}, "1"), "Event": e.Add(event("a", "1")),
		"rubbish": o.Add("not an object"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if s.synced != 0 {
		t.Error("synced by a list that was not passed on")
	}
}
