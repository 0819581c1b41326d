package watcher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/rollspan/rollspan/pkg/causality"
)

// source is one list and watch: a kind, in one namespace or in all.
type source struct {
	kind kind
	// namespace is empty for all namespaces.
	namespace string
	// object is the name of the one object to watch; empty for all.
	object string
	client *cache.ListWatch
	// optional says that the others are of use without this one.
	optional bool
}

func (s source) name() string {
	switch {
	case s.object != "":
		return s.kind.resource + " " + s.object
	case s.namespace != "":
		return s.kind.resource + " in namespace " + s.namespace
	}
	return s.kind.resource
}

// streams runs a reflector for each source and brings what they see together.
type streams struct {
	sources []source
	// emit gets every observation; it is called from one goroutine a source.
	emit    func(causality.Observation) error
	trouble *trouble
	log     *slog.Logger
	metrics *streamMetrics
	// denied is called when a source that is not optional is forbidden before
	// its first list was through.
	denied func(source)

	mu sync.Mutex
	// settled are the sources whose first list is through, or that are
	// optional and cannot be listed.
	settled map[string]bool
}

// run watches until ctx is done.
func (s *streams) run(ctx context.Context) {
	// What a reflector logs is either said by trouble, or of use to nobody
	// but who debugs it.
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(debugOnly{s.log.Handler()}))
	var wg sync.WaitGroup
	for _, src := range s.sources {
		logger := klog.FromContext(ctx)
		reflector := cache.NewReflectorWithOptions(s.reported(src), nil, s.storeFor(src), cache.ReflectorOptions{
			Name:            src.name(),
			TypeDescription: src.kind.Kind,
			Logger:          &logger,
		})
		wg.Go(func() { reflector.RunWithContext(ctx) })
	}
	wg.Wait()
}

func (s *streams) storeFor(src source) cache.ReflectorStore {
	base := store{
		kind: src.kind,
		emit: s.emit,
		now:  time.Now,
		synced: func() {
			s.log.Debug("first list is through", "of", src.name())
			s.settle(src)
		},
		relisted: func(missedDeletions int) {
			s.log.Debug("listed again", "of", src.name(), "missedDeletions", missedDeletions)
			s.metrics.relists.WithLabelValues(src.kind.Kind).Inc()
			s.metrics.missedDeletions.WithLabelValues(src.kind.Kind).Add(float64(missedDeletions))
		},
	}
	if src.kind.isEvent() {
		return &eventStore{store: base}
	}
	return newObjectStore(base)
}

func (s *streams) settle(src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled == nil {
		s.settled = map[string]bool{}
	}
	s.settled[src.name()] = true
}

// waitingFor returns the names of the sources whose first list is not through.
func (s *streams) waitingFor() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, src := range s.sources {
		if !s.settled[src.name()] {
			names = append(names, src.name())
		}
	}
	return names
}

// blind says whether a source that is not optional cannot be read.
func (s *streams) blind() bool {
	var names []string
	for _, src := range s.sources {
		if !src.optional {
			names = append(names, src.name())
		}
	}
	return s.trouble.blind(names...)
}

// reported is a source's client that reports how its requests fare. The
// reflector itself keeps quiet about some failures and logs others each time.
func (s *streams) reported(src source) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := src.client.ListWithContext(ctx, o)
			s.report(ctx, src, o, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := src.client.WatchWithContext(ctx, o)
			s.report(ctx, src, o, err)
			return w, err
		},
	}
}

func (s *streams) report(ctx context.Context, src source, o metav1.ListOptions, err error) {
	switch {
	case err == nil:
		s.trouble.worked(src.name())
		return
	case ctx.Err() != nil,
		// The resource version is too old or too new: the reflector lists.
		apierrors.IsResourceExpired(err), apierrors.IsGone(err),
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge),
		// A server that cannot stream a list: the reflector falls back.
		o.SendInitialEvents != nil && apierrors.IsInvalid(err):
		return
	}
	s.metrics.failures.WithLabelValues(src.kind.Kind).Inc()
	forbidden := apierrors.IsForbidden(err)
	hint := ""
	switch {
	case forbidden && src.kind.isEvent():
		hint = "spans have no Events and are less exact without them; to read them rollspan needs the permission to " + src.permission().String()
	case forbidden:
		hint = "rollspan needs the permission to " + src.permission().String()
	}
	s.trouble.failed(src.name(), err, hint)

	s.mu.Lock()
	first := !s.settled[src.name()]
	s.mu.Unlock()
	switch {
	case !first:
	case src.optional && clusterWide(err) == "":
		s.settle(src)
	case forbidden:
		s.denied(src)
	}
}

// debugOnly is a handler that takes everything as a debug message, and what is
// below debug (client-go's requests and responses with all they contain) as
// what it is.
type debugOnly struct{ slog.Handler }

// Enabled asks for the level that a record will have.
func (h debugOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, min(l, slog.LevelDebug))
}

// Handle passes the record on. Not everybody asks Enabled first: logr does not
// for errors.
func (h debugOnly) Handle(ctx context.Context, r slog.Record) error {
	if !h.Enabled(ctx, r.Level) {
		return nil
	}
	r.Level = min(r.Level, slog.LevelDebug)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapping.
func (h debugOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugOnly{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapping.
func (h debugOnly) WithGroup(name string) slog.Handler {
	return debugOnly{h.Handler.WithGroup(name)}
}
