package watcher

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// A Live has a backlog while something that it watches tells what it has missed: from its start on
// where there is a journal, and since a request has failed.

// sourceMark is what a source says of itself: that all is told up to a version, or that a list of it
// begins.
type sourceMark struct {
	source, version string
	listing         bool
	// away says instead that it cannot be read, so that what comes when it can is late, and refused
	// that it may not be. found is the source's. returns says, with away, that its watch goes on, after
	// nobody has waited for it any more.
	away, refused, found, returns bool
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
	switch {
	case m.listing:
		l.listing[m.source] = true
	case !m.away && !m.refused:
		delete(l.listing, m.source)
	}
	if l.isBack(m) {
		delete(l.inVain, m.source)
	}
	inVain := l.inVain[m.source]
	mark(&l.away, m.source, m.away && !inVain)
	if l.backlog == nil && l.listed && !m.found && !inVain && (m.away || m.listing) {
		l.backlog = l.newOutage(l.options.Clock.Now())
	}
	switch {
	case inVain && m.away:
	case l.backlog != nil:
		l.backlog.mark(m, l.streams.isNeeded(m.source))
	case m.away, m.refused:
	case l.spool != nil:
		l.reachLater(m.position())
	default:
		l.marks = append(l.marks, m)
	}
}

// isBack reports whether a source that was waited for in vain is waited for again. A list of it may begin
// again and again. Where it is of what there are no traces without, all else waits for it nevertheless, as
// the parts of one trace come in any order.
func (l *Live) isBack(m sourceMark) bool {
	if m.listing {
		return !l.streams.isOptional(m.source)
	}
	return !m.away || m.returns
}

// unheard is how long a connection may be dead before that is noticed: client-go asks after 30 s of
// silence, and waits for 15 s.
const unheard = 45 * time.Second

// newOutage is a backlog of what is missed from a time on, as something that is watched cannot be
// read, or is listed again.
func (l *Live) newOutage(from time.Time) *backlog {
	b := newBacklog(l.away)
	b.heard = from.Add(-unheard)
	if l.heard.After(b.heard) {
		b.heard = l.heard
	}
	return b
}

// noticeStill has what was missed while the process stood still wait until all of it is there. Until
// its watch is cut, a source tells what has waited in its connection, which is missed as well.
func (l *Live) noticeStill() {
	stood, from := l.streams.pulse.beat()
	if stood == l.stood {
		return
	}
	l.stood = stood
	l.options.Log.Warn("rollspan was stopped, or its machine was, or the clock was set ahead: what happened meanwhile is asked for, as after an outage of the API server",
		"since", from.Format(time.RFC3339))
	if !l.listed {
		return
	}
	if l.backlog == nil {
		l.backlog = l.newOutage(from)
	}
	l.backlog.stoodStill(l.streams.followed(), from)
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
	if l.backlog != nil { // behind what came before it, which nobody asks for again who has this
		k.KeepMissed(l.backlog.unkept)
		l.backlog.unkept = nil
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

// catchUp has the engine hold everything back while what happened since the run before is told,
// until caughtUp.
func (l *Live) catchUp(k *journal.Keeper) {
	switch {
	case k.Resumes():
		l.backlog = newBacklog(k.Positions())
		l.backlog.waitOnly(l.streams.follows)
		l.backlog.restore(k.Missed(), l.options.Clock.Now())
		k.Hold()
	case l.handout.Load() != nil:
		l.spool = newSpool()
	}
}

// caughtUp ends that, and the wait for what an outage has missed.
func (l *Live) caughtUp(k *journal.Keeper) (finished []spans.Trace) {
	if l.spool != nil {
		return l.tellLately(k)
	}
	if l.backlog == nil {
		return nil
	}
	return l.tellBacklog(k)
}

// tellBacklog feeds what was missed. Where all of it is there, and none of it came from a list, the
// engine hands out what is finished as it would have.
func (l *Live) tellBacklog(k *journal.Keeper) []spans.Trace {
	b := l.backlog
	l.backlog = nil
	for source := range b.waits {
		if !l.streams.isNeeded(source) {
			mark(&l.inVain, source, true)
			delete(l.away, source)
		}
	}
	finished := l.tellMissed(k, b, !b.lists && !b.spilled)
	k.Release()
	return finished
}

// spillBacklog feeds what there is of it, where that is as much as may wait, and leaves the rest to be
// put in order by itself.
func (l *Live) spillBacklog(k *journal.Keeper) []spans.Trace {
	b := l.backlog
	if b == nil || !b.isFull(l.options.Clock.Now()) {
		return nil
	}
	l.backlog = b.rest()
	if b.bytes >= backlogBytes {
		l.options.Log.Warn("more has happened while nobody looked than there is room to put in order at once; it is told in parts, and what comes late in a later one is known less well")
	}
	return l.tellMissed(k, b, false)
}

// tellMissed feeds what was missed, which is the whole of it or not.
func (l *Live) tellMissed(k *journal.Keeper, b *backlog, whole bool) (finished []spans.Trace) {
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
	earliest := at
	if heard := b.heard.Add(-ahead); !b.heard.IsZero() && heard.Before(at) {
		earliest = heard
	}
	if whole {
		k.Release()
	} else {
		k.Hold()
	}
	var batch []causality.Observation
	feed := func() {
		finished = append(finished, l.observe(k, batch)...)
		batch = batch[:0]
	}
	behind := false
	tick := max(time.Second, now.Sub(at)/mostTicks)
	b.shift(-ahead)
	for _, m := range b.sorted(earliest, at, now) {
		for next := at.Add(tick); whole && next.Before(m.by); next = next.Add(tick) {
			feed()
			at = next
			finished = append(finished, k.Advance(next.Add(ahead))...)
		}
		o, err := journal.DecodeObservation(m.packed)
		if err != nil {
			continue // it was encoded here
		}
		o.Time, o.Since = m.by.Add(ahead), time.Time{}
		if !o.Initial && (!m.isLive || !m.by.Equal(m.came)) {
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
	k.ToldMissed()
	return finished
}
