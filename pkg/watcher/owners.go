package watcher

import (
	"context"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// maxOwnerKinds bounds the kinds that are looked for because an object named
// them. Anybody who may write an Event can name one.
const maxOwnerKinds = 100

// neverOwners are kinds that are not looked at whatever names them: what is
// secret, what is written all the time, and what owns nothing that changes.
var neverOwners = []schema.GroupKind{
	{Kind: "Secret"}, {Kind: "ConfigMap"},
	{Kind: "Event"}, {Group: "events.k8s.io", Kind: "Event"},
	{Group: "coordination.k8s.io", Kind: "Lease"},
	{Kind: "Endpoints"}, {Group: "discovery.k8s.io", Kind: "EndpointSlice"},
	{Kind: "Namespace"},
}

// owners finds the kinds that are not known beforehand, in the owner references
// of objects and in what Events are about, and adds one stream of metadata for
// each, on first sight: a custom resource that owns a Deployment, and what owns
// that one. Where such a kind may not be read the chain of owners ends at the
// reference, and nothing else is lost.
//
// Such a kind comes and goes with its definition, and may come back in another
// version or scope: it is looked up anew whenever it is no longer served.
type owners struct {
	// find is lookup's.
	find       func(context.Context, schema.GroupVersionKind) (kind, error)
	client     metadata.Interface
	namespaces []string
	log        *slog.Logger
	metrics    *ownerMetrics

	found chan foundKind
	mu    sync.RWMutex
	// met are all kinds that need no looking for any more; room is for how many
	// there may be.
	met  map[schema.GroupKind]bool
	room int
}

// foundKind is a kind to look for.
type foundKind struct {
	schema.GroupVersionKind
	// owner says that it owns something, and not only has Events.
	owner bool
}

// newOwners returns an owners for a watch of the kinds that are known.
func newOwners(find func(context.Context, schema.GroupVersionKind) (kind, error), client metadata.Interface,
	known []kind, namespaces []string, log *slog.Logger) *owners {
	o := &owners{
		find: find, client: client, namespaces: namespaces, log: log, metrics: newOwnerMetrics(),
		found: make(chan foundKind, maxOwnerKinds),
		met:   map[schema.GroupKind]bool{},
		room:  maxOwnerKinds,
	}
	for _, k := range known {
		o.met[k.GroupKind()] = true
	}
	for _, gk := range neverOwners {
		o.met[gk] = true
	}
	return o
}

// notice looks for the kinds that an object names. It never waits.
func (o *owners) notice(object runtime.Object) {
	if m, ok := object.(metav1.Object); ok {
		for _, ref := range m.GetOwnerReferences() {
			o.want(ref.APIVersion, ref.Kind, true)
		}
	}
	switch in := object.(type) {
	case *corev1.Event:
		o.want(in.InvolvedObject.APIVersion, in.InvolvedObject.Kind, false)
	case *unstructured.Unstructured:
		if about, ok := in.Object["involvedObject"].(map[string]any); ok {
			apiVersion, _ := about["apiVersion"].(string)
			kind, _ := about["kind"].(string)
			o.want(apiVersion, kind, false)
		}
	}
}

func (o *owners) want(apiVersion, kind string, owner bool) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Empty() || kind == "" {
		return // there is no telling which kind that is
	}
	k := foundKind{gv.WithKind(kind), owner}
	o.mu.RLock()
	met := o.met[k.GroupKind()]
	o.mu.RUnlock()
	if met {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.met[k.GroupKind()]:
	case o.room == 0:
		o.metrics.ignored.Inc()
	default:
		o.met[k.GroupKind()] = true
		o.room--
		o.found <- k // has room for all there may be
		if o.room == 0 {
			o.log.Warn("Too many kinds own what is watched, or have Events; no more will be looked at", "limit", maxOwnerKinds)
		}
	}
}

// run follows what is found until ctx is done.
func (o *owners) run(ctx context.Context, s *streams) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case k := <-o.found:
			wg.Go(func() { o.follow(ctx, s, k) })
		case <-ctx.Done():
			return
		}
	}
}

// follow watches the metadata of a kind as long as the API server knows it, and
// waits for it while it does not.
func (o *owners) follow(ctx context.Context, s *streams, k foundKind) {
	// What was there is kept while a kind is away, as for any that is listed
	// again: by namespace, as there is a stream for each.
	stores := map[string]*objectStore{}
	name := k.GroupKind().String() // the plural is what is looked for
	persist(ctx, func(ctx context.Context) attempt {
		served, err := o.find(ctx, k.GroupVersionKind)
		switch {
		case meta.IsNoMatchError(err):
			o.log.Debug("the API server does not know a kind; asking again later", "kind", k.GroupVersionKind, "error", err)
			return refused
		case ctx.Err() != nil:
			return done
		case err != nil:
			s.metrics.failures.WithLabelValues(k.Kind).Inc()
			s.trouble.failedApart(k.level(), name, err, "")
			return failed
		}
		s.trouble.worked(name)
		o.read(ctx, s, o.sources(served, k), stores)
		return refused
	})
}

// read reads sources of one kind until one of them is no longer served, or ctx is
// done.
func (o *owners) read(ctx context.Context, s *streams, sources []source, stores map[string]*objectStore) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, src := range sources {
		st := stores[src.namespace]
		if st == nil {
			st = newObjectStore(s.baseStore(src))
			stores[src.namespace] = st
		}
		st.kind = src.kind
		wg.Go(func() {
			defer stop()
			s.read(ctx, src, st)
		})
	}
	wg.Wait()
}

// level is how important it is that a kind cannot be read.
func (k foundKind) level() slog.Level {
	if k.owner {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (o *owners) sources(k kind, found foundKind) []source {
	if found.owner {
		k.without = "owners are followed no further than to the reference that names them"
	}
	var sources []source
	for _, ns := range k.in(o.namespaces) {
		client := o.client.Resource(k.gvr()).Namespace(ns)
		sources = append(sources, source{
			kind: k, namespace: ns, optional: true, found: true, level: found.level(), running: o.metrics.streams,
			client: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
				ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
					return client.List(ctx, opts)
				},
				WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
					return client.Watch(ctx, opts)
				},
			}, o.client),
		})
	}
	return sources
}
