package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// pageLimit is how many objects of a list are asked for at once where the API
	// server does not stream lists.
	pageLimit = 250
	// pageBytes bounds what a page is on the wire. An object alone is at most
	// some 3 MiB: what a write request may be.
	pageBytes = 6 << 20
)

// intake is a store that is fed a list item by item. What a Reflector hands to
// Replace is then only the end of the list.
type intake interface {
	cache.ReflectorStore
	// begin begins a list, also where one was begun that did not come to its end.
	// Its resource version is empty where it is not known yet.
	begin(resourceVersion string) error
	// item takes in an object that the list has, or what happened to one since
	// the list was begun.
	item(t watch.EventType, object any) error
	// seen is the version from which a watch goes on, and goOn says that it does: what the
	// Reflector hands to Replace next is no list.
	seen() string
	goOn()
	// failed notes that a request has failed. isResumed, confirm and isLate are of a watch that goes
	// on after that, or from where the run before was, and Bookmark says up to where one was seen.
	failed(err error) error
	isResumed() bool
	confirm(upTo string)
	isLate() bool
	// isGuarded and isAt are of an API server that may have been restored from a backup.
	isGuarded() bool
	isAt(version string) error
	Bookmark(resourceVersion string) error
}

// feeder is between a source's client and its Reflector, and feeds lists to the
// store while they are received. A Reflector would collect them: all pods of a
// large cluster are more than all that is kept of them. To the Reflector each list
// is empty, and it is left what it is good at: when to list and when to watch.
type feeder struct {
	client cache.ListerWatcherWithContext
	into   intake
	// mu is held while a list is fed: a Reflector that ends does not wait for the
	// list it has asked for.
	mu sync.Mutex
	// expired says that nobody can watch from what was seen any more, and fruitless how many
	// watches in a row broke with what cannot be read before they said anything.
	expired   atomic.Bool
	fruitless atomic.Int32
	// late is how many watches were opened to catch up, and cutLate after how long such a one is
	// cut; 0 for lateWatch and lateSlack.
	late    int
	cutLate time.Duration
	// asked is when the API server said last how far it is, or all that it has.
	asked time.Time
	// anew is when a list was due last that was not waited for.
	anew time.Time
	// ended is when the Reflector has ended, which begins anew after a pause; zero once it has.
	ended time.Time
	// pulse cuts each watch when the process has stood still, and still is called then, before anything
	// is asked for again. alive is done when it has since the last watch was opened, and uncut has
	// that one not cut any more.
	pulse *pulse
	still func()
	alive context.Context //nolint:containedctx // It is of the process, and not of a request.
	uncut func() bool
}

// listerWatcher is what the Reflector gets. Whether lists are streamed depends on
// the client.
func (f *feeder) listerWatcher(client any) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  f.list,
		WatchFuncWithContext: f.watch,
	}, client)
}

// over notes that the Reflector has ended, and returns when nothing is fed any more: of one whose
// context is done, what it has asked for may go on for a moment. Its watch is nobody's any more, and
// nothing is kept of it.
func (f *feeder) over() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = time.Now()
	f.neverCut()
}

// neverCut has the watch that was opened last not cut any more. The caller holds the lock.
func (f *feeder) neverCut() {
	if f.uncut != nil {
		f.uncut()
		f.uncut = nil
	}
}

// list feeds a list page by page, and returns an empty one in its place. Which
// resource version the Reflector would take does not matter: a page is as new as
// can be. One that may be older is never cut into pages.
func (f *feeder) list(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.confirm(ctx); err != nil {
		return nil, err
	}
	if version := f.from(); version != "" {
		f.into.goOn()
		return &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: version}}, nil
	}
	f.expired.Store(false)
	options := metav1.ListOptions{Limit: pageLimit}
	version := ""
	for first := true; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, err := f.client.ListWithContext(ctx, options)
		if errors.Is(err, errPageTooLarge) && options.Limit > 1 {
			options.Limit /= 2
			continue
		} else if err != nil {
			return nil, f.failed(ctx, err) // where it has expired, the Reflector begins anew
		}
		about, err := meta.ListAccessor(page)
		if err != nil {
			return nil, err
		}
		if first {
			first = false
			version = about.GetResourceVersion()
			if err := f.into.begin(version); err != nil {
				return nil, err
			}
		}
		// A copy of each item: it must not keep the whole page.
		if err := meta.EachListItemWithAlloc(page, func(object runtime.Object) error {
			return f.into.item(watch.Added, object)
		}); err != nil {
			return nil, err
		}
		options.Continue = about.GetContinue()
		if options.Continue == "" {
			f.asked = time.Now()
			return &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: version}}, nil
		}
		options.Limit = min(2*options.Limit, pageLimit)
	}
}

// watch feeds the list that a watch begins with, if it does, and returns the watch
// from the list's end on. A list that breaks off is an error: the Reflector then
// asks for it in pages, which nobody cuts off for being taken slowly.
func (f *feeder) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.confirm(ctx); err != nil {
		return nil, err
	}
	if options.SendInitialEvents == nil || !*options.SendInitialEvents {
		if f.expired.Load() {
			return nil, apierrors.NewResourceExpired("a list is due")
		}
		return f.watchOn(ctx, options)
	}
	if w, err := f.watchFrom(ctx, options); w != nil || err != nil {
		return w, err
	}
	f.expired.Store(false)
	w, err := f.open(ctx, options, func(watch.Event) {})
	if err != nil {
		return nil, f.failed(ctx, err)
	}
	end, err := f.stream(ctx, w)
	if err != nil {
		w.Stop()
		return nil, err
	}
	f.asked = time.Now()
	return resume(w, end), nil
}

// open opens a watch that is cut when the process has stood still: what has waited in its connection
// is told again by the next one. Of each event that is not cut off saw is told.
func (f *feeder) open(ctx context.Context, options metav1.ListOptions, saw func(watch.Event)) (watch.Interface, error) {
	f.neverCut()
	alive := f.pulse.since()
	f.alive = alive
	w, err := f.client.WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	f.uncut = context.AfterFunc(alive, w.Stop)
	return watch.Filter(w, func(event watch.Event) (watch.Event, bool) {
		f.pulse.beat()
		if alive.Err() != nil {
			return event, false
		}
		saw(event)
		return event, true
	}), nil
}

// stream feeds the list that a watch begins with, and returns the bookmark at its
// end.
func (f *feeder) stream(ctx context.Context, w watch.Interface) (watch.Event, error) {
	if err := f.into.begin(""); err != nil {
		return watch.Event{}, err
	}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return watch.Event{}, ctx.Err()
		case event, ok := <-w.ResultChan():
			switch {
			case !ok:
				return watch.Event{}, fmt.Errorf("the stream of a list ended after %d objects", n)
			case event.Type == watch.Error:
				return watch.Event{}, apierrors.FromObject(event.Object)
			case event.Type != watch.Bookmark:
				if err := f.into.item(event.Type, event.Object); err != nil {
					return watch.Event{}, err
				}
			default:
				if m, err := meta.Accessor(event.Object); err == nil && m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
					return event, nil
				}
			}
		}
	}
}

// resume returns w with an event before those that come.
func resume(w watch.Interface, event watch.Event) watch.Interface {
	results := make(chan watch.Event)
	resumed := watch.NewProxyWatcher(results)
	go func() {
		defer close(results)
		defer w.Stop()
		for ok := true; ok; {
			select {
			case results <- event:
			case <-resumed.StopChan():
				return
			}
			select {
			case event, ok = <-w.ResultChan():
			case <-resumed.StopChan():
				return
			}
		}
	}()
	return resumed
}

// errPageTooLarge says that a page was not read to its end.
var errPageTooLarge = errors.New("a page of a list is too large")

// boundPages is a transport that does not read pages of more than pageBytes: how
// large objects are is up to who writes them. A page of one object is read
// whatever it is.
func boundPages(next http.RoundTripper) http.RoundTripper { return pageBound{next} }

type pageBound struct{ next http.RoundTripper }

// RoundTrip bounds the body of the response if a page was asked for.
func (b pageBound) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if limit := r.URL.Query().Get("limit"); err == nil && limit != "" && limit != "1" {
		response.Body = &boundBody{response.Body, pageBytes}
	}
	return response, err
}

// WrappedRoundTripper is for client-go, which looks for what a transport wraps.
func (b pageBound) WrappedRoundTripper() http.RoundTripper { return b.next }

type boundBody struct {
	io.ReadCloser
	left int
}

// Read fails with errPageTooLarge where there is more than may be.
func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if b.left < 0 {
		return 0, errPageTooLarge
	}
	return n, err
}
