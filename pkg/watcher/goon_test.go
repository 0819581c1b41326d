package watcher

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/rollspan/rollspan/pkg/causality"
)

// asked is an API server that says to each watch what it is told to, and writes down what it was
// asked for.
type asked struct {
	list    []string // of the versions of pods
	watches [][]watch.Event
	opens   []error // of a watch; nil for one that opens
	endless bool    // it ends no watch
	was     []string
	opened  *watch.FakeWatcher // last
}

func webAt(version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: types.UID("web"), ResourceVersion: version, CreationTimestamp: metav1.Unix(1000, 0),
	}}
}

// version is that of the next list; the last one stays.
func (a *asked) version() string {
	version := a.list[0]
	a.list = a.list[min(1, len(a.list)-1):]
	return version
}

func (a *asked) client(streams bool) (cache.ListerWatcherWithContext, any) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			a.was = append(a.was, "list")
			version := a.version()
			return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: []corev1.Pod{*webAt(version)}}, nil
		},
		WatchFuncWithContext: func(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
			var before []watch.Event
			if o.SendInitialEvents != nil { // a list that is streamed
				a.was = append(a.was, "list")
				version := a.version()
				end := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
				before = []watch.Event{{Type: watch.Added, Object: webAt(version)}, {Type: watch.Bookmark, Object: end}}
			}
			a.was = append(a.was, "watch "+cmp.Or(o.ResourceVersion, "behind it"))
			if err := a.opens[0]; err != nil {
				a.opens = a.opens[1:]
				return nil, err
			}
			a.opens = a.opens[1:]
			w := watch.NewFakeWithChanSize(10, false)
			a.opened = w
			for _, event := range append(before, a.watches[0]...) {
				w.Action(event.Type, event.Object)
			}
			a.watches = a.watches[1:]
			if !a.endless {
				w.Stop()
			}
			return w, nil
		},
	}
	if streams {
		return lw, nil
	}
	return lw, noStreams{}
}

// noStreams is a client that cannot stream lists.
type noStreams struct{}

func (noStreams) IsWatchListSemanticsUnSupported() bool { return true }

func modified(versions ...string) (out []watch.Event) {
	for _, v := range versions {
		out = append(out, watch.Event{Type: watch.Modified, Object: webAt(v)})
	}
	return out
}

func endsWith(err *apierrors.StatusError) watch.Event {
	status := err.Status()
	return watch.Event{Type: watch.Error, Object: &status}
}

// TestWatchGoesOn has watches end in all ways. What happened meanwhile is told state by state
// where the API server has it, and as a list shows it only where it says that it has not.
func TestWatchGoesOn(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	unauthorized := apierrors.NewUnauthorized("the token has expired")
	for name, test := range map[string]struct {
		asked
		streams bool
		runs    int
		states  []string
		want    []string
		late    []string // of the states, those that are not of a list
	}{
		"the first list": {
			asked:  asked{list: []string{"1"}, opens: []error{unauthorized}},
			runs:   1,
			states: []string{"1"}, want: []string{"list", "watch 1"},
		},
		"refused for a while": {
			asked: asked{list: []string{"1", "4"}, opens: []error{nil, unauthorized, unauthorized, nil, unauthorized},
				watches: [][]watch.Event{modified("2"), modified("3", "4")}},
			runs:   3,
			states: []string{"1", "2", "3", "4"},
			want:   []string{"list", "watch 1", "watch 2", "list", "watch 2", "list", "watch 2", "watch 4"},
			late:   []string{"3", "4"},
		},
		"broken by an error": {
			asked: asked{list: []string{"1"}, opens: []error{nil, nil, unauthorized},
				watches: [][]watch.Event{append(modified("2"), endsWith(apierrors.NewBadRequest("what is that"))), modified("3")}},
			runs:   2,
			states: []string{"1", "2", "3"},
			want:   []string{"list", "watch 1", "watch 2", "watch 3"},
		},
		"too old": {
			asked: asked{list: []string{"1", "7"}, opens: []error{nil, nil, unauthorized},
				watches: [][]watch.Event{append(modified("2"), endsWith(expired)), modified("8")}},
			runs:   2,
			states: []string{"1", "2", "7", "8"},
			want:   []string{"list", "watch 1", "list", "watch 7", "watch 8"},
		},
		"too old to begin with": {
			asked: asked{list: []string{"1", "7"}, opens: []error{nil, expired, unauthorized},
				watches: [][]watch.Event{modified("2")}},
			runs:   2,
			states: []string{"1", "2", "7"},
			want:   []string{"list", "watch 1", "watch 2", "list", "watch 7"},
		},
		"streamed, and refused for a while": {
			streams: true,
			asked: asked{list: []string{"1", "3"}, opens: []error{nil, unauthorized, nil, unauthorized},
				watches: [][]watch.Event{modified("2"), modified("3", "4")}},
			runs:   2,
			states: []string{"1", "2", "3", "4"},
			want:   []string{"list", "watch behind it", "watch 2", "list", "watch 2", "watch 4"},
			late:   []string{"3"},
		},
		"a server that was restored from a backup": {
			asked: asked{list: []string{"5", "3"}, opens: []error{nil, unauthorized, nil, unauthorized},
				watches: [][]watch.Event{modified("6"), modified("4")}},
			runs:   2,
			states: []string{"5", "6", "3", "4"},
			want:   []string{"list", "watch 5", "watch 6", "list", "list", "watch 3", "watch 4"},
		},
		"streamed, and too old": {
			streams: true,
			asked: asked{list: []string{"1", "7"}, opens: []error{nil, nil, nil, unauthorized},
				watches: [][]watch.Event{modified("2"), {endsWith(expired)}, modified("8")}},
			runs:   2,
			states: []string{"1", "2", "7", "8"},
			want:   []string{"list", "watch behind it", "watch 2", "list", "watch 2", "watch 8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var states, late []string
			listing := false
			into := newObjectStore(store{
				kind: podKind, now: time.Now, synced: func() {}, relisted: func(int) {},
				emit: func(o causality.Observation) error {
					states = append(states, versionOf(o.Object))
					if !o.Since.IsZero() && !listing {
						late = append(late, versionOf(o.Object))
					}
					return nil
				},
				reached: func(m sourceMark) error { listing = m.listing; return nil },
			})
			client, semantics := test.client(test.streams)
			lists := &feeder{client: client, into: into}
			reflector := cache.NewReflectorWithOptions(lists.listerWatcher(semantics), nil, into, cache.ReflectorOptions{})
			for range test.runs {
				_ = reflector.ListAndWatchWithContext(t.Context()) // how it ends is in what it asks
			}
			if !slices.Equal(states, test.states) || !slices.Equal(test.was, test.want) || !slices.Equal(late, test.late) {
				t.Errorf("it has told %v, want %v, of these late %v, want %v; it asked for %v, want %v", states, test.states, late, test.late, test.was, test.want)
			}
		})
	}
}

// Where the API server has forgotten the writes of a kind, a list is asked for at once, as what comes
// and goes until it is there is lost; but not again and again.
func TestAListIsDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feeder{}
		began, tries := time.Now(), 0
		persist(t.Context(), func() <-chan struct{} { return nil }, nil, func(context.Context) attempt {
			switch tries++; {
			case tries == 1 && f.isDue():
				t.Error("a list is due where nothing has expired")
			case tries == 3:
				if since := time.Since(began); since != 0 {
					t.Errorf("it was waited for %s", since)
				}
			}
			f.expired.Store(true)
			switch {
			case tries < 3 && tries > 1 && !f.isDue(), tries == 3 && f.isDue():
				t.Errorf("at attempt %d", tries)
			case tries == 3:
				time.Sleep(anewEvery)
				if !f.isDue() {
					t.Error("none is due after a while")
				}
				return done
			}
			return again
		})
	})
}
