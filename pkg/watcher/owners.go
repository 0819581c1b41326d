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
type owners struct {
	mapper     restMapper
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

// restMapper is what is needed of a meta.RESTMapper.
type restMapper interface {
	RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error)
}

// foundKind is a kind to look for.
type foundKind struct {
	schema.GroupVersionKind
	// owner says that it owns something, and not only has Events.
	owner bool
}

// newOwners returns an owners for a watch of the kinds that are known.
func newOwners(mapper restMapper, client metadata.Interface, known []kind, namespaces []string, log *slog.Logger) *owners {
	o := &owners{
		mapper: mapper, client: client, namespaces: namespaces, log: log, metrics: newOwnerMetrics(),
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

// follow watches the metadata of a kind, once the API server knows the kind.
func (o *owners) follow(ctx context.Context, s *streams, k foundKind) {
	var mapping *meta.RESTMapping
	persist(ctx, func(ctx context.Context) attempt {
		var err error
		switch mapping, err = o.resolve(ctx, k.GroupVersionKind); {
		case err == nil:
			return done
		case clusterWide(err) != "" && !meta.IsNoMatchError(err):
			return failed
		}
		o.log.Debug("the API server does not know a kind; asking again later", "kind", k.GroupVersionKind, "error", err)
		return refused
	})
	if mapping == nil {
		return // only ctx ends this
	}
	var wg sync.WaitGroup
	for _, src := range o.sources(mapping, k.owner) {
		wg.Go(func() { s.follow(ctx, src) })
	}
	wg.Wait()
}

// resolve finds how a kind is read: in the version that was named, or in any if
// that one is no longer served.
func (o *owners) resolve(ctx context.Context, k schema.GroupVersionKind) (*meta.RESTMapping, error) {
	type answer struct {
		mapping *meta.RESTMapping
		err     error
	}
	// A mapper knows no context, and must not hold up the end of the program.
	answered := make(chan answer, 1)
	go func() {
		mapping, err := o.mapper.RESTMapping(k.GroupKind(), k.Version)
		if meta.IsNoMatchError(err) {
			mapping, err = o.mapper.RESTMapping(k.GroupKind())
		}
		answered <- answer{mapping, err}
	}()
	select {
	case a := <-answered:
		return a.mapping, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (o *owners) sources(mapping *meta.RESTMapping, owner bool) []source {
	k := kind{
		GroupVersionKind: mapping.GroupVersionKind,
		resource:         mapping.Resource.Resource,
		clusterScoped:    mapping.Scope.Name() == meta.RESTScopeNameRoot,
	}
	level := slog.LevelDebug
	if owner {
		level, k.without = slog.LevelInfo, "owners are followed no further than to the reference that names them"
	}
	var sources []source
	for _, ns := range k.in(o.namespaces) {
		client := o.client.Resource(mapping.Resource).Namespace(ns)
		sources = append(sources, source{
			kind: k, namespace: ns, optional: true, level: level, running: o.metrics.streams,
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
