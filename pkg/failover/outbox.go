package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// saveEvery is how often spans are recorded at most.
	saveEvery = time.Second
	// mostWaiting is how many spans wait at most, of a standby, for the leader to record them.
	// They take some 2 KiB each. A leader may have four times as many, as it gets rid of them.
	mostWaiting = 50000
	// crowdedAt is with how many a leader does not wait to be acknowledged any more.
	crowdedAt = 10000
	// mostBeside is how many spans wait at most that are not sent, as their traces are over their
	// budgets; the last of these traces may have more.
	mostBeside = 20000
	// mostKnown is how many spans a process remembers that others have recorded, if need be
	// for less long.
	mostKnown = 1 << 18
	// rememberFor is how long it does. A standby builds what the leader has recorded within
	// seconds of it.
	rememberFor = 10 * time.Minute
	// passedAfter is how long a standby keeps what the leader should have recorded, and has
	// not, though its watermark is past it.
	passedAfter = 2 * time.Minute
	// unreadAfter is how long a standby may be without having read the record, and still
	// know all that was in it: that is kept for longer.
	unreadAfter = time.Minute
)

// Options of an Outbox.
type Options struct {
	// Writer says whose record it is: a process, or all that have one data directory.
	Writer string
	// Lag is how long after its end a span is handed out at the latest, if nothing comes late.
	Lag time.Duration
	// Deliver hands out a trace. It is called from one goroutine. Required.
	Deliver func(spans.Trace) error
	// Taken is called with spans that need not be handed out any more, as others have.
	Taken func(...journal.SpanKey)
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
	// Now is the time. Default: time.Now.
	Now func() time.Time
}

// Stats are the counters of an Outbox.
type Stats struct {
	// Waiting is how many spans wait: of a leader to be recorded, of a standby to be recorded
	// by the leader, or to become the leader itself.
	Waiting int64
	// Told is how many spans this process has built and not handed out, as another has.
	Told int64
	// Passed is how many it has not, as the leader was past them and had not built them.
	Passed int64
	// Missing is how many spans the leader before had recorded and nobody knows of whether
	// they have arrived.
	Missing int64
	// Dropped is how many had no room to wait.
	Dropped int64
	// Folded and Forgotten are how many traces were too many for the record: of the folded
	// all is taken for handed out that ended by then, of the forgotten all that ended before.
	Folded, Forgotten int64
	// Leading says that this process hands out.
	Leading bool
	// Writes and Failures are how many writes of a Lease were made, and how many failed.
	Writes, Failures int64
}

// item is a trace that waits: what of it is sent.
type item struct {
	spans.Trace
	put time.Time
	// whole is all of the trace, of one that is over its budget: it is for who shows and counts it
	// here. It is nil of others, and of one of which another process has told something.
	whole *spans.Trace
}

// itemOf is a trace that was put at a time.
func itemOf(t *spans.Trace, put time.Time) item {
	if t.Selection == nil {
		return item{Trace: *t, put: put}
	}
	it := item{Trace: t.Sent(), put: put}
	it.Selection = &spans.Selection{Spans: it.Spans, LeftOut: t.Selection.LeftOut}
	if len(t.Spans) > 0 { // else it sums up what others have left out
		it.whole = t
	}
	return it
}

// besides is how many spans wait with it that are not sent.
func (it *item) besides() int {
	if it.whole == nil {
		return 0
	}
	return len(it.whole.Spans) - len(it.Spans)
}

// lighten leaves of what is not sent the root, which is what is counted of a trace.
func (it *item) lighten() {
	if it.besides() < 2 {
		return
	}
	light := *it.whole
	light.Spans = it.Spans
	if it.Late && !it.whole.Late {
		light.Spans = append([]spans.Span{it.whole.Spans[0]}, it.Spans...)
	}
	it.whole = &light
}

// waits reports whether there is anything of it to hand out.
func (it *item) waits() bool { return len(it.Spans) > 0 || it.whole != nil }

// handedOut is what is handed out of it.
func (it *item) handedOut() spans.Trace {
	if it.whole != nil {
		return *it.whole
	}
	return it.Trace
}

// Outbox is between who builds traces and where they go. It hands out while its process holds
// the Lease, what it has recorded there before.
//
// One batch is on its way at a time: the next is recorded when all of it has arrived, or never
// will. So of what was recorded no more than one batch is ever in doubt.
type Outbox struct {
	options Options
	wake    chan struct{}

	mu      sync.Mutex
	resumed bool                        // see Resume
	until   time.Time                   // see Resume
	save    func(context.Context) error // nil while nobody leads, or without a Lease
	leading bool
	term    int  // how often it has led
	alone   bool // there is no Lease
	record  Record
	pending []Entry // about to be recorded
	// pendingFrom is what the watermark must not pass for these.
	pendingFrom time.Time
	read        time.Time
	// unread says that what the Lease said last of spans is gone, or could not be read.
	unread bool
	// confirmed is when this process began to write the Lease last, with success.
	confirmed time.Time
	known     map[Hash]told      // what was recorded by anybody
	folded    map[Hash]time.Time // of these traces all that ended by then
	floor     time.Time          // what ended before was handed out when there was no record of it
	waiting   []item
	spans     int // in waiting
	beside    int // those that wait with them, and are not sent
	// open are the spans that this process has handed out and that nobody has said of that
	// they have arrived, with what the watermark must not pass for them.
	open   map[journal.SpanKey]time.Time
	doubt  int       // spans that were open when another had the Lease
	passed time.Time // stream time
	begins time.Time // see BeginAt
	saved  time.Time
	full   bool
	failed error
	// handing says that what was recorded is being handed out, and ended that nothing is any
	// more.
	handing, ended bool
	stats          Stats
	// records are log records that wait, and otherUntil is when another process was last seen to
	// hold the Lease: see PutRecords. It wrote otherWrote into it.
	records                []item
	otherUntil, otherWrote time.Time
}

// NewOutbox returns an Outbox that knows nothing, and leads nobody.
func NewOutbox(o Options) *Outbox {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Taken == nil {
		o.Taken = func(...journal.SpanKey) {}
	}
	return &Outbox{
		options: o, wake: make(chan struct{}, 1),
		known: map[Hash]told{}, folded: map[Hash]time.Time{}, open: map[journal.SpanKey]time.Time{},
	}
}

// Resume says that a journal, which has what happened until a time, tells what the writer has handed out and what
// of that has arrived: what the record says of the writer itself does not count. It does where its watermark is
// later than that time: the journal was restored from a backup then, and lacks what was handed out since.
func (o *Outbox) Resume(until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resumed, o.until = true, until
}

// Put takes traces to be handed out. The error is Deliver's, of an earlier trace.
func (o *Outbox) Put(traces []spans.Trace) error {
	o.mu.Lock()
	now := o.options.Now()
	for i := range traces {
		it := itemOf(&traces[i], now)
		// Of what nothing is sent no record says that it was handed out, so that it is for who leads.
		if len(it.Spans) > 0 || it.whole != nil && o.leading {
			o.waiting = append(o.waiting, it)
			o.weigh(&it, +1)
		}
	}
	taken := o.bound()
	err := o.failed
	o.mu.Unlock()
	o.options.Taken(taken...)
	o.signal()
	return err
}

// weigh counts what begins to wait, or with -1 what does not wait any more. The caller holds the lock.
func (o *Outbox) weigh(it *item, sign int) {
	o.spans += sign * len(it.Spans)
	o.beside += sign * it.besides()
}

// bound drops the oldest of what waits where it is too much. The caller holds the lock.
func (o *Outbox) bound() (taken []journal.SpanKey) {
	n, most := 0, mostWaiting
	if o.leading {
		most *= 4
	}
	for i := 0; o.beside > mostBeside && i < len(o.waiting)-1; i++ {
		it := &o.waiting[i]
		o.weigh(it, -1)
		it.lighten()
		o.weigh(it, +1)
	}
	for o.spans > most && n < len(o.waiting)-1 { // one trace may be larger
		o.stats.Dropped += int64(len(o.waiting[n].Spans))
		o.weigh(&o.waiting[n], -1)
		taken = append(taken, journal.KeysOf(&o.waiting[n].Trace)...)
		n++
	}
	if n > 0 && !o.full {
		o.full = true
		o.options.Log.Error("more spans wait to be recorded in the Lease than there is room for; the oldest are dropped", "room", most)
	}
	o.waiting = o.waiting[n:]
	o.full = o.full && o.spans > most/2
	return taken
}

// Passed says that all was put that had ended a while before a time of the stream.
func (o *Outbox) Passed(stream time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stream.After(o.passed) {
		o.passed = stream
	}
}

// Acknowledge notes that spans have arrived, or never will. It may be called from any
// goroutine.
func (o *Outbox) Acknowledge(keys ...journal.SpanKey) {
	o.mu.Lock()
	for _, key := range keys {
		delete(o.open, key)
	}
	done := len(o.open) == 0
	if done {
		o.record.settle()
	}
	o.mu.Unlock()
	if done {
		o.signal()
	}
}

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// IgnoreBefore has nothing handed out that ended before a time.
func (o *Outbox) IgnoreBefore(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.floor = latest(o.floor, at)
}

// BeginAt says that this process is the first to tell anything: what had ended by a time is told by
// nobody, neither by this process nor by the one behind it.
func (o *Outbox) BeginAt(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begins = at
}

// Lead has the Outbox hand out, what save has recorded before, until ctx is done.
func (o *Outbox) Lead(ctx context.Context, save func(context.Context) error) {
	term := o.lead(save)
	o.signal()
	<-ctx.Done()
	o.resign(term)
}

func (o *Outbox) lead(save func(context.Context) error) (term int) {
	o.mu.Lock()
	taken := o.dropUnread()
	if missing := o.doubt; missing > 0 {
		o.stats.Missing += int64(missing)
		o.options.Log.Warn("the leader before had recorded spans in the Lease, and nobody knows whether they have arrived; they are not sent again", "spans", missing)
	}
	o.doubt = 0
	// What this writer had recorded in the run before is handed out again first, and open until then.
	if resumes := o.resumed && o.term == 0 && o.record.Writer == o.options.Writer; !resumes {
		o.settleOthers()
	}
	if o.confirmed.IsZero() {
		o.confirmed = o.options.Now()
	}
	o.save, o.leading, o.alone = save, true, false // it may have led alone before
	o.term++
	term = o.term
	o.mu.Unlock()
	o.options.Taken(taken...)
	return term
}

// settleOthers notes of what others had in doubt that it is counted: of what this process leads again with, as
// it had led before, only its own is open. The caller holds the lock.
func (o *Outbox) settleOthers() {
	own := map[Hash]bool{}
	for key := range o.open {
		own[spanHash(key.SpanID)], own[traceHash(key.TraceID)] = true, true
	}
	for i := range o.record.Entries {
		e := &o.record.Entries[i]
		e.Open = e.Open && (own[e.Trace] && len(e.Spans) == 0 || slices.ContainsFunc(e.Spans, func(h Hash) bool { return own[h] }))
	}
}

// dropUnread drops what the leader before may have handed out where it cannot be read what it has: what
// this process had built before that one wrote the Lease last. The caller holds the lock.
func (o *Outbox) dropUnread() (taken []journal.SpanKey) {
	if !o.unread {
		return nil
	}
	o.unread = false
	until := o.otherUntil.Add(recordSlack)
	if o.otherUntil.IsZero() {
		until = o.options.Now()
	}
	n, spans := 0, 0
	for n < len(o.waiting) && !o.waiting[n].put.After(until) {
		spans += len(o.waiting[n].Spans)
		o.weigh(&o.waiting[n], -1)
		taken = append(taken, journal.KeysOf(&o.waiting[n].Trace)...)
		n++
	}
	clear(o.waiting[:n])
	o.waiting = o.waiting[n:]
	if spans > 0 {
		o.stats.Missing += int64(spans)
		o.options.Log.Warn("it cannot be read which spans the leader before has handed out; what it may have is not sent", "spans", spans)
	}
	return taken
}

// holds reports whether nobody else can have the Lease yet: another waits for as long as it is held for
// from when it has seen it written. A machine that sleeps stops the monotonic clock, and one that is
// set may stop the other. The caller holds the lock.
func (o *Outbox) holds(now time.Time) bool {
	return o.alone || max(now.Sub(o.confirmed), now.Round(0).Sub(o.confirmed.Round(0))) < LeaseDuration
}

func (o *Outbox) resign(term int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.term == term { // or it leads again already
		o.save, o.leading = nil, o.alone
	}
}

// LeadAlone has the Outbox hand out from now on, as there is no Lease.
func (o *Outbox) LeadAlone() {
	o.mu.Lock()
	o.leading, o.alone = true, true
	o.mu.Unlock()
	o.signal()
}

// hasLed reports whether this process has held a Lease.
func (o *Outbox) hasLed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.term > 0
}

// Run hands out until ctx is done.
func (o *Outbox) Run(ctx context.Context) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		o.stepRecords()
		for o.step(ctx) {
			o.stepRecords()
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-ticker.C:
		}
	}
}

// Flush waits until nothing waits, this process does not lead, or ctx is done. Nothing is recorded
// or handed out after it, so that where it goes to may be closed: what waits still is for the
// next process. What was recorded by then is handed out all the same, which takes no time.
// The error is Deliver's.
func (o *Outbox) Flush(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !o.end(ctx.Err() != nil) {
		<-ticker.C
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// end ends the handing out where there is nothing to do, or no time for it. It reports false
// while there is time, or while something is handed out that was recorded.
func (o *Outbox) end(now bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	idle := len(o.waiting) == 0 && len(o.pending) == 0 && len(o.records) == 0 || !o.leading || o.failed != nil
	o.ended = !o.handing && (idle || now)
	return o.ended
}

// step hands a batch out, and reports whether there may be more at once.
func (o *Outbox) step(ctx context.Context) bool {
	batch, save, taken := o.next()
	o.options.Taken(taken...)
	if len(batch) == 0 {
		return false
	}
	if save != nil {
		if err := save(ctx); err != nil {
			o.options.Log.Debug("spans wait, as they could not be recorded in the Lease", "error", err)
			o.putBack(batch)
			return false
		}
	}
	if !o.committed(batch) {
		o.putBack(batch) // the next write of the Lease does not have them
		return false
	}
	return o.hand(batch)
}

// hand delivers what is being handed out, up to what fails, and reports whether nothing did.
func (o *Outbox) hand(batch []item) bool {
	var failed error
	for i := 0; i < len(batch) && failed == nil; i++ {
		failed = o.options.Deliver(batch[i].handedOut())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handing, o.failed = false, failed
	return failed == nil
}

// next are the traces to be recorded now; none while it is not their time.
func (o *Outbox) next() (batch []item, save func(context.Context) error, taken []journal.SpanKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.options.Now()
	crowded := o.spans > crowdedAt // what is recorded then waits in the queue, and may be in doubt
	switch {
	case !o.leading || o.ended || len(o.waiting) == 0 || o.failed != nil,
		!o.alone && now.Sub(o.saved) < saveEvery,
		!o.alone && len(o.open) > 0 && !crowded:
		return nil, nil, nil
	}
	size, n := 0, 0
	for _, it := range o.waiting {
		left, gone := o.left(it)
		taken = append(taken, gone...)
		if len(left.Spans) > 0 {
			e := entryOf(&left.Trace)
			if size += e.size(); size > mostBatchBytes && len(batch) > 0 && !o.alone {
				break
			}
			if from := beginsAt(&left.Trace); len(o.pending) == 0 || from.Before(o.pendingFrom) {
				o.pendingFrom = from
			}
			o.pending = append(o.pending, e)
		}
		if left.waits() {
			batch = append(batch, left)
		}
		o.weigh(&it, -1)
		n++
	}
	clear(o.waiting[:n])
	o.waiting = o.waiting[n:]
	if len(batch) > 0 {
		o.saved = now
	}
	return batch, o.save, taken
}

// putBack has a batch wait again.
func (o *Outbox) putBack(batch []item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending = nil
	o.waiting = append(batch, o.waiting...)
	for i := range batch {
		o.weigh(&batch[i], +1)
	}
}

// committed notes that a batch is recorded, and reports whether it is to be handed out.
func (o *Outbox) committed(batch []item) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	o.handing = true
	pending := o.pending
	o.pending = nil
	if o.alone {
		return true
	}
	now := o.options.Now()
	for i := range batch {
		if len(batch[i].Spans) == 0 {
			continue
		}
		from := beginsAt(&batch[i].Trace)
		for _, key := range journal.KeysOf(&batch[i].Trace) {
			o.open[key] = from
		}
	}
	for i, e := range pending {
		pending[i].written = now
		for _, h := range e.Spans {
			o.known[h] = told{now, e.End}
		}
	}
	o.record.Entries = append(o.record.Entries, pending...)
	o.forget(now)
	return true
}

// Stats returns the counters so far.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.stats
	out.Waiting, out.Leading = int64(o.spans), o.leading
	return out
}

// wrote counts a write of a Lease, which began at a time.
func (o *Outbox) wrote(began time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Writes++
	if err != nil {
		o.stats.Failures++
		return
	}
	o.confirmed = began
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
