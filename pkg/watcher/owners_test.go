package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/rollspan/rollspan/pkg/causality"
)

// ownerTest is an owners on a cluster that has custom resources, within a bubble
// whose time is not real.
type ownerTest struct {
	*owners
	streams  *streams
	t        *testing.T
	client   *metadatafake.FakeMetadataClient
	messages func() []string
	stop     func()

	mu sync.Mutex
	// emitted are what the streams saw, as "ADDED Shop.example.com/v1 web".
	emitted []string
	// unknown are the kinds that the API server does not know; lookups, how often
	// it was asked.
	unknown map[string]bool
	lookups int
	// version is the one that is served, v1 if empty; lookupError, what the API
	// server answers instead.
	version       string
	clusterScoped bool
	lookupError   error
}

func (o *ownerTest) find(_ context.Context, gvk schema.GroupVersionKind) (kind, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lookups++
	if o.unknown[gvk.Kind] {
		return kind{}, &meta.NoKindMatchError{GroupKind: gvk.GroupKind()}
	}
	version := o.version
	if version == "" {
		version = "v1"
	}
	found := newKind(gvk.Group, version, gvk.Kind, strings.ToLower(gvk.Kind)+"s", "")
	found.clusterScoped = gvk.Kind == "Planet" || o.clusterScoped
	return found, o.lookupError
}

func custom(kind, name string, owners ...metav1.OwnerReference) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "example.com/v1", Kind: kind},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID(kind + name), ResourceVersion: "1", OwnerReferences: owners,
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
		},
	}
}

func ownedBy(apiVersion, kind string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: "web", UID: types.UID(kind + "web")}
}

func newOwnerTest(t *testing.T, namespaces []string, objects ...runtime.Object) *ownerTest {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	o := &ownerTest{t: t, client: metadatafake.NewSimpleMetadataClient(scheme, objects...), unknown: map[string]bool{}}
	log, messages := testLog(slog.LevelInfo)
	o.messages = messages
	o.owners = newOwners(o.find, o.client, liveKinds, namespaces, log)
	s := &streams{
		now:    time.Now,
		owners: o.owners, log: log, trouble: newTrouble(log, "host"), metrics: newStreamMetrics(),
		emit: func(seen causality.Observation) error {
			m, ok := seen.Object.(*metav1.PartialObjectMetadata)
			if !ok || len(m.ManagedFields) > 0 || len(m.Annotations) > 0 {
				t.Errorf("emitted %+v", seen.Object)
				return nil
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.emitted = append(o.emitted, fmt.Sprintf("%s %s.%s %s", seen.Type, m.Kind, m.APIVersion, m.Name))
			return nil
		},
	}
	o.streams = s
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	o.stop = func() { cancel(); <-ended }
	if waiting := s.waitingFor(); len(waiting) > 0 {
		t.Errorf("owners make rollspan wait for %v", waiting)
	}
	return o
}

// expect compares what was emitted since the last call, in any order.
func (o *ownerTest) expect(want ...string) {
	o.t.Helper()
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.Sort(o.emitted)
	slices.Sort(want)
	if !slices.Equal(o.emitted, want) {
		o.t.Errorf("got  %q\nwant %q", o.emitted, want)
	}
	o.emitted = nil
}

// lists returns what was listed, as "shops in shop".
func (o *ownerTest) lists() []string {
	var lists []string
	for _, a := range o.client.Actions() {
		if a.GetVerb() == "list" {
			lists = append(lists, a.GetResource().Resource+" in "+a.GetNamespace())
		}
	}
	slices.Sort(lists)
	return lists
}

func value(t *testing.T, m interface{ Write(*dto.Metric) error }) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue()
}

// A Deployment belongs to a Shop, which belongs to a Mall: each kind gets one
// stream, on first sight, whatever the order and however often it is named.
func TestOwnersFollowTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil,
			custom("Shop", "web", ownedBy("example.com/v1", "Mall")), custom("Mall", "web"), custom("Mall", "other"), custom("Street", "web"))
		defer o.stop()
		o.expect()
		for range 3 {
			owned := pod("a", "u", "1")
			owned.OwnerReferences = []metav1.OwnerReference{ownedBy("example.com/v1", "Shop")}
			o.notice(owned)
			o.notice(&unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"ownerReferences": []any{
				map[string]any{"apiVersion": "example.com/v1", "kind": "Shop", "name": "web", "uid": "u"}}}}})
		}
		o.expect("ADDED Shop.example.com/v1 web", "ADDED Mall.example.com/v1 web", "ADDED Mall.example.com/v1 other")
		if got := o.lists(); !slices.Equal(got, []string{"malls in ", "shops in "}) {
			t.Errorf("listed %q", got)
		}
		if n := value(t, o.metrics.streams); n != 2 {
			t.Errorf("%v streams", n)
		}

		// They are watched, not only listed.
		if err := o.client.Tracker().Create(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "shops"}, custom("Shop", "new"), "shop"); err != nil {
			t.Fatal(err)
		}
		o.expect("ADDED Shop.example.com/v1 new")
		if got := o.messages(); len(got) > 0 {
			t.Errorf("said %q", got)
		}
	})
}

// Of many owners it is the controller that the engine goes by, or else the first. An object that names
// thousands costs no more than another.
func TestOneOfManyOwnersIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil, custom("Shop", "web"), custom("Mall", "web"))
		defer o.stop()
		many := custom("Street", "x")
		for i := range 20_000 {
			many.OwnerReferences = append(many.OwnerReferences, ownedBy("example.com/v1", fmt.Sprint("Kind", i)))
		}
		many.OwnerReferences[0].Kind = "Mall"
		o.notice(many)
		controls := true
		many.OwnerReferences[12_345].Kind, many.OwnerReferences[12_345].Controller = "Shop", &controls
		o.notice(many)
		o.expect("ADDED Shop.example.com/v1 web", "ADDED Mall.example.com/v1 web")
		if len(o.met) != 2 {
			t.Errorf("it looked for %d kinds", len(o.met))
		}
	})
}

// What an Event is about may belong to something, too; as it comes from a typed
// client, and as it is recorded.
func TestOwnersOfWhatEventsAreAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil, custom("Shop", "web"), custom("Mall", "web"))
		defer o.stop()
		o.notice(&corev1.Event{InvolvedObject: corev1.ObjectReference{APIVersion: "example.com/v0", Kind: "Shop"}}) // a version of old
		o.notice(&unstructured.Unstructured{Object: map[string]any{"kind": "Event", "involvedObject": map[string]any{"apiVersion": "example.com/v1", "kind": "Mall"}}})
		o.expect("ADDED Shop.example.com/v1 web", "ADDED Mall.example.com/v1 web")
	})
}

func TestOwnersNeverLookAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil)
		defer o.stop()
		for _, ref := range [][2]string{
			{"v1", "Secret"}, {"v1", "ConfigMap"}, {"v1", "Event"}, {"events.k8s.io/v1", "Event"}, {"coordination.k8s.io/v1", "Lease"},
			{"v1", "Endpoints"}, {"discovery.k8s.io/v1", "EndpointSlice"}, {"v1", "Namespace"},
			{"v1", "Node"}, {"autoscaling/v1", "HorizontalPodAutoscaler"}, {"batch/v1beta1", "CronJob"}, {"apps/v1", "StatefulSet"},
			{"", "Shop"}, {"example.com/v1", ""}, {"a/b/c", "Shop"}, {"", ""},
			{"../v1", "Shop"}, {"example.com/..", "Shop"}, {"example.com/v1", "Sh op"}, {"example.com/v1?", "Shop"},
			{"example.com/v1", strings.Repeat("S", 64)}, {strings.Repeat("a", 300) + "/v1", "Shop"},
		} {
			o.notice(custom("Shop", "x", ownedBy(ref[0], ref[1])))
			o.notice(&corev1.Event{InvolvedObject: corev1.ObjectReference{APIVersion: ref[0], Kind: ref[1]}})
		}
		o.notice(&metav1.Status{})
		time.Sleep(time.Hour)
		o.expect()
		if o.lookups > 0 || len(o.client.Actions()) > 0 || len(o.met) > 0 {
			t.Errorf("%d lookups, requests %v, met %v", o.lookups, o.client.Actions(), o.met)
		}
	})
}

func TestOwnersInNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, []string{"shop", "pay"}, custom("Shop", "web"))
		defer o.stop()
		o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		o.notice(custom("Mall", "y", ownedBy("example.com/v1", "Planet")))
		o.expect("ADDED Shop.example.com/v1 web")
		if got := o.lists(); !slices.Equal(got, []string{"planets in ", "shops in pay", "shops in shop"}) {
			t.Errorf("listed %q", got)
		}
	})
}

// A kind that may not be read is named once, asked for now and then, and read
// when it may be.
func TestOwnersRefused(t *testing.T) {
	shops := schema.GroupResource{Group: "example.com", Resource: "shops"}
	for name, test := range map[string]struct {
		verb    string
		refusal error
		hint    string
	}{
		"forbidden": {"list", apierrors.NewForbidden(shops, "", errors.New("RBAC")),
			"; to read them rollspan needs the permission to list, watch shops.example.com in all namespaces"},
		"watch forbidden": {"watch", apierrors.NewForbidden(shops, "", errors.New("RBAC")),
			"; to read them rollspan needs the permission to list, watch shops.example.com in all namespaces"},
		"not served":    {"list", apierrors.NewNotFound(shops, ""), ""},
		"not listable":  {"list", apierrors.NewMethodNotSupported(shops, "list"), ""},
		"not watchable": {"watch", apierrors.NewMethodNotSupported(shops, "watch"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOwnerTest(t, nil, custom("Shop", "web"))
				defer o.stop()
				var mu sync.Mutex
				requests, allowed := 0, false
				refused := func() bool {
					mu.Lock()
					defer mu.Unlock()
					requests++
					return !allowed
				}
				listed := []string{"ADDED Shop.example.com/v1 web"}
				var first, last []string // what is seen before and after it is allowed
				if test.verb == "list" {
					o.client.PrependReactor("list", "shops", func(clienttesting.Action) (bool, runtime.Object, error) {
						return refused(), nil, test.refusal
					})
					last = listed
				} else {
					o.client.PrependWatchReactor("shops", func(clienttesting.Action) (bool, watch.Interface, error) {
						return refused(), nil, test.refusal
					})
					first = listed
				}
				o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
				time.Sleep(24 * time.Hour)
				o.expect(first...)
				mu.Lock()
				if requests < 100 || requests > 160 {
					t.Errorf("asked %d times in a day", requests)
				}
				allowed = true
				mu.Unlock()
				want := `level=INFO msg="cannot read shops.example.com; without them owners are followed no further than to the reference that names them` +
					test.hint + `; trying again"`
				if got := o.messages(); !slices.Equal(got, []string{want}) {
					t.Errorf("said %q\nwant %q", got, want)
				}
				if n := value(t, o.metrics.streams); n != 0 {
					t.Errorf("%v streams", n)
				}

				time.Sleep(2 * afterRefusal.Cap)
				o.expect(last...)
				if got := o.messages(); !slices.Equal(got, []string{`level=INFO msg="reading shops.example.com again"`}) {
					t.Errorf("said %q", got)
				}
				if n := value(t, o.metrics.streams); n != 1 {
					t.Errorf("%v streams", n)
				}
			})
		})
	}
}

// A kind that only Events name is nobody's loss.
func TestOwnersForbiddenEventsAreNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil)
		defer o.stop()
		o.client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("RBAC"))
		})
		o.notice(&corev1.Event{InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Service"}})
		time.Sleep(time.Hour)
		o.expect()
		if got := o.messages(); len(got) > 0 || len(o.lists()) == 0 {
			t.Errorf("said %q, listed %q", got, o.lists())
		}
	})
}

// A kind that is installed later than what names it.
func TestOwnersUnknownAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil, custom("Shop", "web"))
		defer o.stop()
		o.unknown["Shop"] = true
		o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		time.Sleep(24 * time.Hour)
		o.expect()
		o.mu.Lock()
		if o.lookups < 100 || o.lookups > 160 {
			t.Errorf("asked %d times in a day", o.lookups)
		}
		delete(o.unknown, "Shop")
		o.mu.Unlock()
		time.Sleep(2 * afterRefusal.Cap)
		o.expect("ADDED Shop.example.com/v1 web")
		if got := o.messages(); len(got) > 0 {
			t.Errorf("said %q", got)
		}
	})
}

// Anybody can name kinds; there is an end to that.
func TestOwnersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil)
		defer o.stop()
		for i := range maxOwnerKinds + 50 {
			o.notice(custom("Mall", "x", ownedBy("example.com/v1", fmt.Sprintf("Shop%d", i))))
		}
		time.Sleep(time.Hour)
		if n := len(o.lists()); n != maxOwnerKinds {
			t.Errorf("%d kinds were listed", n)
		}
		if n := value(t, o.metrics.ignored); n != 50 {
			t.Errorf("%v were ignored", n)
		}
		if got := o.messages(); len(got) != 1 || !strings.Contains(got[0], "level=WARN msg=\"Too many kinds") {
			t.Errorf("said %q", got)
		}
	})
}

// about is an Event about an object of a kind.
func about(namespace, kind string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "example.com/v1", Kind: kind},
	}
}

// Kinds that there are not keep none from being found that there is, whether Events
// name them or owner references, and however many there are. They are asked for at a
// bounded rate.
func TestOwnersAmongBogusKinds(t *testing.T) {
	for name, bogus := range map[string]func(i int) runtime.Object{
		"Events": func(i int) runtime.Object { return about("evil", fmt.Sprintf("Bogus%d", i)) },
		"owner references": func(i int) runtime.Object {
			evil := custom("Mall", "x", ownedBy("example.com/v1", fmt.Sprintf("Bogus%d", i)))
			evil.Namespace = "evil"
			return evil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				o := newOwnerTest(t, nil, custom("Shop", "web"), custom("Mall", "web"))
				defer o.stop()
				for i := range 3 * n {
					o.unknown[fmt.Sprintf("Bogus%d", i)] = true
				}
				for i := range n {
					o.notice(bogus(i))
				}
				time.Sleep(time.Hour)
				o.mu.Lock()
				// Those at once, one a second after that, and each about every ten minutes.
				if o.lookups < maxWantedKinds || o.lookups > 20*maxWantedKinds {
					t.Errorf("asked %d times in an hour", o.lookups)
				}
				o.mu.Unlock()

				// It goes on while the real ones come, and after that.
				for i := range n {
					o.notice(bogus(n + i))
				}
				o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
				o.notice(about("shop", "Mall"))
				for i := range n {
					o.notice(bogus(2*n + i))
				}
				time.Sleep(10 * time.Minute)
				o.expect("ADDED Shop.example.com/v1 web", "ADDED Mall.example.com/v1 web")
				o.owners.mu.RLock()
				defer o.owners.mu.RUnlock()
				if len(o.met) > 2*maxWantedKinds+2 || o.served != 2 {
					t.Errorf("%d kinds are met, %d served", len(o.met), o.served)
				}
			})
		})
	}
}

// What owns something is followed rather than what only has Events, and what was not
// named for long makes room for its like.
func TestOwnersComeBeforeWhatHasEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwnerTest(t, nil, custom("Shop", "web"), custom("Mall", "web"))
		defer o.stop()
		for i := range maxOwnerKinds {
			o.notice(about("shop", fmt.Sprintf("Thing%d", i)))
		}
		synctest.Wait()
		o.notice(about("shop", "Mall"))
		o.expect()
		o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		o.expect("ADDED Shop.example.com/v1 web")
		if n := value(t, o.metrics.streams); n != maxOwnerKinds {
			t.Errorf("%v streams", n)
		}
		time.Sleep(2 * idleAfter)
		o.expect("ADDED Mall.example.com/v1 web")
		o.notice(custom("Mall", "x", ownedBy("example.com/v1", "Shop")))
		synctest.Wait()
		if n := value(t, o.metrics.streams); n != maxOwnerKinds {
			t.Errorf("%v streams", n)
		}
		o.expect()
	})
}
