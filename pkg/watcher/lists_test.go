package watcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/causality"
)

// listAPI is an API server that has pods and Events, which it lists in pages, or
// streams.
type listAPI struct {
	*httptest.Server
	t *testing.T
	// streams says that lists are streamed; breakOff, after how many objects the
	// first stream ends, and expire, before which page the first list in pages does.
	streams          bool
	breakOff, expire int
	// objects are the list, by resource; version is the list's.
	objects map[string][]runtime.Object
	version string
	// beforePage and beforeEnd are called before a page is sent, and before the end
	// of a stream.
	beforePage, beforeEnd func()
	// events come after the list.
	events chan metav1.WatchEvent

	mu       sync.Mutex
	requests []string
}

func newListAPI(t *testing.T) *listAPI {
	t.Helper()
	a := &listAPI{t: t, objects: map[string][]runtime.Object{}, version: "900", events: make(chan metav1.WatchEvent, 10)}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *listAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	query := r.URL.Query()
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	what := resource
	switch {
	case query.Get("sendInitialEvents") != "":
		what += " stream"
	case query.Get("watch") != "":
		what += " watch from " + query.Get("resourceVersion")
	default:
		what += fmt.Sprintf(" page of %s after %q", query.Get("limit"), query.Get("continue"))
	}
	a.mu.Lock()
	a.requests = append(a.requests, what)
	a.mu.Unlock()
	switch {
	case query.Get("sendInitialEvents") != "" && !a.streams:
		a.status(w, apierrors.NewInvalid(podKind.GroupKind(), "", nil))
	case query.Get("sendInitialEvents") != "":
		a.stream(w, r, resource)
	case query.Get("watch") != "":
		a.follow(w, r)
	default:
		a.page(w, resource, query.Get("continue"), query.Get("limit"))
	}
}

func (a *listAPI) status(w http.ResponseWriter, err *apierrors.StatusError) {
	w.WriteHeader(int(err.ErrStatus.Code))
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	_ = json.NewEncoder(w).Encode(err.ErrStatus)
}

func (a *listAPI) page(w http.ResponseWriter, resource, after, limit string) {
	if a.beforePage != nil {
		a.beforePage()
	}
	from, _ := strconv.Atoi(after) // "" is 0
	size, err := strconv.Atoi(limit)
	if err != nil {
		a.t.Errorf("a list is asked for without a limit: %q", limit)
		size = len(a.objects[resource])
	}
	a.mu.Lock()
	expired := a.expire > 0 && from >= a.expire
	if expired {
		a.expire = 0
	}
	a.mu.Unlock()
	if expired {
		a.status(w, apierrors.NewResourceExpired("the continue token is too old"))
		return
	}
	to := min(from+size, len(a.objects[resource]))
	list := map[string]any{"kind": "PodList", "apiVersion": "v1", "items": a.objects[resource][from:to]}
	if resource == "events" {
		list["kind"] = "EventList"
	}
	about := map[string]any{"resourceVersion": a.version}
	if to < len(a.objects[resource]) {
		about["continue"] = strconv.Itoa(to)
	}
	list["metadata"] = about
	_ = json.NewEncoder(w).Encode(list) // the client may have enough
}

func (a *listAPI) stream(w http.ResponseWriter, r *http.Request, resource string) {
	out := json.NewEncoder(w)
	a.mu.Lock()
	breakOff := a.breakOff
	a.breakOff = 0
	a.mu.Unlock()
	for i, o := range a.objects[resource] {
		if breakOff > 0 && i == breakOff {
			return
		}
		_ = out.Encode(metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Object: o}})
	}
	w.(http.Flusher).Flush()
	if a.beforeEnd != nil {
		a.beforeEnd()
	}
	end := typed(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: a.version, Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}})
	_ = out.Encode(metav1.WatchEvent{Type: "BOOKMARK", Object: runtime.RawExtension{Object: end}})
	a.follow(w, r)
}

func (a *listAPI) follow(w http.ResponseWriter, r *http.Request) {
	w.(http.Flusher).Flush()
	for {
		select {
		case event := <-a.events:
			_ = json.NewEncoder(w).Encode(event)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (a *listAPI) requested() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// typed sets the kind of a pod or an Event, as the API server does.
func typed(object runtime.Object) runtime.Object {
	kind := podKind
	if _, ok := object.(*corev1.Event); ok {
		kind = eventKind
	}
	object.GetObjectKind().SetGroupVersionKind(kind.GroupVersionKind)
	return object
}

func manyPods(n int) (pods []runtime.Object) {
	for i := range n {
		pods = append(pods, typed(pod(fmt.Sprintf("p%04d", i), fmt.Sprintf("u%d", i), strconv.Itoa(i+1))))
	}
	return pods
}

func manyEvents(n int) (events []runtime.Object) {
	for i := range n {
		events = append(events, typed(event(fmt.Sprintf("e%04d", i), strconv.Itoa(n-i))))
	}
	return events
}

// listed is what a stream of a kind passes on.
type listed struct {
	*streams
	mu  sync.Mutex
	got []causality.Observation
}

// read follows a kind of an API server until the test ends.
func (a *listAPI) read(k kind) *listed {
	log, _ := testLog(100)
	c, err := newCluster(&rest.Config{Host: a.URL, QPS: 10000, Burst: 10000})
	if err != nil {
		a.t.Fatal(err)
	}
	l := &listed{}
	l.streams = &streams{now: time.Now, log: log, trouble: newTrouble(log, "host"), metrics: newStreamMetrics(), emit: func(o causality.Observation) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.got = append(l.got, o)
		return nil
	}}
	for _, s := range c.liveSources(nil) {
		if s.kind == k {
			l.sources = append(l.sources, s)
		}
	}
	ended := make(chan struct{})
	ctx := a.t.Context()
	go func() {
		defer close(ended)
		l.run(ctx)
	}()
	a.t.Cleanup(func() { <-ended })
	return l
}

func (l *listed) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// expect waits for the end of the first list, and says whether each of the objects
// was passed on once, as initial.
func (l *listed) expect(t *testing.T, objects []runtime.Object) {
	t.Helper()
	eventually(t, "the first list", func() bool { return len(l.waitingFor()) == 0 })
	l.mu.Lock()
	defer l.mu.Unlock()
	want := map[string]bool{}
	for _, o := range objects {
		want[o.(metav1.Object).GetName()] = true
	}
	for _, o := range l.got {
		name := o.Object.(metav1.Object).GetName()
		if !want[name] || !o.Initial || o.Type != watch.Added {
			t.Errorf("%s %s, initial: %t", o.Type, name, o.Initial)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("%d of %d are missing", len(want), len(objects))
	}
}

// Where lists are not streamed they come in pages, and no page is asked for before
// all of the one before it was passed on.
func TestListsInPages(t *testing.T) {
	for _, k := range []kind{podKind, eventKind} {
		t.Run(k.Kind, func(t *testing.T) {
			api := newListAPI(t)
			const n = 3*pageLimit + 7
			api.objects["pods"], api.objects["events"] = manyPods(n), manyEvents(n)
			var mu sync.Mutex
			var atPage []int
			var l *listed
			started := make(chan struct{})
			api.beforePage = func() {
				<-started
				mu.Lock()
				defer mu.Unlock()
				atPage = append(atPage, l.count())
			}
			l = api.read(k)
			close(started)
			l.expect(t, api.objects[k.resource])
			eventually(t, "the watch", func() bool { return len(api.requested()) == 6 })
			of := k.resource
			if got, want := api.requested(), []string{
				of + " stream", of + ` page of 250 after ""`, of + ` page of 250 after "250"`, of + ` page of 250 after "500"`,
				of + ` page of 250 after "750"`, of + " watch from 900",
			}; !slices.Equal(got, want) {
				t.Errorf("requested %q\nwant %q", got, want)
			}
			want := []int{0, pageLimit, 2 * pageLimit, 3 * pageLimit}
			if k.isEvent() {
				want = []int{0, 0, 0, 0} // these few are held back and sorted
				if got := l.got[0].Object.(*corev1.Event).Name; got != manyEvents(n)[n-1].(*corev1.Event).Name {
					t.Errorf("the first is %s", got)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(atPage, want) {
				t.Errorf("%v were passed on before each page, want %v", atPage, want)
			}
		})
	}
}

// What expires in the middle is begun again, and nothing is passed on twice.
func TestListsInPagesExpire(t *testing.T) {
	for _, k := range []kind{podKind, eventKind} {
		t.Run(k.Kind, func(t *testing.T) {
			api := newListAPI(t)
			api.objects["pods"], api.objects["events"] = manyPods(3*pageLimit), manyEvents(3*pageLimit)
			api.expire = 2 * pageLimit
			api.read(k).expect(t, api.objects[k.resource])
		})
	}
}

// How large objects are is up to who writes them: of large ones there are fewer in
// a page, down to one.
func TestListsInSmallerPages(t *testing.T) {
	api := newListAPI(t)
	api.objects["pods"] = manyPods(20)
	for i := range api.objects["pods"] {
		p := api.objects["pods"][i].(*corev1.Pod)
		p.Annotations = map[string]string{"a": strings.Repeat("x", 1<<20)}
		if i == 10 {
			p.Annotations["a"] = strings.Repeat("x", pageBytes)
		}
	}
	l := api.read(podKind)
	l.expect(t, api.objects["pods"])
	if got := api.requested(); !slices.Contains(got, `pods page of 1 after "10"`) {
		t.Errorf("requested %q", got)
	}
	if n := value(t, l.metrics.failures.WithLabelValues("Pod")); n != 0 {
		t.Errorf("%v failures", n)
	}
}

// Where lists are streamed, what comes is passed on before there is more; and the
// watch goes on where the list ends.
func TestListsStreamed(t *testing.T) {
	api := newListAPI(t)
	api.streams = true
	api.objects["pods"] = manyPods(1000)
	var l *listed
	started := make(chan struct{})
	api.beforeEnd = func() {
		<-started
		eventually(t, "what was streamed", func() bool { return l.count() == 1000 })
		if len(l.waitingFor()) == 0 {
			t.Error("the first list is through before its end")
		}
	}
	l = api.read(podKind)
	close(started)
	l.expect(t, api.objects["pods"])
	api.events <- metav1.WatchEvent{Type: "MODIFIED", Object: runtime.RawExtension{Object: typed(pod("p0000", "u0", "901"))}}
	eventually(t, "the change", func() bool { return l.count() == 1001 })
	if last := l.got[1000]; last.Type != watch.Modified || last.Initial {
		t.Errorf("%s, initial: %t", last.Type, last.Initial)
	}
	if got := api.requested(); !slices.Equal(got, []string{"pods stream"}) {
		t.Errorf("requested %q", got)
	}
}

// An API server ends the streams of those who are slow. They get the rest in pages,
// and pass nothing on twice.
func TestListsStreamedInPart(t *testing.T) {
	for _, k := range []kind{podKind, eventKind} {
		t.Run(k.Kind, func(t *testing.T) {
			api := newListAPI(t)
			api.streams, api.breakOff = true, 300
			api.objects["pods"], api.objects["events"] = manyPods(400), manyEvents(400)
			api.read(k).expect(t, api.objects[k.resource])
			eventually(t, "the watch", func() bool { return len(api.requested()) == 4 })
			of := k.resource
			if got, want := api.requested(), []string{of + " stream", of + ` page of 250 after ""`, of + ` page of 250 after "250"`, of + " watch from 900"}; !slices.Equal(got, want) {
				t.Errorf("requested %q\nwant %q", got, want)
			}
		})
	}
}

// What happens while a list is streamed is in it, in order.
func TestObjectStoreItems(t *testing.T) {
	var s script
	o := newObjectStore(s.store(podKind))
	must(t, o.begin(""))
	must(t, o.item(watch.Added, pod("a", "u1", "1")))
	must(t, o.item(watch.Added, pod("b", "u2", "2")))
	s.expect(t, "ADDED a u1@1 initial", "ADDED b u2@2 initial")
	must(t, o.item(watch.Deleted, pod("b", "u2", "3")))
	must(t, o.item(watch.Deleted, pod("c", "u3", "4"))) // which it never saw
	must(t, o.item(watch.Modified, pod("a", "u1", "5")))
	must(t, o.item(watch.Added, pod("d", "u4", "6")))
	must(t, o.Replace(nil, "7"))
	s.expect(t, "DELETED b u2@3", "MODIFIED a u1@5 initial", "ADDED d u4@6 initial")

	// A list that breaks off, then one that does not: what the first brought
	// comes out, and what neither has is gone.
	must(t, o.begin(""))
	must(t, o.item(watch.Added, pod("a", "u1", "8")))
	s.expect(t)
	must(t, o.begin(""))
	s.expect(t, "MODIFIED a u1@8")
	must(t, o.item(watch.Added, pod("a", "u1", "8")))
	must(t, o.item(watch.Added, pod("e", "u5", "9")))
	must(t, o.Replace(nil, "10"))
	s.expect(t, "DELETED d u4@ gone", "ADDED e u5@9")
	if s.synced != 1 || !slices.Equal(s.missed, []int{1}) {
		t.Errorf("synced %d, relisted %v", s.synced, s.missed)
	}
}

// After a long outage all may have changed. What is held back then has a bound; what
// was deleted is told all the same.
func TestWhatIsHeldBackIsBounded(t *testing.T) {
	large := func(version string) *corev1.Pod {
		p := pod("a"+version, "u"+version, version)
		p.Status.Message = strings.Repeat("x", 1<<20)
		return p
	}
	var s script
	o := newObjectStore(s.store(podKind))
	clock := time.Unix(0, 0)
	o.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	emit := o.emit
	o.emit = func(seen causality.Observation) error {
		if !seen.Time.Equal(clock) {
			t.Errorf("at %s something seen at %s is passed on", clock, seen.Time)
		}
		return emit(seen)
	}
	must(t, o.Replace([]any{pod("old", "u", "1")}, "1"))
	s.lines = nil
	must(t, o.begin(""))
	const n = 50
	for i := range n {
		must(t, o.item(watch.Added, large(strconv.Itoa(i+2))))
		if o.heldBytes > maxHeldBytes {
			t.Fatalf("%d bytes are held", o.heldBytes)
		}
	}
	must(t, o.Replace(nil, "99"))
	if len(s.lines) != n+1 || !slices.Contains(s.lines, "DELETED old u@ gone") {
		t.Errorf("%d lines, want %d", len(s.lines), n+1)
	}
}

// That a streamed list is of a cluster restored from a backup is known at its end
// only. It is listed again, and all of it passed on.
func TestEventStoreItems(t *testing.T) {
	var s script
	e := &eventStore{store: s.store(eventKind)}
	must(t, e.begin(""))
	must(t, e.item(watch.Added, event("b", "95")))
	must(t, e.begin("")) // again
	s.expect(t, "ADDED b uid-b@95 initial")
	must(t, e.item(watch.Added, event("b", "95")))
	must(t, e.item(watch.Added, event("a", "90")))
	must(t, e.item(watch.Deleted, event("a", "96")))
	must(t, e.Replace(nil, "99"))
	s.expect(t, "ADDED a uid-a@90 initial")

	must(t, e.begin(""))
	must(t, e.item(watch.Added, event("b", "95")))
	must(t, e.item(watch.Added, event("d", "120")))
	must(t, e.item(watch.Modified, event("c", "110")))
	must(t, e.Replace(nil, "121"))
	s.expect(t, "ADDED c uid-c@110", "ADDED d uid-d@120")

	must(t, e.begin(""))
	must(t, e.item(watch.Added, event("f", "50")))
	if err := e.Replace(nil, "60"); !errors.Is(err, errOutOfOrder) {
		t.Errorf("%v", err)
	}
	s.expect(t)
	must(t, e.begin("60"))
	must(t, e.item(watch.Added, event("f", "50")))
	must(t, e.Replace(nil, "60"))
	s.expect(t, "ADDED f uid-f@50")
	if s.synced != 1 || len(s.missed) != 2 {
		t.Errorf("synced %d, relisted %v", s.synced, s.missed)
	}
}
