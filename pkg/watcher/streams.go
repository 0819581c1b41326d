package watcher

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
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
	client cache.ListerWatcher
	// optional says that the others are of use without this one.
	optional bool
	// found says that the kind was not known beforehand: it may come and go, and
	// another server may stand behind it.
	found bool
	// level is how important it is that it cannot be read.
	level slog.Level
	// running counts the streams that are up; nil for none.
	running prometheus.Gauge
}

func (s source) name() string {
	resource := s.kind.resource
	if strings.Contains(s.kind.Group, ".") {
		// Others may use the same plural; Kubernetes' own groups need no name.
		resource += "." + s.kind.Group
	}
	switch {
	case s.object != "":
		return resource + " " + s.object
	case s.namespace != "":
		return resource + " in namespace " + s.namespace
	}
	return resource
}

// key names the source in the journal.
func (s source) key() string { return sourceKey(s.kind.GroupKind(), s.namespace) }

// streams runs a reflector for each source and brings what they see together.
type streams struct {
	// sources are the streams that are known beforehand.
	sources []source
	// owners adds streams for the kinds that objects turn out to belong to; nil
	// for none.
	owners *owners
	// emit gets every observation; it is called from one goroutine a source.
	emit func(causality.Observation) error
	// reached is told what sources say of themselves, behind their observations; nil for nobody.
	reached func(sourceMark) error
	trouble *trouble
	log     *slog.Logger
	// now dates what arrives.
	now     func() time.Time
	metrics *streamMetrics
	// denied is called when a source that is not optional, in a namespace that was not given
	// up, is forbidden before its first list was through.
	denied func(source)
	// restored is called when the API server is at a version before one that it was at; nil for
	// nobody. It returns why nothing more is wanted.
	restored func(of source, was, is string) error

	// pulse notices that the process stood still; nil for nobody.
	pulse *pulse
	// resumed is what a journal says of what there was; nil for none.
	resumed *resumption
	// hide takes out of objects what may be secret, where they are kept on a disk; nil for
	// nothing.
	hide func(runtime.Object)

	mu sync.Mutex
	// through are the sources whose first list is, in this run.
	through map[string]bool
	// settled are the sources whose first list is through, or that are
	// optional and cannot be listed.
	settled map[string]bool
	// away are the sources known beforehand whose latest request the API server
	// did not answer. When it is back, each reflector notices when its own backoff
	// is over, which may be a minute after the first. onlyOptional is since when they are all optional:
	// a gateway may fail for one kind for ever.
	away         map[string]bool
	onlyOptional time.Time
	// broken are the sources whose latest request has failed, but for one that is refused and that the
	// others are of use without, which may be so for ever; back tells where one has not any more.
	broken map[string]bool
	back   back
	// granted tells where one that was refused is not any more: a role often grants several.
	granted back
	// failing are the sources known beforehand that were not read since a request for them has failed,
	// and unreadable the namespaces in which one is that there are no traces without.
	failing    map[string]failure
	unreadable map[string]*unreadable
}

// run watches until ctx is done.
func (s *streams) run(ctx context.Context) {
	// What a reflector logs is either said by trouble, or of use to nobody
	// but who debugs it.
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(debugOnly{s.log.Handler()}))
	var wg sync.WaitGroup
	for _, src := range s.sources {
		wg.Go(func() { s.follow(ctx, src) })
	}
	if s.owners != nil {
		wg.Go(func() { s.owners.run(ctx, s) })
	}
	wg.Wait()
}

// follow lists and watches a source that is known beforehand until ctx is done.
func (s *streams) follow(ctx context.Context, src source) {
	if src.kind.isEvent() {
		events := &eventStore{store: s.baseStore(src)}
		s.resumed.events(events, src)
		s.read(ctx, src, events)
	} else {
		s.read(ctx, src, s.objectStore(src))
	}
}

// read lists and watches a source until ctx is done, or until the API server no
// longer serves a kind that was found. What the others are of use without rests
// for a while where it is refused: to ask again every half a minute would help
// nobody.
func (s *streams) read(ctx context.Context, src source, into intake) {
	logger := klog.FromContext(ctx)
	lists := &feeder{
		client: s.reported(src), into: into, pulse: s.pulse,
		still: func() { s.noteFailing(src, !src.found, true) },
	}
	reflector := cache.NewReflectorWithOptions(lists.listerWatcher(src.client), nil, into, cache.ReflectorOptions{
		Name:            src.name(),
		TypeDescription: src.kind.Kind,
		Logger:          &logger,
		Clock:           impatientClock{done: ctx.Done(), back: s.back.next},
	})
	persist(ctx, s.back.next, s.granted.next, func(ctx context.Context) attempt {
		if src.running != nil {
			src.running.Inc()
			defer src.running.Dec()
		}
		err := reflector.ListAndWatchWithContext(ctx)
		lists.over() // the store is the next one's now
		switch {
		case src.found && apierrors.IsNotFound(err):
			return done
		case src.optional && isRefusal(err):
			return refused
		case ctx.Err() == nil && lists.isDue():
			return again
		}
		return failed
	})
}

// observe passes an observation on.
func (s *streams) observe(o causality.Observation) error {
	if s.owners != nil {
		s.owners.notice(o.Object)
	}
	return s.emit(o)
}

// objectStore is the store of a source that is not of Events.
func (s *streams) objectStore(src source) *objectStore {
	objects := newObjectStore(s.baseStore(src))
	s.resumed.objects(objects, src)
	return objects
}

// baseStore is what the stores for a source have in common.
func (s *streams) baseStore(src source) store {
	var restored func(was, is string) error
	// Events may be in a store of their own, which people empty as it grows full, and another server
	// may stand behind what was found.
	if s.restored != nil && !src.found && !src.kind.isEvent() {
		restored = func(was, is string) error { return s.restored(src, was, is) }
	}
	return store{
		restored: restored,
		kind:     src.kind,
		emit:     s.observe,
		hide:     s.hide,
		now:      s.now,
		optional: src.optional, found: src.found,
		reached: func(m sourceMark) error {
			if m.listing {
				s.noteReading(src)
			}
			if s.reached == nil {
				return nil
			}
			m.source = src.key()
			return s.reached(m)
		},
		synced: func() {
			s.log.Debug("first list is through", "of", src.name())
			s.noteThrough(src)
			s.settle(src)
			s.noteRead(src)
		},
		relisted: func(missedDeletions int) {
			s.log.Debug("listed again", "of", src.name(), "missedDeletions", missedDeletions)
			s.noteRead(src)
			s.metrics.relists.WithLabelValues(src.kind.Kind).Inc()
			s.metrics.missedDeletions.WithLabelValues(src.kind.Kind).Add(float64(missedDeletions))
		},
	}
}

func (s *streams) noteThrough(src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.through == nil {
		s.through = map[string]bool{}
	}
	s.through[src.name()] = true
}

// forget drops what is known of a source that nobody reads any more.
func (s *streams) forget(src source) {
	s.trouble.forget(src.name())
	s.noteFailing(src, false, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.through, src.name())
	// Of one that the run before has seen it is kept that it is settled. Else, where the kind returns and is
	// refused, it would be said to be no further than that run was: see passOver.
	if s.resumed.position(src.key()) == "" {
		delete(s.settled, src.name())
	}
}

// throughBy returns the names of the sources whose first list is through.
func (s *streams) throughBy() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.through))
}

func (s *streams) settle(src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled == nil {
		s.settled = map[string]bool{}
	}
	s.settled[src.name()] = true
}

// waitingFor returns the names of the sources whose first list is not through, and is waited for.
func (s *streams) waitingFor() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUp()
	var names []string
	for _, src := range s.sources {
		if !s.settled[src.name()] && (src.optional || !s.isGivenUp(src.namespace)) {
			names = append(names, src.name())
		}
	}
	return names
}

// blind says whether a source that is needed cannot be read, or one that can
// is not read again yet after the API server did not answer.
func (s *streams) blind() bool {
	s.mu.Lock()
	s.giveUp()
	away := s.waitsForAway()
	s.mu.Unlock()
	if away {
		return true
	}
	if s.trouble.none() {
		return false // which is asked for each pod
	}
	s.mu.Lock()
	needed := s.needed()
	s.mu.Unlock()
	return s.trouble.blind(needed...)
}

// lost is what keeps a source that is needed from being read, and since when; empty where nothing does.
func (s *streams) lost() (why string, since time.Time) {
	s.mu.Lock()
	needed := s.needed()
	s.mu.Unlock()
	return s.trouble.lost(needed...)
}

// waitsForAway says whether there are sources to wait for that the API server did not answer for. The
// caller holds mu.
func (s *streams) waitsForAway() bool {
	optional := len(s.away) > 0 && !slices.ContainsFunc(s.needed(), func(name string) bool { return s.away[name] })
	switch {
	case !optional:
		s.onlyOptional = time.Time{}
		return len(s.away) > 0
	case s.onlyOptional.IsZero():
		s.onlyOptional = s.now()
	}
	patience := backlogPatience
	for name := range s.away {
		if !s.through[name] {
			patience = max(patience, s.failing[name].patienceWith(0))
		}
	}
	return s.now().Sub(s.onlyOptional) < patience
}

// followed are the sources known beforehand that are watched, and can be read as far as is known.
func (s *streams) followed() (keys []string) {
	through := s.throughBy()
	for _, src := range s.sources {
		if slices.Contains(through, src.name()) && !s.trouble.blind(src.name()) {
			keys = append(keys, src.key())
		}
	}
	return keys
}

// isNeeded reports whether a source is one that is not optional, in a namespace that was not given up.
func (s *streams) isNeeded(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.sources, func(src source) bool {
		return !src.optional && src.key() == key && !s.isGivenUp(src.namespace)
	})
}

// isOptional reports whether a source is one that the others are of use without.
func (s *streams) isOptional(key string) bool {
	return !slices.ContainsFunc(s.sources, func(src source) bool { return !src.optional && src.key() == key })
}

// needed are the names of the sources that are needed: see isNeeded. The caller holds mu.
func (s *streams) needed() (names []string) {
	for _, src := range s.sources {
		if !src.optional && !s.isGivenUp(src.namespace) {
			names = append(names, src.name())
		}
	}
	return names
}

// reported is a source's client that reports how its requests fare. The
// reflector itself keeps quiet about some failures and logs others each time.
func (s *streams) reported(src source) cache.ListerWatcherWithContext {
	client := cache.ToListerWatcherWithContext(src.client)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.ListWithContext(ctx, o)
			if err == nil {
				s.trouble.answered() // the watch may be refused yet
			} else {
				s.report(ctx, src, o, err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := client.WatchWithContext(ctx, o)
			s.report(ctx, src, o, err)
			return w, err
		},
	}
}

func (s *streams) report(ctx context.Context, src source, o metav1.ListOptions, err error) {
	switch {
	case err == nil:
		s.trouble.worked(src.name())
		s.noteFailing(src, false, false)
		// A watch that begins with a list is opened also where that list cannot be read.
		if o.SendInitialEvents == nil && s.noteRead(src) && s.reached != nil {
			_ = s.reached(sourceMark{source: src.key(), away: true, returns: true}) // which fails when all is to end only
		}
		return
	case ctx.Err() != nil,
		errors.Is(err, errPageTooLarge), // a smaller one is asked for
		isTooOld(err),                   // the reflector lists
		// A server that cannot stream a list: the reflector falls back.
		o.SendInitialEvents != nil && apierrors.IsInvalid(err):
		return
	}
	s.metrics.failures.WithLabelValues(src.kind.Kind).Inc()
	mayBeApart, apart := s.mayBeApart(src), true // it is the source's own trouble
	if mayBeApart {
		apart = s.trouble.failedApart(src.level, src.name(), err, src.hint(err))
	} else {
		s.trouble.failed(src.level, src.name(), err, src.hint(err))
	}

	s.noteFailing(src, !src.found && clusterWide(err) != "", !src.optional || !isRefusal(err))

	switch first := s.noteFailed(src, isRefusal(err), apart); {
	case !first:
	case src.optional && s.holdsNobodyUp(src, err, apart):
		s.settle(src)
		if isRefusal(err) {
			key := src.key()
			s.passOver(key, s.resumed.position(key))
		}
	case !mayBeApart && apierrors.IsForbidden(err):
		s.denied(src)
	}
}

// holdsNobodyUp reports whether the first lists of the others are not to wait for an optional source that
// has failed: it cannot be read, or others wait for it when they are through. What has just failed otherwise
// may be there in a moment: see giveUp.
func (s *streams) holdsNobodyUp(src source, err error, apart bool) bool {
	switch {
	case isRefusal(err):
		return true
	case clusterWide(err) != "":
		return apart // see waitsForAway
	}
	return s.resumed.position(src.key()) != "" // see backlog
}

// mayBeApart reports whether that a source fails may say nothing about the rest of the API server.
func (s *streams) mayBeApart(src source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return src.optional || s.isGivenUp(src.namespace)
}

// noteFailing notes how the latest request for a source has failed, if it has. Where it has not
// any more, the others are asked for at once.
func (s *streams) noteFailing(src source, away, broken bool) {
	s.mu.Lock()
	if mark(&s.away, src.name(), away); len(s.away) == 0 {
		s.onlyOptional = time.Time{}
	}
	was := mark(&s.broken, src.name(), broken)
	s.mu.Unlock()
	if was && !broken {
		s.back.tell()
	}
}

// mark puts a name into a set, or takes it out, and reports whether it was in there.
func mark(set *map[string]bool, name string, in bool) (was bool) {
	was = (*set)[name]
	switch {
	case !in:
		delete(*set, name)
	case *set == nil:
		*set = map[string]bool{name: true}
	default:
		(*set)[name] = true
	}
	return was
}

// hint says what follows from an error, and what to do about it.
func (s source) hint(err error) string {
	if !isRefusal(err) {
		return ""
	}
	var hints []string
	if s.kind.without != "" {
		hints = append(hints, "without them "+s.kind.without)
	}
	if apierrors.IsForbidden(err) {
		hints = append(hints, "to read them rollspan needs the permission to "+s.permission().String())
	}
	return strings.Join(hints, "; ")
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
