package watcher

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
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
	// last is up to where each source was seen, and listed are those of which a list has begun.
	last   map[string]string
	listed map[string]bool
	lists  bool // what comes from now on may be of lists
}

// missed is an observation that was missed.
type missed struct {
	packed []byte // see journal.EncodeObservation
	source string
	// group is of what the versions can be compared.
	group, version string
	uid            types.UID
	isNew          bool
	inList         bool // a list told it
	listed         bool // or a watch behind that list
	isEvent        bool // each write of which states when it was made
	// arrived is when what is live has come, as its watch had caught up and waits for others; zero
	// of all else.
	arrived time.Time
	// stated is what the object states of when it was written, and isExact whether it says so of
	// this write. since is when it may have been made at the earliest, and by when it was.
	stated    time.Time
	isExact   bool
	since, by time.Time
}

func newBacklog(positions map[string]string) *backlog {
	b := &backlog{waits: map[string]bool{}, last: map[string]string{}, listed: map[string]bool{}}
	for source := range positions {
		b.waits[source] = true
	}
	return b
}

// add keeps an observation. Whether there is room for more its bytes say.
func (b *backlog) add(o causality.Observation, source string, inList bool) {
	m := missed{source: source, version: versionOf(o.Object), isNew: o.Type == watch.Added, inList: inList, listed: b.listed[source], stated: o.Since}
	if about, ok := o.Object.(metav1.Object); ok {
		m.uid = about.GetUID()
	}
	if o.Since.IsZero() && !m.inList && !m.listed && !b.waits[source] {
		m.arrived = o.Time
	}
	var err error
	if m.packed, err = journal.EncodeObservation(nil, o); err != nil {
		return // no journal would take it
	}
	switch gk := o.Object.GetObjectKind().GroupVersionKind().GroupKind(); {
	case gk == eventKind.GroupKind(): // which may be in a store of their own
		m.group, m.isEvent = "events", true
	case !isLiveKind(gk): // another API server may have these
		m.group = source
	}
	if m.version == "" { // of a deletion that no watch has told
		m.version = b.last[source]
		m.listed = m.listed || m.version == ""
	}
	if p := m.position(); p.Source != "" {
		b.last[source] = p.Version
	}
	b.items = append(b.items, m)
	b.bytes += len(m.packed)
}

// position is what an observation leads to.
func (m *missed) position() journal.Position {
	if m.inList || m.version == "" {
		return journal.Position{}
	}
	return journal.Position{Source: m.source, Version: m.version}
}

func isLiveKind(gk schema.GroupKind) bool {
	return slices.ContainsFunc(liveKinds, func(k kind) bool { return k.GroupKind() == gk })
}

// mark takes in what a source says of itself.
func (b *backlog) mark(m sourceMark) {
	if m.listing {
		b.lists, b.listed[m.source] = true, true
	} else {
		delete(b.waits, m.source)
	}
	b.last[m.source] = m.version
}

// waiting says whether there is more to come.
func (b *backlog) waiting(now time.Time) bool {
	if b.since.IsZero() {
		b.since = now
	}
	return len(b.waits) > 0 && now.Sub(b.since) < backlogPatience
}

// shift corrects the times of arrival by how much the clock is off that they were read from.
func (b *backlog) shift(by time.Duration) {
	for i := range b.items {
		if m := &b.items[i]; !m.arrived.IsZero() {
			m.arrived = m.arrived.Add(by)
		}
	}
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
	for _, group := range merged(groups) {
		date(group, from, now)
		all = append(all, group...)
	}
	slices.SortStableFunc(all, func(a, b missed) int { return a.by.Compare(b.by) }) // in a group they are
	pods := func(m missed) bool { return isOfPods(m.source) }
	slices.SortStableFunc(listed, func(a, b missed) int { return compareBool(pods(a), pods(b)) })
	return append(all, listed...)
}

// inOrder puts writes in the order of their versions.
func inOrder(group []missed) {
	slices.SortStableFunc(group, func(a, b missed) int {
		order, _ := resourceversion.CompareResourceVersion(a.version, b.version) // 0 where they cannot be compared
		return order
	})
}

// date bounds when each of some writes was made, which are in order, and estimates it. A write is
// after all times that the API server has stated in writes before it, and before the second is over
// that it states in one that comes behind. It states when an object was made, and when somebody has
// changed a field of it (managedFields). A time that it stated in an object before may be of an
// older write, and says nothing of when this one was over.
func date(group []missed, from, now time.Time) {
	earliest, before := from, map[types.UID]time.Time{}
	for i := range group {
		m := &group[i]
		if m.stated.After(now) {
			m.stated = time.Time{} // nobody knows whose clock that is
		}
		old := statedBefore(before, m.uid, from)
		m.isExact = !m.stated.IsZero() && (m.isNew || m.stated.After(old) || m.isEvent && m.stated.Equal(old))
		before[m.uid] = m.stated
		if m.stated.After(earliest) {
			earliest = m.stated
		}
		m.since = earliest
	}
	latest := now
	for i := len(group) - 1; i >= 0; i-- {
		m := &group[i]
		if end := m.stated.Add(time.Second - time.Nanosecond); m.isExact && end.Before(latest) {
			latest = end
		}
		if !m.arrived.IsZero() && m.arrived.Before(latest) {
			latest = m.arrived
		}
		m.by = latest
	}
	spread(group, from)
}

// statedBefore is the latest time that an object had stated before, be it before nobody looked.
func statedBefore(before map[types.UID]time.Time, uid types.UID, from time.Time) time.Time {
	if at, ok := before[uid]; ok {
		return at
	}
	return from.Truncate(time.Second)
}

// spread estimates when writes were made that were all over by the same time: evenly within the
// second before, or what of it is left. What came one after the other has not come at once. What is
// live keeps the time at which it came.
func spread(group []missed, from time.Time) {
	at := from
	for i := 0; i < len(group); {
		by, n := group[i].by, 1
		if m := &group[i]; !m.arrived.IsZero() {
			if m.since.After(by) {
				m.since = by
			}
			at, i = by, i+1
			continue
		}
		for i+n < len(group) && group[i+n].by.Equal(by) && group[i+n].arrived.IsZero() {
			n++
		}
		begin := by.Add(time.Nanosecond - time.Second)
		if begin.Before(at) {
			begin = at
		}
		step := max(0, by.Sub(begin)) / time.Duration(n+1)
		for k := range group[i : i+n] {
			m := &group[i+k]
			m.by = begin.Add(step * time.Duration(k+1))
			if m.since.After(m.by) {
				m.since = m.by
			}
			at = m.by
		}
		i += n
	}
}

// merged puts the groups together that count by the same versions: what they state is in order
// then.
func merged(groups map[string][]missed) (all [][]missed) {
	names := slices.Sorted(maps.Keys(groups)) // what can be compared for sure is the first of them
	for _, name := range names {
		group := groups[name]
		inOrder(group)
		if len(all) == 0 {
			all = append(all, group)
			continue
		}
		both := slices.Concat(all[0], group)
		if inOrder(both); countsUp(both) {
			all[0] = both
		} else {
			all = append(all, group)
		}
	}
	return all
}

// countsUp reports whether no object was made long before one that was written before it.
func countsUp(group []missed) bool {
	var latest time.Time
	for _, m := range group {
		switch {
		case !m.isNew, m.stated.IsZero(): // what came when its watch had caught up states nothing
		case m.stated.Before(latest.Add(-2 * time.Second)):
			return false
		case m.stated.After(latest):
			latest = m.stated
		}
	}
	return true
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
	p := journal.Position{Source: source, Version: version}
	if l.spool != nil {
		l.reachLater(p)
		return journal.Position{}
	}
	return p
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
		for i, o := range l.pods { // until the list is through there is nowhere to go on from
			if l.sourceOf(o) == m.source {
				l.podsAt[i] = journal.Position{}
			}
		}
	} else {
		delete(l.listing, m.source)
	}
	switch {
	case l.backlog != nil:
		l.backlog.mark(m)
	case l.spool != nil:
		l.reachLater(m.position())
	case !m.listing && l.lastWaiting(m.source) >= 0:
		l.podsAt[l.lastWaiting(m.source)] = m.position()
	default:
		l.marks = append(l.marks, m)
	}
}

// lastWaiting is the last of the pods that wait that are of a source; -1 for none.
func (l *Live) lastWaiting(source string) int {
	for i, pod := range slices.Backward(l.pods) {
		if l.sourceOf(pod) == source {
			return i
		}
	}
	return -1
}

// reachLater notes a position of what is kept until the first lists are through.
func (l *Live) reachLater(p journal.Position) {
	if l.later == nil {
		l.later = map[string]string{}
	}
	l.later[p.Source] = p.Version
}

// observe feeds a batch, and notes up to where all is in the journal then.
func (l *Live) observe(k *journal.Keeper, batch []causality.Observation) []spans.Trace {
	if l.spool == nil && len(l.later) > 0 {
		reach(k, l.later)
		l.later = nil
	}
	finished := k.ObserveAt(batch, l.at)
	for _, m := range l.marks {
		k.Reached(m.position())
	}
	l.at, l.marks = l.at[:0], l.marks[:0]
	return finished
}

// reach notes positions.
func reach(k *journal.Keeper, positions map[string]string) {
	for _, source := range slices.Sorted(maps.Keys(positions)) {
		k.Reached(journal.Position{Source: source, Version: positions[source]})
	}
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
	behind := false
	tick := max(time.Second, now.Sub(at)/mostTicks)
	b.shift(-ahead)
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
		if !o.Initial && !m.by.Equal(m.arrived) {
			o.Since = m.since
		}
		if m.listed && !behind {
			behind = true
			feed()
			for source := range b.listed {
				k.Reached(journal.Position{Source: source}) // until all of the list is there
			}
		}
		p := m.position()
		if m.listed {
			p = journal.Position{}
		}
		batch, l.at = append(batch, o), append(l.at, p)
		if len(batch) == maxBatch {
			feed()
		}
	}
	feed()
	reach(k, b.last)
	return finished
}
