package watcher

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// resumption is what a journal says of the objects that there were: the stores begin with it,
// so that the first list of a watch is one more list after an outage. What was deleted or made
// meanwhile is then seen as such.
type resumption struct {
	mu sync.Mutex
	// known are the objects that there were when nobody looked any more.
	known map[schema.GroupKind]map[types.NamespacedName]identity
	// newest are the newest resource versions of Events, by namespace.
	newest map[string]string
	// listed are the sources whose first list was through.
	listed func(source string) bool
	// positions are up to where sources were seen.
	positions map[string]string
}

// reset forgets everything.
func (r *resumption) reset() {
	r.known = map[schema.GroupKind]map[types.NamespacedName]identity{}
	r.newest = map[string]string{}
}

// observed takes in what was observed before.
func (r *resumption) observed(o causality.Observation) {
	m, ok := o.Object.(metav1.Object)
	if !ok {
		return
	}
	gk := o.Object.GetObjectKind().GroupVersionKind().GroupKind()
	if gk == eventKind.GroupKind() {
		if old, ok := r.newest[m.GetNamespace()]; !ok || newer(m.GetResourceVersion(), old) {
			r.newest[m.GetNamespace()] = m.GetResourceVersion()
		}
		return
	}
	name := types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()}
	if r.known[gk] == nil {
		r.known[gk] = map[types.NamespacedName]identity{}
	}
	switch old, ok := r.known[gk][name]; {
	case o.Type != watch.Deleted:
		r.known[gk][name] = identity{uid: m.GetUID(), resourceVersion: m.GetResourceVersion(), digest: digest(o.Object)}
	case ok && old.uid == m.GetUID():
		delete(r.known[gk], name)
	}
}

// objects has a store begin with the objects of its source.
func (r *resumption) objects(s *objectStore, src source) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, id := range r.known[src.kind.GroupKind()] {
		if src.namespace == "" || src.namespace == name.Namespace {
			s.known[name] = id
		}
	}
	if src.namespace == "" {
		delete(r.known, src.kind.GroupKind()) // the store has them now
	}
	r.place(&s.store, src)
}

// events has a store begin with the newest Event of its source.
func (r *resumption) events(s *eventStore, src source) {
	if r == nil {
		return
	}
	for namespace, version := range r.newest {
		if (src.namespace == "" || src.namespace == namespace) && (s.newest == "" || newer(version, s.newest)) {
			s.newest = version
		}
	}
	r.place(&s.store, src)
}

// place has a store go on from where its source was seen.
func (r *resumption) place(s *store, src source) {
	s.version = r.positions[src.key()]
	s.resumed = s.version != ""
	s.started = s.resumed || r.listed(src.name())
}

// keep opens the journal of a run, and has the engine begin with what is in it. That ends when ctx
// is done, with its error.
func (l *Live) keep(ctx context.Context, clusterUID string, sink Sink) (*journal.Keeper, error) {
	resumed := &resumption{}
	resumed.reset()
	observed := func(o causality.Observation) {
		resumed.observed(o)
		l.streams.owners.notice(o.Object)
		if l.options.Known != nil {
			l.options.Known(o)
		}
	}
	o := journal.Options{
		MaxBytes: l.options.DataDirMaxBytes, Log: l.options.Log, Cluster: clusterUID, Scope: l.scope(), Found: l.options.Found,
		New: func() journal.Engine {
			return watchedEngine{l.budgeted(l.newEngine(l.options.Engine), clusterUID), l.heartbeat}
		},
		Reset: resumed.reset, Redact: NewRedactor().Object, Interrupted: ctx.Err, Observed: observed,
	}
	if l.options.DataDir != "" {
		hidden, err := readMask(l.options.DataDir)
		if err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
		l.streams.hide = hidden.hide
		o.Dir = filepath.Join(l.options.DataDir, "journal")
	}
	k, err := journal.Open(o)
	if err != nil {
		return nil, err
	}
	l.keeper.Store(k)
	if err := k.Recover(func(again []spans.Trace) error { return l.deliver(k, sink, again) }); err != nil {
		return nil, err
	}
	if k.Resumes() {
		stats := k.Stats()
		l.options.Log.Info("going on where the run before has stopped", "observations", stats.Recovered,
			"within", stats.RecoveryTime.String(), "tracesToSend", stats.Unacknowledged)
		listed := k.ListedBefore() // the streams ask while the Keeper notes more
		resumed.listed, resumed.positions = func(source string) bool { return listed[source] }, maps.Clone(k.Positions())
		for _, m := range k.Missed() {
			if o, err := journal.DecodeObservation(m.Observation); err == nil { // else it is a position alone
				observed(o)
			}
			resumed.positions[m.At.Source] = m.At.Version
		}
		l.streams.resumed = resumed
	}
	return k, nil
}

// scope says what of the cluster is watched.
func (l *Live) scope() string {
	namespaces := slices.Sorted(slices.Values(l.options.Namespaces))
	return strings.Join(slices.Compact(namespaces), ",")
}

// Close writes down which spans were acknowledged since Start returned.
func (l *Live) Close() error {
	l.handout.Load().end()
	if k := l.keeper.Load(); k != nil {
		return k.Close()
	}
	return nil
}

// Acknowledge notes that nothing of this process is needed any more for spans to arrive; see
// journal.Keeper. It may be called from any goroutine.
func (l *Live) Acknowledge(keys ...journal.SpanKey) {
	if k := l.keeper.Load(); k != nil {
		k.Acknowledge(keys...)
	}
	if h := l.handout.Load(); h != nil {
		h.outbox.Acknowledge(keys...)
	}
}

// Settle makes what Acknowledge was told survive the machine, and reports whether it does; see
// journal.Keeper. It may be called from any goroutine.
func (l *Live) Settle() bool {
	k := l.keeper.Load()
	return k != nil && k.Settle()
}

// journalStats are the counters of the journal.
func (l *Live) journalStats() journal.Stats {
	if k := l.keeper.Load(); k != nil {
		return k.Stats()
	}
	return journal.Stats{}
}

// maxBatch is how many observations are written to the journal at once.
const maxBatch = 256

// batch is an observation from the queue, with those that are behind it.
func (l *Live) batch(first queued) []causality.Observation {
	if l.batched = l.take(l.batched[:0], first); len(l.marks) > 0 {
		return l.batched // what follows is behind the mark
	}
	for range maxBatch - 1 {
		select {
		case in := <-l.queue.out():
			if l.batched = l.take(l.batched, in); len(l.marks) > 0 {
				return l.batched
			}
		default:
			return l.batched
		}
	}
	return l.batched
}

// take adds what was in the queue to a batch, or keeps it where it is to wait for something.
func (l *Live) take(batch []causality.Observation, in queued) []causality.Observation {
	o := l.queue.took(in)
	if in.mark != nil || o.Time.Sub(l.heard) > stillAfter {
		l.noticeStill()
	}
	if in.mark != nil {
		if l.backlog == nil && in.mark.version != "" {
			l.heard = l.options.Clock.Now()
		}
		l.takeMark(*in.mark)
		return batch
	}
	if l.backlog != nil {
		source := l.sourceOf(o)
		l.backlog.add(o, source, l.listing[source])
		return batch
	}
	l.heard = o.Time
	p := l.position(o)
	if l.spool != nil && l.spool.add(o) {
		return batch
	}
	l.at = append(l.at, p)
	return append(batch, o)
}

// noteListed writes down which first lists are through, once all that they had is in the
// journal.
func (l *Live) noteListed(k *journal.Keeper) {
	through := l.streams.throughBy()
	if l.queue.length() > 0 || l.backlog != nil || l.spool != nil {
		return
	}
	slices.SortFunc(through, cmp.Compare[string])
	for _, source := range through {
		k.Listed(source)
	}
}
