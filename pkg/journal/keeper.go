package journal

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// markEvery is how often a mark is written, in stream time.
	markEvery = 5 * time.Minute
	// life is how long what was observed is kept as it is, in stream time. The engine
	// knows an Event for an hour and a half, and looks for old ones every ten minutes.
	life = 110 * time.Minute
	// recent is how long before the end of a journal a replay may build what the ledger
	// does not know. What it builds earlier was told, by an older version or from what was
	// compacted, in other words or not at all.
	recent = 30 * time.Minute
	// DefaultMaxBytes is Options.MaxBytes by default.
	DefaultMaxBytes = 1 << 30
	// compactAt is the least that a journal takes before it is compacted, in bytes.
	compactAt = 16 << 20
)

// Engine is what a Keeper needs of a *causality.Engine.
type Engine interface {
	Observe(causality.Observation) []spans.Trace
	Advance(now time.Time) []spans.Trace
	Hold()
	Release()
	Unsettled() []types.UID
	Preview() []spans.Trace
	About([]causality.Ref) []causality.Known
	Close() []spans.Trace
	Stats() causality.Stats
}

// Options of a Keeper.
type Options struct {
	// Dir is where the journal is, which the caller has locked. Empty: nothing is kept.
	Dir string
	// MaxBytes is how much it may take on the disk. Default DefaultMaxBytes.
	MaxBytes int64
	// Cluster is the UID of the cluster that is watched, empty where it is not known, and
	// Scope says what of it is. The journal of another cluster is refused, that of another
	// scope set aside.
	Cluster, Scope string
	// New makes an engine that has seen nothing. Required.
	New func() Engine
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
	// Redact replaces in an object, decoded from JSON, what nobody may see, before it is put
	// into a file for people. Default: nothing.
	Redact func(map[string]any)
	// Found returns the spans that are known to a Queue: they are acknowledged as far as this
	// journal is concerned. Default: none.
	Found func() []SpanKey
	// Observed is called for each observation of a journal, oldest first, before the engine
	// gets it. Reset is called where the replay begins, which it may more than once.
	Observed func(stream.Observation)
	Reset    func()
	// Interrupted says, with an error, that Recover is to end, as the process is. Default: never.
	Interrupted func() error
}

// Keeper has an engine and its journal: what goes in is on the disk before it goes in. Its
// methods are for one goroutine, but for Acknowledge, Settle, Stats and Close.
//
// A disk that fails does not end the program: the failure is logged once and counted, and the
// engine goes on in memory alone. The journal, which lacks what came since, says so: the next
// process hands out what of it was not acknowledged, and begins anew behind it.
type Keeper struct {
	options Options
	engine  Engine
	now     time.Time // stream time
	// clock is stream time as the journal is kept by, which goes back where the machine's clock
	// was set back: until its time has come again nothing would be marked, and all would be kept.
	clock time.Time

	observed *series // nil where nothing is kept
	body     []byte
	// seqs are the numbers of the observations of a batch.
	seqs []uint64
	// listed are the sources whose first lists are through, and cluster the record of whose
	// they are.
	listed  map[string]bool
	cluster []byte
	// positions are up to where what is watched was seen, moved those that are to be written, and at
	// those that a batch leads to.
	positions map[string]string
	moved     map[string]bool
	at        []Position
	// missed is what the journal had of what was missed, and awaits says that it has some that is not
	// told.
	missed   []Missed
	awaits   bool
	lacks    bool // a replay has found that something is lost, which is not written yet
	stopping *stopNote
	// stopped says that the journal had, and is not gone on with yet; uncompacted that it was
	// logged that it could not be compacted, and damaged why.
	stopped, uncompacted, damaged bool

	replayed   int              // observations and times of the last replay
	marked     time.Time        // when the last mark was written
	sinceMark  int              // observations since then
	end        time.Time        // of the journal that is replayed; zero when it is over
	compacting chan *compaction // nil while nothing is compacted
	tight      bool             // groups are cut that take little, too
	base       int64            // what the observations took when they were compacted last

	mu     sync.Mutex
	handed *series // nil where nothing is kept
	ledger *ledger
	// given are the spans that this process has handed out and that are not acknowledged.
	given map[SpanKey]bool
	// adopted says that the ledger knows what a Queue had found.
	adopted bool
	// unsettled is what a write of the ledger has failed with.
	unsettled error
	stats     Stats
}

// Stats say how a Keeper fares. All but Bytes only grow.
type Stats struct {
	// Bytes is what the journal takes on the disk, and Records how many were written.
	Bytes, Records int64
	// Corrupt is how many damaged segments were set aside, and Torn how many tails were cut off.
	Corrupt, Torn int64
	// Unreadable is how many records this version could not read.
	Unreadable int64
	// Failures is how often the disk failed, after which nothing is kept.
	Failures int64
	// Poisoned is how many observations were set aside because the engine does not survive them.
	Poisoned int64
	// Recovered is how many observations the engine was given again, and RecoveryTime how long
	// that took.
	Recovered    int64
	RecoveryTime time.Duration
	// Known is how many spans of the replay were dropped, as they had been handed out, and
	// Passed how many as they were not built when the engine was there first.
	Known, Passed int64
	// Unacknowledged is how many traces wait to be acknowledged.
	Unacknowledged int64
	// Compactions is how often the journal was compacted.
	Compactions int64
}

// Open returns a Keeper of the journal in a directory, which it makes. Recover must be called
// before anything else. An error of type *NewerError is about the format.
func Open(o Options) (*Keeper, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	k := &Keeper{options: o, listed: map[string]bool{}, ledger: newLedger(), given: map[SpanKey]bool{}}
	if o.Dir == "" {
		return k, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		k.fail(err)
		return k, nil
	}
	k.observed, k.handed = newSeries(o.Dir, "observed"), newSeries(o.Dir, "handed")
	note, stopped, err := openStopNote(k.file("stopped"))
	if k.stopping = note; err != nil {
		k.fail(err)
		return k, nil
	}
	k.stopped = stopped
	full := min(segmentBytes, o.MaxBytes/16)
	k.observed.full, k.handed.full = full, full
	for _, s := range []*series{k.observed, k.handed} {
		var newer *NewerError
		if err := s.open(); errors.As(err, &newer) {
			return nil, err
		} else if err != nil {
			k.fail(err)
			return k, nil
		}
	}
	return k, nil
}

// fail goes on in memory alone.
func (k *Keeper) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failLocked(err)
}

func (k *Keeper) failLocked(err error) {
	k.stats.Failures++
	if k.observed == nil && k.stats.Failures > 1 {
		return
	}
	kept := k.stop()
	means := "what was written by now is kept for the next process; what came later, and is not handed out when this one ends, is lost"
	if !kept {
		means = "what is not handed out when the process ends is lost"
	}
	k.options.Log.Error("the journal cannot be written; it goes on in memory alone, and "+means, "dir", k.options.Dir, "error", err)
}

// Kept reports whether there is a journal.
func (k *Keeper) Kept() bool { return k.observed != nil }

// Observe takes in observations, and returns what had finished by then: it may be handed out.
// The batch is the Keeper's until it returns.
func (k *Keeper) Observe(batch ...stream.Observation) (out []spans.Trace) {
	for i := range batch {
		batch[i].Time = asWritten(batch[i].Time)
	}
	k.write(batch)
	for i, o := range batch {
		k.passes(o.Time, false)
		seq := uint64(0)
		if i < len(k.seqs) {
			seq = k.seqs[i]
		}
		told, rebuilt := k.guarded(seq, o)
		out = append(out, told...)
		if rebuilt { // with all of the batch, which is in the journal
			return out
		}
	}
	k.sinceMark += len(batch)
	return k.ready(out)
}

// asWritten is a time as a replay has it: without the reading of the monotonic clock, which
// differences of times are made of that have one, and which is some nanoseconds off.
func asWritten(t time.Time) time.Time { return t.Round(0) }

// write puts observations on the disk.
func (k *Keeper) write(batch []stream.Observation) {
	k.seqs = k.seqs[:0]
	if !k.Kept() {
		return
	}
	for i, o := range batch {
		body, err := EncodeObservation(k.body[:0], o)
		if err != nil {
			k.fail(err)
			return
		}
		k.body = body
		k.seqs = append(k.seqs, k.observed.append(body))
		if i < len(k.at) {
			k.reach(k.at[i])
		}
		if len(k.observed.pending) >= flushAt { // a batch may be of any size, a frame may not
			k.appendPositions()
			if err := k.observed.flush(false); err != nil {
				k.fail(err)
				return
			}
		}
	}
	k.appendPositions()
	k.flush(len(batch))
}

// flush writes the records that were appended.
func (k *Keeper) flush(records int) {
	if err := k.observed.flush(false); err != nil {
		k.fail(err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.Records += int64(records)
	k.measure()
}

// measure notes what the journal takes on the disk. The caller holds the lock.
func (k *Keeper) measure() {
	k.stats.Bytes = k.observed.bytes()
	if k.handed != nil { // it was not closed
		k.stats.Bytes += k.handed.bytes()
	}
}

// record writes one record.
func (k *Keeper) record(body []byte) {
	if k.Kept() {
		k.observed.append(body)
		k.flush(1)
	}
}

// Advance moves stream time to now, and returns what that finished.
func (k *Keeper) Advance(now time.Time) []spans.Trace {
	now = asWritten(now)
	k.record(appendTime([]byte{recTime}, now))
	k.passes(now, true)
	return k.ready(k.engine.Advance(now))
}

// passes notes that it is a time, by what is observed or, with isClock, by the machine's clock.
func (k *Keeper) passes(at time.Time, isClock bool) {
	if at.After(k.now) {
		k.now = at
	}
	if at.After(k.clock) || isClock && k.clock.Sub(at) > markEvery {
		k.clock = at
	}
}

// Now is the stream time.
func (k *Keeper) Now() time.Time { return k.now }

// Hold and Release are the engine's.
func (k *Keeper) Hold() {
	k.record([]byte{recHold})
	k.engine.Hold()
}

// Release ends Hold.
func (k *Keeper) Release() {
	k.record([]byte{recRelease})
	k.engine.Release()
}

// Listed notes that the first list of a source is through.
func (k *Keeper) Listed(source string) {
	if !k.listed[source] {
		k.listed[source] = true
		k.record(append([]byte{recListed}, source...))
	}
}

// WasListed reports whether the first list of a source was through before this process began,
// or has been since.
func (k *Keeper) WasListed(source string) bool { return k.listed[source] }

// ListedBefore are the sources whose first lists were through by now: a copy, for other goroutines.
func (k *Keeper) ListedBefore() map[string]bool { return maps.Clone(k.listed) }

// Finish is the engine's Close, for a Keeper that keeps nothing: what is over and nobody will
// tell of is handed out. With a journal the next process goes on.
func (k *Keeper) Finish() []spans.Trace {
	if k.Kept() {
		return nil
	}
	return k.engine.Close()
}

// Resumes reports whether there was a journal to go on with.
func (k *Keeper) Resumes() bool { return k.replayed > 0 }

// EngineStats are the engine's.
func (k *Keeper) EngineStats() causality.Stats { return k.engine.Stats() }

// Preview is what the engine says of what is in progress.
func (k *Keeper) Preview() []spans.Trace { return k.engine.Preview() }

// About is what the engine knows of objects.
func (k *Keeper) About(refs []causality.Ref) []causality.Known { return k.engine.About(refs) }

// ready notes what was built, and makes what it was built from survive the machine. It
// returns what of it is to be handed out.
func (k *Keeper) ready(built []spans.Trace) []spans.Trace {
	if len(built) == 0 || !k.Kept() {
		return built
	}
	out := k.note(built)
	if len(out) > 0 && k.end.IsZero() && k.Kept() { // to note it may have ended the keeping
		if err := k.observed.flush(true); err != nil {
			k.fail(err)
		}
	}
	return out
}

// note leaves out what was handed out before, and writes the rest into the ledger.
func (k *Keeper) note(built []spans.Trace) (out []spans.Trace) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil { // it was closed, and nothing is handed out that is not noted
		return nil
	}
	passed := !k.end.IsZero() && k.now.Before(k.end.Add(-recent))
	for _, t := range built {
		t = k.untold(t, passed)
		keys := KeysOf(&t)
		if len(keys) == 0 {
			continue
		}
		out = append(out, t)
		known := true
		for _, key := range keys {
			known = known && k.ledger.isBuilt(key)
			k.given[key] = true
		}
		if known {
			continue
		}
		seq := k.handed.append(encodeBuilt(nil, k.clock, keys))
		k.ledger.built(seq, k.clock, keys)
	}
	if err := k.flushLedger(false); err != nil {
		k.failLocked(err)
	}
	return out
}

// untold is a trace without the spans that were handed out, or passed over. The caller holds
// the lock.
func (k *Keeper) untold(t spans.Trace, passed bool) spans.Trace {
	left := map[SpanKey]bool{}
	keys := KeysOf(&t)
	for i, key := range keys {
		switch {
		case k.given[key]:
		case k.ledger.isTaken(key):
			k.stats.Known++
		case passed && !k.ledger.isBuilt(key):
			k.stats.Passed++
		default:
			left[key] = true
			continue
		}
		if i == 0 {
			t.Late = true // its root went out before
		}
	}
	if len(left) == len(keys) {
		return t
	}
	if t.Record != nil {
		return spans.Trace{}
	}
	t.Spans = only(left, t.Spans)
	if t.Selection != nil {
		sent := only(left, t.Selection.Spans)
		t.Selection = &spans.Selection{Spans: sent, LeftOut: max(len(t.Spans)-len(sent), 0)}
	}
	return t
}

// Acknowledge notes that spans are where nothing of this process is needed any more: the
// collector has them, or they are on another disk, or nobody will ever send them. Until then
// they are built again after a restart. It may be called from any goroutine.
func (k *Keeper) Acknowledge(keys ...SpanKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		delete(k.given, key)
	}
	taken := k.ledger.acknowledge(keys)
	if len(taken) > 0 && k.handed != nil {
		k.handed.append(encodeNumbers(recTaken, taken...))
	}
}

// Tick is to be called about once a second: it writes what was acknowledged, and has the
// journal compacted when it has grown.
func (k *Keeper) Tick() {
	if !k.Kept() {
		return
	}
	k.syncLedger()
	if k.Kept() && k.sinceMark > 0 && k.clock.Sub(k.marked).Abs() >= markEvery {
		k.mark()
	}
	if k.Kept() {
		k.compact()
	}
}

// syncLedger makes what was noted of spans survive the machine.
func (k *Keeper) syncLedger() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return // the disk has failed
	}
	if err := k.flushLedger(true); err != nil {
		k.failLocked(err)
	}
}

// mark notes of what something is still to be told.
func (k *Keeper) mark() {
	k.marked, k.sinceMark = k.clock, 0
	k.record(encodeMark(nil, k.clock, k.engine.Unsettled()))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ledger.forgetTaken(k.clock.Add(-life - recent))
}

// Rest ends the observing: what is open goes on in the next process. Only Acknowledge, Stats
// and Close may be called afterwards.
func (k *Keeper) Rest() error {
	if !k.Kept() {
		return nil
	}
	k.mark()
	k.syncLedger()
	if !k.Kept() {
		return nil
	}
	err := k.observed.close()
	k.observed = nil
	return err
}

// Forsake is Rest where what was observed is of a past that is none any more, as a cluster was
// restored from a backup: the next process begins with a new engine, and does not hand out again
// what was. It returns what is over and nobody will tell of.
func (k *Keeper) Forsake() []spans.Trace {
	over := k.engine.Close()
	if !k.Kept() {
		return over
	}
	over = k.note(over)
	if k.Kept() { // to note it may have ended the keeping
		k.mark()
	}
	if k.recordStop() {
		if err := k.observed.close(); err != nil {
			k.fail(err)
		}
		k.observed = nil
	}
	return over
}

// Close writes what was acknowledged since. It may be called from any goroutine, even while the
// one whose the Keeper is does not end: nothing is handed out any more then.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return nil
	}
	err := k.handed.close()
	k.handed = nil
	k.stopping.close()
	return err
}

// Stats returns the counters so far.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.stats
	waiting, _ := k.ledger.waiting(k.given)
	out.Unacknowledged = int64(waiting)
	return out
}

// file is a file beside the segments.
func (k *Keeper) file(name string) string { return filepath.Join(k.options.Dir, name) }
