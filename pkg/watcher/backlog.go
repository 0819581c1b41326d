package watcher

import (
	"cmp"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
)

// A process that begins with a journal watches on from where each watch was (journal.Position), and
// so does one from which the API server was away. It is told of every write that was made while
// nobody looked. These come within a moment, each watch by itself. Fed as they come they would all
// have happened now, and in no order. So they are kept until each watch has caught up, are put in
// the order of their resource versions, and are dated by what the API server states in them: then
// the engine is told what a process would have told it that was there, but for the fractions of
// seconds.

const (
	// backlogBytes bounds what is kept of it, as it is in the journal: a pod is some 2 KiB.
	backlogBytes = 64 << 20
	// backlogLongest is how long what is live waits in it for others, before it is told and in the
	// journal: the API server remembers writes for minutes.
	backlogLongest = time.Minute
	// backlogPatience is how long each watch is waited for that does not say that it has caught up,
	// when all that must be watched are.
	backlogPatience = 10 * time.Second
	// mostTicks is how many times the engine is told at most that time has passed meanwhile.
	mostTicks = 3600
)

// backlog is what was missed, until all of it is there.
type backlog struct {
	items []missed
	bytes int
	// heard is when the API server was heard of last before nobody looked, by our clock; zero where
	// it was when stream time passed last.
	heard time.Time
	// oldest is when the first of the items has come; zero for none.
	oldest time.Time
	// spilled says that some of it was told before the rest was there.
	spilled bool
	// waits are the sources that have not caught up, and since is when nothing but such was waited
	// for first.
	waits map[string]bool
	since map[string]time.Time
	// still are the sources that the process has not asked for again since it stood still, and stood is
	// since when it last did: what came before that was live.
	still map[string]bool
	stood time.Time
	// last is up to where each source was seen, and listed are those of which a list has begun.
	last   map[string]string
	listed map[string]bool
	lists  bool // what comes may be of lists
	// unkept is what of it is not in the journal yet. What lists tell never is: who comes after this
	// process lists as well.
	unkept []journal.Missed
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
	// came is when it was told of. isLive says that it was made then, as its watch had caught up, and
	// waits for others.
	came   time.Time
	isLive bool
	// restored says that it came to a process before this one, so that what is listed now is behind it.
	restored bool
	// stated is what the object states of when it was written, and isExact whether it says so of
	// this write. since is when it may have been made at the earliest, and by when it was.
	stated    time.Time
	isExact   bool
	since, by time.Time
	// afterLists says that it is behind what else was by the same time.
	afterLists bool
}

// newBacklog waits for some sources.
func newBacklog[V any](sources map[string]V) *backlog {
	b := &backlog{waits: map[string]bool{}, since: map[string]time.Time{}, last: map[string]string{}, listed: map[string]bool{}}
	for source := range sources {
		b.waits[source] = true
	}
	return b
}

// add keeps an observation. Whether there is room for more its bytes say.
func (b *backlog) add(o causality.Observation, source string, inList bool) {
	packed, err := journal.EncodeObservation(nil, o)
	if err != nil {
		return // no journal would take it
	}
	m := b.push(o, packed, source, inList)
	if p := m.position(); p.Source != "" && !m.listed {
		b.unkept = append(b.unkept, journal.Missed{At: p, Live: m.isLive, Observation: m.packed})
	}
}

// push adds an observation, packed as the journal has it, to the items.
func (b *backlog) push(o causality.Observation, packed []byte, source string, inList bool) *missed {
	m := missed{packed: packed, source: source, version: versionOf(o.Object), isNew: o.Type == watch.Added, inList: inList, listed: b.listed[source], stated: o.Since, came: o.Time}
	if about, ok := o.Object.(metav1.Object); ok {
		m.uid = about.GetUID()
	}
	if o.Since.IsZero() && !m.inList && !m.listed && (!b.waits[source] || !o.Time.After(b.stood)) {
		m.isLive = true
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
	if len(b.items) == 0 {
		b.oldest = o.Time
	}
	b.items = append(b.items, m)
	b.bytes += len(m.packed)
	return &b.items[len(b.items)-1]
}

// restore begins with what the journal has of what processes before this one were told of.
func (b *backlog) restore(kept []journal.Missed, now time.Time) {
	for _, k := range kept {
		b.last[k.At.Source] = k.At.Version
		o, err := journal.DecodeObservation(k.Observation)
		if err != nil {
			continue // it is a position alone
		}
		m := b.push(o, k.Observation, k.At.Source, false)
		m.isLive, m.restored = k.Live, true
	}
	b.oldest = now // how long what is live may wait counts anew
}

// isFull says whether what there is has to be told, whoever is still waited for.
func (b *backlog) isFull(now time.Time) bool {
	return b.bytes >= backlogBytes || len(b.items) > 0 && now.Sub(b.oldest) >= backlogLongest
}

// rest is what goes on where what there was is told.
func (b *backlog) rest() *backlog {
	return &backlog{heard: b.heard, spilled: true, waits: b.waits, since: b.since, still: b.still, stood: b.stood, last: b.last, listed: b.listed, lists: b.lists}
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

// mark takes in what a source says of itself. One that is needed is waited for anew each time that it
// is away: until it can be read nobody looks whether there is more to come.
func (b *backlog) mark(m sourceMark, needed bool) {
	still := b.still[m.source]
	if still && (m.away || m.refused || m.listing) {
		delete(b.still, m.source)
	}
	switch {
	case still && b.still[m.source]: // it was caught up before that
	case m.away:
		b.waits[m.source] = true
		if needed || m.returns {
			delete(b.since, m.source)
		}
		return
	case m.refused:
		delete(b.waits, m.source)
		return
	case m.listing:
		b.lists, b.listed[m.source], b.waits[m.source] = true, true, true
	default:
		delete(b.waits, m.source)
		if m.version != "" && !b.listed[m.source] && b.last[m.source] != m.version {
			b.unkept = append(b.unkept, journal.Missed{At: m.position()})
		}
	}
	b.last[m.source] = m.version
}

// stoodStill has sources waited for until they were asked for again: the process stood still since
// a time.
func (b *backlog) stoodStill(sources []string, since time.Time) {
	b.still, b.stood = map[string]bool{}, since
	for _, source := range sources {
		b.still[source], b.waits[source] = true, true
		delete(b.since, source)
	}
}

// waiting says whether there is more to come.
func (b *backlog) waiting(now time.Time) (is bool) {
	for source := range b.waits {
		since, ok := b.since[source]
		if !ok {
			b.since[source] = now
		}
		is = is || !ok || now.Sub(since) < backlogPatience
	}
	return is
}

// shift corrects the times of arrival by how much the clock is off that they were read from.
func (b *backlog) shift(by time.Duration) {
	for i := range b.items {
		b.items[i].came = b.items[i].came.Add(by)
	}
}

// sorted are the items in the order in which they happened: those that watches told are dated, and
// those that lists told came when they did. None of them was made before earliest, and the engine
// knows what happened until from.
func (b *backlog) sorted(earliest, from, now time.Time) []missed {
	groups := map[string][]missed{}
	var all, listed []missed
	for _, m := range b.items {
		if m.listed {
			listed = append(listed, m)
		} else {
			groups[m.group] = append(groups[m.group], m)
		}
	}
	for _, group := range merged(groups) {
		date(group, earliest, from, now)
		all = append(all, group...)
	}
	b.dateListed(listed, earliest, from)
	all = append(all, listed...)
	slices.SortStableFunc(all, func(a, b missed) int { // in a group they are
		return cmp.Or(a.by.Compare(b.by), compareBool(a.afterLists, b.afterLists))
	})
	return all
}

// dateListed bounds when something was made that lists told, or watches behind them. What comes of
// pods counts as seen when the lists of all else were: a pod is gone because its ReplicaSet was
// scaled down, of which a list does not say when. In one process what is listed may state that it was
// written before anything was heard of last: that was of another source then.
func (b *backlog) dateListed(listed []missed, earliest, from time.Time) {
	through := from
	for i := range listed {
		if m := &listed[i]; m.inList && !isOfPods(m.source) && m.came.After(through) {
			through = m.came
		}
	}
	for i := range listed {
		m := &listed[i]
		m.since, m.by = earliest, m.came
		switch {
		case m.inList && !b.heard.IsZero() && !m.stated.IsZero() && m.stated.Before(earliest):
			if m.since = m.stated; m.since.Before(earliest.Add(-unheard)) {
				m.since = earliest.Add(-unheard)
			}
		case m.inList:
		case m.stated.IsZero():
			m.since, m.isLive = m.came, true
		default:
			m.since = m.stated
		}
		least := from
		if m.afterLists = isOfPods(m.source); m.afterLists {
			least = through
		}
		if m.by.Before(least) {
			m.by = least
		}
	}
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
func date(group []missed, earliest, from, now time.Time) {
	before := map[types.UID]time.Time{}
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
		if (m.isLive || m.restored) && m.came.Before(latest) {
			latest = m.came
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
		if m := &group[i]; m.isLive {
			if m.since.After(by) {
				m.since = by
			}
			at, i = by, i+1
			continue
		}
		for i+n < len(group) && group[i+n].by.Equal(by) && !group[i+n].isLive {
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
