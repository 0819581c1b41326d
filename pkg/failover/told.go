package failover

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// told is what is known of a span that was recorded.
type told struct {
	at  time.Time // when that was learned
	end time.Time // the latest end of those that were recorded with it
}

// Absorb takes in what a Lease says that somebody else holds, or nobody: the text of its
// annotation. What was read before counts on where that is gone, or cannot be read.
func (o *Outbox) Absorb(text string) {
	r, err := decodeRecord(text)
	o.mu.Lock()
	now := o.options.Now()
	if r.Watermark.Sub(now) > farAhead {
		err = errRecord
	}
	if lost := text == "" && !o.record.isEmpty(); lost || err != nil {
		if !o.unread {
			o.options.Log.Warn("what the Lease says of spans that were handed out is gone, or cannot be read: one that takes over now does not send what may have been", "error", err)
		}
		o.unread = true
		r = o.record
	} else {
		o.unread = false
		o.absorb(&r, now)
	}
	o.read, o.record = now, r
	o.forget(now)
	taken := o.dropTold(now)
	o.mu.Unlock()
	o.options.Taken(taken...)
}

// farAhead is by how much a watermark may be ahead of this process's clock. It is no clock's that is only off.
const farAhead = 24 * time.Hour

// absorb takes in what was read. The caller holds the lock.
func (o *Outbox) absorb(r *Record, now time.Time) {
	own := o.isOwn(r)
	if (o.read.IsZero() && !own) || (!o.read.IsZero() && now.Sub(o.read) > unreadAfter) {
		o.floor = latest(o.floor, r.Watermark)
	}
	mine := r.Writer == o.options.Writer && o.term > 0 // of this process
	if !own && !mine {
		o.doubt = r.open()
	}
	for i, e := range r.Entries {
		r.Entries[i].written = now
		switch {
		case e.Open && own: // the journal has it, and hands it out again as it was
		case len(e.Spans) == 0:
			o.folded[e.Trace] = latest(o.folded[e.Trace], e.End)
		default:
			for _, h := range e.Spans {
				o.known[h] = told{now, e.End}
			}
		}
	}
}

// journalSlack is by how much the watermark that a process has recorded may be ahead of its journal. It is
// Options.Lag behind, but where the record had no room for all spans; and a machine that fails forgets the last
// seconds of a journal.
const journalSlack = time.Minute

// isOwn reports whether a record is of a run of which the journal tells. That is found out when it is read first:
// what is in there later may be of this run, which has passed the end of the journal. The caller holds the lock.
func (o *Outbox) isOwn(r *Record) bool {
	if !o.resumed || r.Writer != o.options.Writer {
		return false
	}
	if !o.read.IsZero() || !r.Watermark.After(o.until.Add(journalSlack)) {
		return true
	}
	o.resumed = false
	o.options.Log.Warn("the data directory is older than what its own writer has recorded in the Lease, as if it was restored from a backup: "+
		"what ended before the watermark is not sent again", "journalUntil", o.until, "watermark", r.Watermark)
	return false
}

// absorbNone notes that there is no Lease yet.
func (o *Outbox) absorbNone() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.read.IsZero() {
		o.read = o.options.Now()
	}
}

// forget drops what nobody builds any more. The caller holds the lock.
func (o *Outbox) forget(now time.Time) {
	for age := rememberFor; ; age /= 2 {
		for h, t := range o.known {
			if now.Sub(t.at) > age {
				delete(o.known, h)
			}
		}
		if len(o.known) <= mostKnown || age < time.Second {
			break
		}
	}
	for h, end := range o.folded {
		if end.Before(o.record.Watermark.Add(-rememberFor)) || len(o.folded) > mostKnown {
			delete(o.folded, h)
		}
	}
}

// dropTold drops of what waits what others have handed out, or are past. The caller holds the
// lock.
func (o *Outbox) dropTold(now time.Time) (taken []journal.SpanKey) {
	kept := o.waiting[:0]
	o.spans, o.beside = 0, 0
	for _, it := range o.waiting {
		it, gone := o.left(it)
		if len(it.Spans) > 0 && now.Sub(it.put) > passedAfter && it.End().Before(o.record.Watermark) {
			o.stats.Passed += int64(len(it.Spans))
			gone = append(gone, journal.KeysOf(&it.Trace)...)
			it.Spans, it.whole = nil, nil
		}
		taken = append(taken, gone...)
		if it.waits() {
			kept = append(kept, it)
			o.weigh(&it, +1)
		}
	}
	clear(o.waiting[len(kept):])
	o.waiting = kept
	return taken
}

// left is what is to be handed out of a trace that waits. Of one that this process has not seen, and only
// reconstructed, nothing is if another has told its root, and has led since: that one tells what ends
// later, too, and the parts that are guessed here are not those that were. The caller holds the lock.
func (o *Outbox) left(it item) (left item, gone []journal.SpanKey) {
	if len(it.Spans) == 0 {
		return it, nil
	}
	rootTold := it.Reconstructed && (it.Late || o.isTold(it.Root(), time.Time{}, false))
	if rootTold && o.otherUntil.After(it.put) {
		o.stats.Told += int64(len(it.Spans))
		return item{}, journal.KeysOf(&it.Trace)
	}
	if it.Trace, gone = o.untold(it.Trace); len(gone) > 0 {
		it.whole = nil // it is shown and counted where the rest was handed out
	}
	return it, gone
}

// untold is a trace without the spans that were handed out. The caller holds the lock.
//
// If its root was, so was all that had ended by then, as another process has built it: parts of
// it may have other IDs there, where the two did not see the same.
func (o *Outbox) untold(t spans.Trace) (left spans.Trace, gone []journal.SpanKey) {
	var until time.Time
	if root, known := o.known[spanHash(t.Root().SpanID)]; known && !t.Late {
		until = root.end
	}
	old := t.Late || t.Root().End.Before(o.floor)
	n := 0
	for n < len(t.Spans) && !o.isTold(&t.Spans[n], until, old) {
		n++
	}
	if n == len(t.Spans) { // mostly: a standby looks at all that waits each time that it reads the record
		return t, nil
	}
	left = t
	left.Spans = slices.Clone(t.Spans[:n])
	for i := n; i < len(t.Spans); i++ {
		if s := &t.Spans[i]; o.isTold(s, until, old) {
			o.stats.Told++
			gone = append(gone, journal.SpanKey{TraceID: s.TraceID, SpanID: s.SpanID})
			left.Late = left.Late || i == 0
			continue
		}
		left.Spans = append(left.Spans, t.Spans[i])
	}
	if t.Selection != nil { // all that is here is sent
		left.Selection = &spans.Selection{Spans: left.Spans, LeftOut: t.Selection.LeftOut}
	}
	return left, gone
}

// isTold reports whether a span was handed out. What ended until a time was; of what is old,
// what ended before the floor. The caller holds the lock.
func (o *Outbox) isTold(s *spans.Span, until time.Time, old bool) bool {
	if _, told := o.known[spanHash(s.SpanID)]; told {
		return true
	}
	if !until.IsZero() && !s.End.After(until) || old && s.End.Before(o.floor) {
		return true
	}
	end, folded := o.folded[traceHash(s.TraceID)]
	return folded && !s.End.After(end)
}

// content is the record as it is to be in the Lease of who leads.
func (o *Outbox) content() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Who has only just taken the Lease leaves in there what the one before had in doubt.
	if o.leading {
		o.record.Writer = o.options.Writer
		if idle := len(o.open)+len(o.pending)+len(o.waiting) == 0; idle && !o.passed.IsZero() {
			o.record.settle() // of the run before there was nothing to hand out again
		}
	}
	o.record.Watermark = latest(o.record.Watermark, o.watermark())
	o.record.prune(o.options.Now())
	out := o.record.clone()
	out.Entries = append(out.Entries, o.pending...)
	folded, forgotten := out.fit(len(o.pending))
	if folded+forgotten > 0 {
		o.stats.Folded += int64(folded)
		o.stats.Forgotten += int64(forgotten)
		o.record = out.clone()
		o.record.Entries = o.record.Entries[:len(out.Entries)-len(o.pending)]
	}
	return out.encode()
}

// watermark is before what all that ended was handed out and has arrived. The caller holds the
// lock.
func (o *Outbox) watermark() time.Time {
	if o.passed.IsZero() {
		return time.Time{}
	}
	at := latest(o.passed.Add(-o.options.Lag), o.begins)
	for i := range o.waiting {
		if len(o.waiting[i].Spans) > 0 {
			at = earliest(at, beginsAt(&o.waiting[i].Trace))
		}
	}
	if len(o.pending) > 0 {
		at = earliest(at, o.pendingFrom)
	}
	for _, from := range o.open {
		at = earliest(at, from)
	}
	return time.Unix(at.Unix(), 0)
}

// beginsAt is what a watermark must not pass while a trace is to be handed out: a trace is
// built again if its root has not ended before, and of what comes later each span.
func beginsAt(t *spans.Trace) time.Time {
	at := t.Root().End
	if t.Late {
		for i := range t.Spans {
			at = earliest(at, t.Spans[i].End)
		}
	}
	return at
}

// Watermark is before what all that ended was handed out by others, as the Lease said when it
// was read first: zero where it does not say. It reports false while nobody has read it.
func (o *Outbox) Watermark() (at time.Time, read bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.floor, !o.read.IsZero() || o.alone
}
