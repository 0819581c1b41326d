package watcher

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// serving is a custom resource whose definition a test changes.
type serving struct {
	*ownerTest
	mu      sync.Mutex
	version string // empty while there is no definition
	objects []*metav1.PartialObjectMetadata
	watches []*watch.FakeWatcher
}

func newServing(t *testing.T) *serving {
	s := &serving{ownerTest: newOwnerTest(t, []string{"shop", "pay"})}
	s.client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.GetResource().Version != s.version {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		}
		list := &metav1.List{}
		if a.GetNamespace() == "shop" || a.GetNamespace() == "" {
			for _, o := range s.objects {
				list.Items = append(list.Items, runtime.RawExtension{Object: o.DeepCopy()})
			}
		}
		return true, list, nil
	})
	s.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.GetResource().Version != s.version {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		}
		w := watch.NewFake()
		s.watches = append(s.watches, w)
		return true, w, nil
	})
	return s
}

// serve changes the definition, as the API server does: all watches end.
func (s *serving) serve(version string, clusterScoped bool, objects ...*metav1.PartialObjectMetadata) {
	s.mu.Lock()
	s.version, s.objects = version, objects
	ended := s.watches
	s.watches = nil
	s.mu.Unlock()
	s.ownerTest.mu.Lock()
	s.ownerTest.version, s.ownerTest.clusterScoped = version, clusterScoped
	s.unknown["Shop"] = version == ""
	s.ownerTest.mu.Unlock()
	for _, w := range ended {
		w.Stop()
	}
}

// A custom resource comes, is served in another version, goes, and comes back in
// no namespace. What it has is seen each time, and nothing twice.
func TestOwnersServedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServing(t)
		defer s.stop()
		s.serve("v1beta1", false, custom("Shop", "web"), custom("Shop", "old"))
		s.notice(custom("Mall", "x", ownedBy("example.com/v1beta1", "Shop")))
		s.expect("ADDED Shop.example.com/v1beta1 web", "ADDED Shop.example.com/v1beta1 old")

		s.serve("v1", false, custom("Shop", "web"), custom("Shop", "new"))
		time.Sleep(time.Minute)
		s.expect("DELETED Shop.example.com/v1 old", "ADDED Shop.example.com/v1 new")

		s.serve("", false)
		time.Sleep(24 * time.Hour)
		s.expect()
		if n := value(t, s.metrics.streams); n != 0 {
			t.Errorf("%v streams of what is not there", n)
		}
		again := custom("Shop", "web")
		again.Namespace, again.UID = "", "another"
		s.serve("v2", true, again)
		time.Sleep(2 * afterRefusal.Cap)
		s.expect("ADDED Shop.example.com/v2 web")
		if n := value(t, s.metrics.streams); n != 1 {
			t.Errorf("%v streams", n)
		}
		lost := func(where string) string {
			return `level=INFO msg="cannot read shops.example.com in namespace ` + where +
				`; without them owners are followed no further than to the reference that names them; trying again"`
		}
		got := s.messages()
		for _, where := range []string{"shop", "pay"} {
			if n := count(got, lost(where)); n > 2 {
				t.Errorf("%s was said %d times, for two times that it happened", lost(where), n)
			}
		}
		if count(got, lost("shop"))+count(got, lost("pay")) == 0 {
			t.Errorf("said %q", got)
		}
	})
}

func count(messages []string, message string) (n int) {
	for _, m := range messages {
		if m == message {
			n++
		}
	}
	return n
}

// An API that is there, but whose server is not, is named once, and holds up no
// other kind.
func TestOwnersOfAnAPIThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil, custom("Shop", "web"))
		defer o.stop()
		o.mu.Lock()
		o.lookupError = apierrors.NewServiceUnavailable("no endpoints")
		o.mu.Unlock()
		o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		time.Sleep(time.Hour)
		o.expect()
		if got := o.messages(); !slices.Equal(got, []string{`level=INFO msg="cannot read Shop.example.com; trying again"`}) {
			t.Errorf("said %q", got)
		}
		o.mu.Lock()
		if o.lookups < 60 || o.lookups > 130 { // every half a minute to a minute
			t.Errorf("asked %d times in an hour", o.lookups)
		}
		o.lookupError = nil
		o.mu.Unlock()
		time.Sleep(time.Minute)
		o.expect("ADDED Shop.example.com/v1 web")
		if got := o.messages(); !slices.Equal(got, []string{`level=INFO msg="reading Shop.example.com again"`}) {
			t.Errorf("said %q", got)
		}
	})
}

// Of a kind that is not served any more nothing is kept that has gone wrong with it: it would look as if
// something were still in trouble.
func TestNothingIsKeptOfAKindThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServing(t)
		defer s.stop()
		s.serve("v1", false, custom("Shop", "web"))
		s.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		s.expect("ADDED Shop.example.com/v1 web")
		s.serve("", false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := s.streams; !st.trouble.none() || len(st.throughBy())+len(st.settled)+len(st.broken) > 0 {
			t.Errorf("it keeps %v, %v, %v, %v", st.trouble.kinds, st.through, st.settled, st.broken)
		}
	})
}
