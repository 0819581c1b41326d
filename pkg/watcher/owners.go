package watcher

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

const (
	// maxOwnerKinds bounds the kinds that are followed because an object named
	// them. maxWantedKinds bounds those that are named and that the API server is
	// not known to serve: once those that own something, and once the others.
	maxOwnerKinds  = 100
	maxWantedKinds = 100
	// lookupEvery is how often the API server is asked for a kind, over time: once
	// for those that something has as owner, and once for the others. At once it may
	// be as often as there can be kinds.
	lookupEvery = time.Second
	// idleAfter is when a kind that was not named for so long makes room for another.
	idleAfter = time.Hour
)

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
//
// Anybody who may write an Event can name a kind, and whoever may make a pod can
// name one as its owner. So what the API server does not serve takes no room from
// what it does, is looked up at a bounded rate, and makes room for others, first what
// comes from the namespace that names most. What owns something takes the place of
// what only has Events.
type owners struct {
	// find is lookup's.
	find       func(context.Context, schema.GroupVersionKind) (kind, error)
	client     metadata.Interface
	namespaces []string
	log        *slog.Logger
	metrics    *ownerMetrics
	// never are the kinds that need no looking for.
	never map[schema.GroupKind]bool
	// turns give one lookup each, to owners and to others.
	turns map[bool]chan struct{}
	// added says that there are kinds in met that nobody follows yet.
	added chan struct{}

	mu sync.RWMutex
	// met are the kinds that are followed, or wanted.
	met map[schema.GroupKind]*metKind
	// served is how many of them are, or were, served.
	served int
	// warned says that it was said that there are too many.
	warned bool
}

// metKind is a kind that was named.
type metKind struct {
	schema.GroupVersionKind
	// namespace is that of the first object that named it.
	namespace string
	// named is when it was named last, in Unix nanoseconds.
	named atomic.Int64
	// owner says that it owns something, and not only has Events.
	owner atomic.Bool
	// stop is there once it is followed. It and what follows are guarded by owners.mu.
	stop context.CancelFunc
	// served says that the API server serves it, or did; ignored, that it was counted
	// as one too many.
	served, ignored bool
}

// newOwners returns an owners for a watch of the kinds that are known.
func newOwners(find func(context.Context, schema.GroupVersionKind) (kind, error), client metadata.Interface,
	known []kind, namespaces []string, log *slog.Logger) *owners {
	o := &owners{
		find: find, client: client, namespaces: namespaces, log: log, metrics: newOwnerMetrics(),
		never: map[schema.GroupKind]bool{},
		turns: map[bool]chan struct{}{},
		added: make(chan struct{}, 1),
		met:   map[schema.GroupKind]*metKind{},
	}
	for _, owner := range []bool{true, false} {
		turns := make(chan struct{}, maxWantedKinds)
		for range maxWantedKinds {
			turns <- struct{}{}
		}
		o.turns[owner] = turns
	}
	for _, k := range known {
		o.never[k.GroupKind()] = true
	}
	for _, gk := range neverOwners {
		o.never[gk] = true
	}
	return o
}

// notice looks for the kinds that an object names. It never waits.
func (o *owners) notice(object runtime.Object) {
	var namespace string
	if m, ok := object.(metav1.Object); ok {
		namespace = m.GetNamespace()
		if ref := followedOwner(m); ref != nil {
			o.want(namespace, ref.APIVersion, ref.Kind, true)
		}
	}
	switch in := object.(type) {
	case *corev1.Event:
		o.want(namespace, in.InvolvedObject.APIVersion, in.InvolvedObject.Kind, false)
	case *unstructured.Unstructured:
		if about, ok := in.Object["involvedObject"].(map[string]any); ok {
			apiVersion, _ := about["apiVersion"].(string)
			kind, _ := about["kind"].(string)
			o.want(namespace, apiVersion, kind, false)
		}
	}
}

// followedOwner is the one of an object's owners that the engine follows: the controller, or else the first;
// nil if it has none. An object may name thousands.
func followedOwner(m metav1.Object) *metav1.OwnerReference {
	if ref := metav1.GetControllerOfNoCopy(m); ref != nil {
		return ref
	}
	if refs := m.GetOwnerReferences(); len(refs) > 0 {
		return &refs[0]
	}
	return nil
}

func (o *owners) want(namespace, apiVersion, kind string, owner bool) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || gv.Empty() || kind == "" {
		return // there is no telling which kind that is
	}
	gvk := gv.WithKind(kind)
	if o.never[gvk.GroupKind()] {
		return
	}
	now := time.Now().UnixNano()
	o.mu.RLock()
	k := o.met[gvk.GroupKind()]
	o.mu.RUnlock()
	if k != nil {
		k.noted(now, owner)
		return
	}
	if !possible(gvk) {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if k := o.met[gvk.GroupKind()]; k != nil {
		k.noted(now, owner)
		return
	}
	if others := o.wanted(owner); len(others) >= maxWantedKinds {
		worst := leastWanted(others)
		o.ignored(worst)
		o.forget(worst)
	}
	k = &metKind{GroupVersionKind: gvk, namespace: namespace}
	k.noted(now, owner)
	o.met[gvk.GroupKind()] = k
	select {
	case o.added <- struct{}{}:
	default: // that there are some is known
	}
}

// possible says whether there can be such a kind. The names of those that there are
// have these forms, and become part of a request's path.
func possible(k schema.GroupVersionKind) bool {
	return len(validation.IsDNS1035Label(strings.ToLower(k.Kind))) == 0 &&
		len(validation.IsDNS1035Label(k.Version)) == 0 &&
		(k.Group == "" || len(validation.IsDNS1123Subdomain(k.Group)) == 0)
}

// noted takes note of an object that names the kind.
func (k *metKind) noted(now int64, owner bool) {
	k.named.Store(now)
	if owner {
		k.owner.Store(true)
	}
}

// ignored counts a kind that is one too many, once. The caller holds mu.
func (o *owners) ignored(k *metKind) {
	if k.ignored {
		return
	}
	k.ignored = true
	o.metrics.ignored.Inc()
	if !o.warned {
		o.warned = true
		o.log.Warn("Too many kinds own what is watched, or have Events; some are not looked at", "limit", maxOwnerKinds)
	}
}

// wanted are the kinds that are not served, of those that own something or of the
// others. The caller holds mu.
func (o *owners) wanted(owner bool) (kinds []*metKind) {
	for _, k := range o.met {
		if !k.served && k.owner.Load() == owner {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// leastWanted is the kind to forget for another: of those from the namespace that has
// named most, the one that was not named for longest.
func leastWanted(kinds []*metKind) *metKind {
	count := map[string]int{}
	for _, k := range kinds {
		count[k.namespace]++
	}
	return slices.MinFunc(kinds, func(a, b *metKind) int {
		return cmp.Or(cmp.Compare(count[b.namespace], count[a.namespace]), cmp.Compare(a.named.Load(), b.named.Load()))
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// forget ends what is known of a kind. The caller holds mu.
func (o *owners) forget(k *metKind) {
	delete(o.met, k.GroupKind())
	if k.served {
		o.served--
	}
	if k.stop != nil {
		k.stop()
	}
}

// admit says whether there is room to follow a kind that is served, and takes it.
// What owns something takes the room of what only has Events; else one takes that of
// its like that was not named for long.
func (o *owners) admit(k *metKind) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k.served || o.met[k.GroupKind()] != k {
		return k.served
	}
	if o.served >= maxOwnerKinds {
		idle := time.Now().Add(-idleAfter).UnixNano()
		var others []*metKind
		for _, other := range o.met {
			owner, otherOwner := k.owner.Load(), other.owner.Load()
			if other.served && (owner && !otherOwner || owner == otherOwner && other.named.Load() < idle) {
				others = append(others, other)
			}
		}
		if len(others) == 0 {
			o.ignored(k)
			return false
		}
		worst := slices.MinFunc(others, func(a, b *metKind) int {
			return cmp.Or(compareBool(a.owner.Load(), b.owner.Load()), cmp.Compare(a.named.Load(), b.named.Load()))
		})
		o.ignored(worst)
		o.forget(worst)
	}
	k.served = true
	o.served++
	return true
}

// run follows what is found until ctx is done.
func (o *owners) run(ctx context.Context, s *streams) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { o.giveTurns(ctx) })
	for {
		select {
		case <-o.added:
		case <-ctx.Done():
			return
		}
		o.mu.Lock()
		for _, k := range o.met {
			if k.stop != nil {
				continue
			}
			var following context.Context
			following, k.stop = context.WithCancel(ctx)
			wg.Go(func() {
				defer k.stop()
				o.follow(following, s, k)
			})
		}
		o.mu.Unlock()
	}
}

// giveTurns lets the API server be asked for kinds, at the rate that is bearable
// whoever names them.
func (o *owners) giveTurns(ctx context.Context) {
	ticker := time.NewTicker(lookupEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, turns := range o.turns {
				select {
				case turns <- struct{}{}:
				default:
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// turn waits until a kind may be looked up.
func (o *owners) turn(ctx context.Context, k *metKind) {
	select {
	case <-o.turns[k.owner.Load()]:
	case <-ctx.Done():
	}
}

// follow watches the metadata of a kind as long as the API server knows it, and
// waits for it while it does not.
func (o *owners) follow(ctx context.Context, s *streams, k *metKind) {
	// What was there is kept while a kind is away, as for any that is listed
	// again: by namespace, as there is a stream for each.
	stores := map[string]*objectStore{}
	name := k.GroupKind().String() // the plural is what is looked for
	defer s.trouble.forget(name)
	tried := map[string]source{}
	forget := func() {
		for _, src := range tried {
			s.forget(src)
		}
		clear(tried)
	}
	defer forget()
	persist(ctx, s.back.next, nil, func(ctx context.Context) attempt {
		o.turn(ctx, k)
		if ctx.Err() != nil {
			return done
		}
		served, err := o.find(ctx, k.GroupVersionKind)
		switch {
		case meta.IsNoMatchError(err):
			o.log.Debug("the API server does not know a kind; asking again later", "kind", k.GroupVersionKind, "error", err)
			for _, source := range s.resumed.sourcesOf(k.GroupKind()) {
				s.passOver(source, "")
			}
			forget()
			return refused
		case ctx.Err() != nil:
			return done
		case err != nil:
			// Anybody can make up kinds: each would be a series.
			s.metrics.failures.WithLabelValues("").Inc()
			s.trouble.failedApart(k.level(), name, err, "")
			return failed
		}
		s.trouble.worked(name)
		if !o.admit(k) {
			return refused
		}
		sources := o.sources(served, k)
		for _, src := range sources {
			tried[src.name()] = src
		}
		o.read(ctx, s, sources, stores)
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
			st = s.objectStore(src)
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
func (k *metKind) level() slog.Level {
	if k.owner.Load() {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (o *owners) sources(k kind, found *metKind) []source {
	if found.owner.Load() {
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
