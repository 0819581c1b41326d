package watcher

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A process goes on where the one before has stopped, which had watched Shops. Their definition was
// deleted meanwhile: as soon as the API server says so nobody waits for them, and when there is one
// again they are listed.
func TestAKindThatIsGoneIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServing(t)
		defer s.stop()
		s.serve("", false)
		backlog := newBacklog(map[string]string{"Shop.example.com shop": "7", "Shop.example.com pay": "8", "Mall.example.com shop": "9"})
		s.streams.resumed = &resumption{positions: map[string]string{"Shop.example.com shop": "7", "Shop.example.com pay": "8", "Mall.example.com shop": "9"}}
		s.streams.reached = func(m sourceMark) error {
			s.ownerTest.mu.Lock()
			defer s.ownerTest.mu.Unlock()
			backlog.mark(m, false)
			return nil
		}
		began := time.Now()
		s.notice(custom("Pod", "web", ownedBy("example.com/v1", "Shop")))
		time.Sleep(lookupEvery) // which is when the API server may be asked
		synctest.Wait()
		s.ownerTest.mu.Lock()
		defer s.ownerTest.mu.Unlock()
		if len(backlog.waits) != 1 || !backlog.waits["Mall.example.com shop"] || time.Since(began) >= backlogPatience {
			t.Errorf("it waits for %v after %s", backlog.waits, time.Since(began))
		}
		if v, is := backlog.last["Shop.example.com shop"]; !is || v != "" {
			t.Errorf("it would go on from %q", v)
		}
	})
}

// Nor is what may not be read any more waited for, but it is watched on from where it was when it may;
// and what the API server fails to tell is.
func TestWhatIsRefusedIsNotWaitedFor(t *testing.T) {
	gr := schema.GroupResource{Group: "apps", Resource: "statefulsets"}
	for name, test := range map[string]struct {
		err  error
		want []sourceMark
	}{
		"forbidden":     {apierrors.NewForbidden(gr, "", nil), []sourceMark{{source: "StatefulSet.apps ", version: "7"}}},
		"not served":    {apierrors.NewNotFound(gr, ""), []sourceMark{{source: "StatefulSet.apps ", version: "7"}}},
		"failing":       {apierrors.NewInternalError(errors.New("it broke")), nil},
		"expired (410)": {apierrors.NewResourceExpired("too old"), nil},
	} {
		l := newTestLive(t)
		var got []sourceMark
		l.streams.reached = func(m sourceMark) error { got = append(got, m); return nil }
		l.streams.resumed = &resumption{positions: map[string]string{"StatefulSet.apps ": "7"}}
		for _, src := range l.streams.sources {
			if src.kind.Kind == "StatefulSet" {
				l.streams.report(t.Context(), src, metav1.ListOptions{}, test.err)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: it says %v, want %v", name, got, test.want)
		}
	}
}

// A kind that was read in this run, is gone for a while and returns may be refused then. It was seen further than
// by the run before: who comes next is not to go on from there.
func TestAKindThatReturnsIsNotSetBack(t *testing.T) {
	l := newTestLive(t)
	var got []sourceMark
	l.streams.reached = func(m sourceMark) error { got = append(got, m); return nil }
	l.streams.resumed = &resumption{positions: map[string]string{"Shop.example.com ": "7"}, listed: func(string) bool { return true }}
	shops := source{kind: newKind("example.com", "v1", "Shop", "shops", ""), optional: true, found: true}
	st := l.streams.objectStore(shops)
	if err := st.Replace(nil, "9"); err != nil {
		t.Fatal(err)
	}
	l.streams.forget(shops)
	got = nil
	l.streams.report(t.Context(), shops, metav1.ListOptions{}, apierrors.NewForbidden(schema.GroupResource{Group: "example.com", Resource: "shops"}, "", nil))
	if len(got) > 0 {
		t.Errorf("it says %v", got)
	}
}

// A position of a kind that nothing names any more is kept, and nobody waits for it.
func TestOnlyWhatIsFollowedIsWaitedFor(t *testing.T) {
	l := newTestLive(t)
	l.streams.owners.notice(custom("Pod", "web", ownedBy("example.com/v1", "Shop")))
	b := newBacklog(map[string]string{"Pod ": "5", "Shop.example.com ": "6", "Mall.example.com ": "7", "Shop.example.org ": "8"})
	b.waitOnly(l.streams.follows)
	if len(b.waits) != 2 || !b.waits["Pod "] || !b.waits["Shop.example.com "] {
		t.Errorf("it waits for %v", b.waits)
	}
}
