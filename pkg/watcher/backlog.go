package watcher

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// A process that begins with a journal watches on from where each watch was (journal.Position),
// and is told of every write that was made while nobody looked. These come within a moment, each
// watch by itself. Fed as they come they would all have happened now, and in no order. So they are
// kept until each watch has caught up, are put in the order of their resource versions, and are
// dated by what the API server states in them: then the engine is told what a process would have
// told it that was there, but for the fractions of seconds.

const (
	// backlogBytes bounds what is kept of it, as it is in the journal: a pod is some 2 KiB.
	backlogBytes = 64 << 20
	// backlogPatience is how long watches are waited for that do not say that they have caught
	// up, when all that must be watched are.
	backlogPatience = 10 * time.Second
	// mostTicks is how many times the engine is told at most that time has passed meanwhile.
	mostTicks = 3600
)

// backlog is what was missed, until all of it is there.
type backlog struct {
	items []missed
	bytes int
	// waits are the sources that have not caught up, and since is when nothing else is waited for.
	waits map[string]bool
	since time.Time
	// ends are up to where marks say that sources were seen, lists that one of them was listed.
	ends  []sourceMark
	lists bool
}

// missed is an observation that was missed.
type missed struct {
	packed []byte // see journal.EncodeObservation
	source string
	// group is of what the versions can be compared.
	group, version string
	isNew, listed  bool
	// since is what the object states of when it was written, until dated has made it the earliest
	// time that it may have been; by is the latest.
	since, by time.Time
}

func newBacklog(positions map[string]string) *backlog {
	b := &backlog{waits: map[string]bool{}}
	for source := range positions {
		b.waits[source] = true
	}
	return b
}

// add keeps an observation, and reports whether there is room for more.
func (b *backlog) add(o causality.Observation, source string, listed bool) bool {
	m := missed{source: source, version: versionOf(o.Object), isNew: o.Type == watch.Added, listed: listed, since: o.Since}
	var err error
	if m.packed, err = journal.EncodeObservation(nil, o); err != nil {
		return true // no journal would take it
	}
	switch gk := o.Object.GetObjectKind().GroupVersionKind().GroupKind(); {
	case gk == eventKind.GroupKind(): // which may be in a store of their own
		m.group = "events"
	case !isLiveKind(gk): // another API server may have these
		m.group = source
	}
	b.items = append(b.items, m)
	b.bytes += len(m.packed)
	return b.bytes < backlogBytes
}

func isLiveKind(gk schema.GroupKind) bool {
	return slices.ContainsFunc(liveKinds, func(k kind) bool { return k.GroupKind() == gk })
}

// mark takes in what a source says of itself.
func (b *backlog) mark(m sourceMark) {
	if m.listing {
		b.lists = true
	} else {
		delete(b.waits, m.source)
	}
	b.ends = append(b.ends, m)
}

// waiting says whether there is more to come.
func (b *backlog) waiting(now time.Time) bool {
	if b.since.IsZero() {
		b.since = now
	}
	return len(b.waits) > 0 && now.Sub(b.since) < backlogPatience
}

// sorted are the items in the order in which they happened, those that lists told behind those
// that watches did, and of these pods behind all else.
func (b *backlog) sorted(from, now time.Time) []missed {
	groups := map[string][]missed{}
	var all, listed []missed
	for _, m := range b.items {
		if m.listed {
			m.since, m.by = from, now
			listed = append(listed, m)
		} else {
			groups[m.group] = append(groups[m.group], m)
		}
	}
	for _, group := range groups {
		date(group, from, now)
		all = append(all, group...)
	}
	// Within a group they are in order already.
	slices.SortStableFunc(all, func(a, b missed) int { return cmp.Or(a.by.Compare(b.by), cmp.Compare(a.group, b.group)) })
	pods := func(m missed) bool { return isOfPods(m.source) }
	slices.SortStableFunc(listed, func(a, b missed) int { return compareBool(pods(a), pods(b)) })
	return append(all, listed...)
}

// date puts writes in the order of their versions, and bounds when each was made. What is made
// later was not made earlier: a write is after all times that the API server has stated in writes
// before it, and before the second is over that it states in one that comes behind. It states when
// an object was made, and when somebody has changed a field of it (managedFields). The latter may
// be of an older write, so that it only says when a write was over where none before it has
// stated that time, or a later one.
func date(group []missed, from, now time.Time) {
	slices.SortStableFunc(group, func(a, b missed) int {
		switch {
		case a.version == b.version:
			return 0
		case newer(a.version, b.version) && !newer(b.version, a.version):
			return 1
		case newer(b.version, a.version) && !newer(a.version, b.version):
			return -1
		}
		return 0
	})
	earliest := from
	stated := make([]time.Time, len(group))
	for i := range group {
		m := &group[i]
		if m.since.After(now) {
			m.since = time.Time{} // nobody knows whose clock that is
		}
		if m.since.After(earliest) || m.isNew && !m.since.Before(earliest.Truncate(time.Second)) {
			stated[i] = m.since
		}
		if m.since.After(earliest) {
			earliest = m.since
		}
		m.since = earliest
	}
	latest := now
	for i := len(group) - 1; i >= 0; i-- {
		if end := stated[i].Add(time.Second - time.Nanosecond); !stated[i].IsZero() && end.Before(latest) {
			latest = end
		}
		group[i].by = latest
	}
	for i, before := 0, from; i < len(group); i++ {
		m := &group[i]
		if m.by.Before(before) {
			m.by = before
		}
		if m.since.After(m.by) {
			m.since = m.by
		}
		before = m.by
	}
}

// statedBy is the latest time that the API server has stated in an object for a write of it.
func statedBy(m metav1.Object) time.Time {
	latest := m.GetCreationTimestamp().Time
	later := func(t time.Time) {
		if t.After(latest) {
			latest = t
		}
	}
	for _, f := range m.GetManagedFields() {
		if f.Time != nil {
			later(f.Time.Time)
		}
	}
	if at := m.GetDeletionTimestamp(); at != nil {
		grace := time.Duration(0)
		if s := m.GetDeletionGracePeriodSeconds(); s != nil {
			grace = time.Duration(*s) * time.Second
		}
		later(at.Add(-grace))
	}
	return latest
}

// sourceMark is what a source says of itself: that a list of it begins, or that all is told up to a
// version.
type sourceMark struct {
	source, version string
	listing         bool
}

func (m sourceMark) position() journal.Position {
	return journal.Position{Source: m.source, Version: m.version}
}

// sourceKey names a source in the journal.
func sourceKey(gk schema.GroupKind, namespace string) string { return gk.String() + " " + namespace }

func isOfPods(source string) bool {
	return strings.HasPrefix(source, sourceKey(podKind.GroupKind(), ""))
}

// sourceOf is the source that an observation came from.
func (l *Live) sourceOf(o causality.Observation) string {
	namespace := ""
	if m, ok := o.Object.(metav1.Object); ok && len(l.options.Namespaces) > 0 {
		namespace = m.GetNamespace()
	}
	return sourceKey(o.Object.GetObjectKind().GroupVersionKind().GroupKind(), namespace)
}

// position is what an observation leads to: nothing where it is of a list, or the watch has not
// told it.
func (l *Live) position(o causality.Observation) journal.Position {
	source, version := l.sourceOf(o), versionOf(o.Object)
	if l.listing[source] || version == "" {
		return journal.Position{}
	}
	return journal.Position{Source: source, Version: version}
}

// enqueueMark has what a source says of itself come behind its observations.
func (l *Live) enqueueMark(ctx context.Context, m sourceMark) error {
	select {
	case l.queue.items <- queued{mark: &m}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// takeMark takes in what a source says of itself.
func (l *Live) takeMark(m sourceMark) {
	if l.listing == nil {
		l.listing = map[string]bool{}
	}
	if m.listing {
		l.listing[m.source] = true
	} else {
		delete(l.listing, m.source)
	}
	switch {
	case l.backlog != nil:
		l.backlog.mark(m)
	case !m.listing && (l.spool != nil || len(l.pods) > 0 && isOfPods(m.source)):
		l.podMarks = append(l.podMarks, m) // behind what waits
	default:
		l.marks = append(l.marks, m)
	}
}

// observe feeds a batch, and notes up to where all is in the journal then.
func (l *Live) observe(k *journal.Keeper, batch []causality.Observation) []spans.Trace {
	finished := k.ObserveAt(batch, l.at)
	for _, m := range l.marks {
		k.Reached(m.position())
	}
	l.at, l.marks = l.at[:0], l.marks[:0]
	return finished
}

// tellBacklog feeds what was missed. Where none of it came from a list, the engine hands out
// what is finished as it would have.
func (l *Live) tellBacklog(k *journal.Keeper) (finished []spans.Trace) {
	b := l.backlog
	l.backlog = nil
	ahead := time.Duration(0) // of the API server's clock
	for _, c := range k.EngineStats().Clocks {
		if c.Node == "" && c.Component == "" {
			ahead = c.Offset
		}
	}
	now := l.options.Clock.Now().Add(-ahead)
	at := k.Now().Add(-ahead)
	if at.After(now) {
		at = now
	}
	if !b.lists {
		k.Release()
	}
	var batch []causality.Observation
	feed := func() {
		finished = append(finished, l.observe(k, batch)...)
		batch = batch[:0]
	}
	tick := max(time.Second, now.Sub(at)/mostTicks)
	for _, m := range b.sorted(at, now) {
		for next := at.Add(tick); !b.lists && next.Before(m.by); next = next.Add(tick) {
			feed()
			at = next
			finished = append(finished, k.Advance(next.Add(ahead))...)
		}
		o, err := journal.DecodeObservation(m.packed)
		if err != nil {
			continue // it was encoded here
		}
		o.Time, o.Since = m.by.Add(ahead), time.Time{}
		if (stream.Doubt{At: m.by, Earliest: m.since, Latest: m.by}).BeyondSecond() && !o.Initial {
			o.Since = m.since
		}
		p := journal.Position{}
		if !m.listed && m.version != "" {
			p = journal.Position{Source: m.source, Version: m.version}
		}
		batch, l.at = append(batch, o), append(l.at, p)
		if len(batch) == maxBatch {
			feed()
		}
	}
	l.marks = append(l.marks, b.ends...)
	feed()
	return finished
}
