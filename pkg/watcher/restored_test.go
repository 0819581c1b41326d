package watcher

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/rollspan/rollspan/pkg/causality"
)

// An API server whose store was restored from a backup is at a version before one that was seen, or
// has an object at one. Nothing of it is told then: which of two states is the later one nobody can
// say. Versions that say nothing prove nothing.
func TestARestoreIsNoticed(t *testing.T) {
	unauthorized := apierrors.NewUnauthorized("the token has expired")
	expired := apierrors.NewResourceExpired("too old")
	for name, test := range map[string]struct {
		asked
		resumed bool // from a journal
		want    []string
	}{
		"while rollspan was away": {
			asked:   asked{list: []string{"4"}, opens: []error{unauthorized}},
			resumed: true,
			want:    []string{"restored from 5 to 4"},
		},
		"while the API server was away": {
			asked: asked{list: []string{"5", "4"}, opens: []error{nil, unauthorized, nil}, watches: [][]watch.Event{modified("6")}},
			want:  []string{"pod 5", "pod 6", "restored from 6 to 4"},
		},
		"and the watch says so": {
			asked: asked{list: []string{"5", "4"}, opens: []error{nil, expired}, watches: [][]watch.Event{modified("6")}},
			want:  []string{"pod 5", "pod 6", "restored from 6 to 4"},
		},
		"not, but the writes are forgotten": {
			asked: asked{list: []string{"5", "8", "8", "9"}, opens: []error{nil, expired, nil}, watches: [][]watch.Event{modified("6"), modified("9")}},
			want:  []string{"pod 5", "pod 6", "pod 8", "pod 9"},
		},
		"nobody knows, as versions are no numbers": {
			asked: asked{list: []string{"5", "x"}, opens: []error{nil, expired, unauthorized}, watches: [][]watch.Event{modified("6")}},
			want:  []string{"pod 5", "pod 6", "pod x"},
		},
	} {
		for _, streams := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, streams %t", name, streams), func(t *testing.T) {
				test := test
				test.list, test.watches = slices.Clone(test.list), slices.Clone(test.watches)
				test.opens = append(slices.Clone(test.opens), slices.Repeat([]error{unauthorized}, 12)...)
				if streams { // the list before the first watch is opened as one
					test.opens = slices.Insert(test.opens, 0, error(nil))
					test.watches = slices.Insert(test.watches, 0, []watch.Event(nil))
					if test.resumed {
						test.opens, test.watches = test.opens[1:], test.watches[1:]
					}
				}
				var got []string
				into := newObjectStore(store{
					kind: podKind, now: time.Now, relisted: func(int) {}, synced: func() {},
					emit: func(o causality.Observation) error {
						got = append(got, "pod "+versionOf(o.Object))
						return nil
					},
					restored: func(was, is string) error {
						got = append(got, fmt.Sprintf("restored from %s to %s", was, is))
						return errors.New("it was restored")
					},
				})
				if test.resumed {
					into.version, into.resumed, into.started = "5", true, true
				}
				client, semantics := test.client(streams)
				lists := &feeder{client: client, into: into}
				reflector := cache.NewReflectorWithOptions(lists.listerWatcher(semantics), nil, into, cache.ReflectorOptions{})
				for range 8 {
					_ = reflector.ListAndWatchWithContext(t.Context())
				}
				if got = slices.Compact(got); !slices.Equal(got, test.want) { // it is asked again here
					t.Errorf("it said %q, want %q; it asked for %q", got, test.want, test.was)
				}
			})
		}
	}

	// The API server may have passed what was seen by the time that it is asked.
	s := newObjectStore(store{
		kind: podKind, now: time.Now, started: true, listing: true,
		emit:     func(causality.Observation) error { return nil },
		restored: func(was, is string) error { return fmt.Errorf("from %s to %s", was, is) },
	})
	for _, step := range []struct{ version, want string }{{"90", ""}, {"91", ""}, {"89", "from 91 to 89"}, {"91", ""}} {
		got := ""
		if err := s.item(watch.Added, webAt(step.version)); err != nil {
			got = err.Error()
		}
		if got != step.want {
			t.Errorf("a list has a pod at %s: %q, want %q", step.version, got, step.want)
		}
	}
}

// Only who reads the stores of Kubernetes itself says that these were restored: Events may be in one
// of their own, and another server may have what was found.
func TestWhoNoticesARestore(t *testing.T) {
	log, _ := testLog(0)
	s := &streams{log: log, now: time.Now, restored: func(source, string, string) error { return nil }}
	for _, c := range []struct {
		of   source
		want bool
	}{
		{source{kind: podKind}, true},
		{source{kind: eventKind, optional: true}, false},
		{source{kind: podKind, found: true}, false},
	} {
		if got := s.baseStore(c.of).restored != nil; got != c.want {
			t.Errorf("%+v notices a restore: %t", c.of, got)
		}
	}
}

// What was read, and is forbidden, may be so for a moment, as while an API server begins. It is waited
// for like one that does not answer; what never could be read is not.
func TestForbiddenForAMoment(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("no"))
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, "")
	for _, c := range []struct {
		what  string
		read  bool
		err   error
		marks sourceMark
	}{
		{"read before", true, forbidden, sourceMark{away: true}},
		{"never read", false, forbidden, sourceMark{refused: true}},
		{"not served any more", true, gone, sourceMark{refused: true}},
	} {
		var got sourceMark
		s := &store{optional: true, first: c.read, reached: func(m sourceMark) error { got = m; return nil }}
		if err := s.failed(c.err); err != nil || got != c.marks {
			t.Errorf("%s: %+v, want %+v (%v)", c.what, got, c.marks, err)
		}
	}
}
