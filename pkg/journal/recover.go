package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Recover gives a new engine all that is in the journal, and returns what of that is to be
// handed out: what was not acknowledged. It returns an error only where hand or
// Options.Interrupted does.
func (k *Keeper) Recover(hand func([]spans.Trace) error) error {
	if !k.Kept() {
		k.adopt()
		k.engine = k.options.New()
		return nil
	}
	began := time.Now()
	k.readLedger()
	k.adopt()
	for k.Kept() {
		err := k.replayHealthy(hand)
		var failed *handError
		var other *OtherClusterError
		switch {
		case errors.As(err, &failed):
			return failed.err
		case errors.As(err, &other):
			return other
		case errors.Is(err, errScope):
			if err := k.beginAnew(); err != nil {
				k.fail(err)
			}
			continue
		}
		if err != nil {
			k.fail(err)
		}
		break
	}
	if k.Kept() && k.stopped {
		k.goOnBehind()
	}
	// A later replay tells nobody what is there, and takes place whatever happens.
	k.options.Observed, k.options.Reset, k.options.Interrupted = nil, nil, nil
	if !k.Kept() {
		k.engine, k.replayed = k.options.New(), 0
	} else if ours := k.whose(); !bytes.Equal(k.cluster, ours) {
		k.record(ours)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.RecoveryTime = time.Since(began)
	if k.Kept() {
		k.measure()
		k.base = k.observed.bytes()
	}
	return nil
}

// OtherClusterError says that a journal is another cluster's.
type OtherClusterError struct {
	// Dir is where the journal is, Cluster the UID of whose it is.
	Dir, Cluster string
}

// Error says what to do.
func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("%s has the journal of another cluster (the UID of its namespace kube-system is %s); name another --data-dir for this one", e.Dir, e.Cluster)
}

// errScope says that a journal is of other namespaces.
var errScope = errors.New("the journal is of other namespaces")

// whose is the record that says whose journal it is.
func (k *Keeper) whose() []byte {
	return append([]byte{recCluster}, k.options.Cluster+"\x00"+k.options.Scope...)
}

// isOurs says whether a record of whose journal it is names what is watched.
func (k *Keeper) isOurs(body []byte) error {
	cluster, scope, _ := strings.Cut(string(body[1:]), "\x00")
	switch {
	case cluster != "" && k.options.Cluster != "" && cluster != k.options.Cluster:
		return &OtherClusterError{k.options.Dir, cluster}
	case scope != k.options.Scope:
		return errScope
	}
	k.cluster = bytes.Clone(body)
	return nil
}

// beginAnew sets all segments aside.
func (k *Keeper) beginAnew() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.options.Log.Warn("other namespaces are watched than before: the journal begins anew, and what was there is set aside under names that end in .other",
		"dir", k.options.Dir)
	for _, s := range []*series{k.observed, k.handed} {
		for _, seg := range s.segments {
			if err := os.Rename(seg.path, seg.path+".other"); err != nil {
				return err
			}
		}
		s.segments = nil
	}
	k.ledger = newLedger()
	return nil
}

// readLedger reads what was handed out.
func (k *Keeper) readLedger() {
	k.mu.Lock()
	k.ledger = newLedger()
	damaged, err := k.handed.recover(func(e entry) error {
		err := k.ledger.read(e)
		if errors.Is(err, errUnknown) {
			k.stats.Unreadable++
			return nil
		}
		return err
	})
	k.mu.Unlock()
	k.report(damaged, "spans that the collector has may be sent to it again, as they were")
	if err != nil {
		k.fail(err)
	}
}

// report says what was found wrong with segments.
func (k *Keeper) report(damaged []damage, means string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range damaged {
		if d.aside == "" {
			k.stats.Torn++
			k.options.Log.Info("the journal's last record was not written to its end; what there is of it is cut off",
				"file", d.path, "bytes", d.lost)
			continue
		}
		k.stats.Corrupt++
		k.options.Log.Error("a segment of the journal is damaged, and is set aside; what comes before the damage is used, and "+means,
			"file", d.path, "aside", d.aside, "bytes", d.lost, "error", d.why)
	}
}

// handError is an error of who takes traces, or who has the replay end.
type handError struct{ err error }

func (e *handError) Error() string { return e.err.Error() }

// poison is an observation that the engine does not survive.
type poison struct {
	seq         uint64
	observation stream.Observation
	why         string
}

func (p *poison) Error() string { return p.why }

// replayHealthy replays the journal without the observations that the engine does not survive,
// which it sets aside.
func (k *Keeper) replayHealthy(hand func([]spans.Trace) error) error {
	for k.Kept() {
		err := k.replay(hand)
		p, ok := errors.AsType[*poison](err)
		if !ok {
			return err
		}
		k.setAside(p)
	}
	return nil
}

// replay feeds the journal to a new engine. What happened in a replay that did not come to its
// end does not count, but for what was handed out, which is in the ledger.
func (k *Keeper) replay(hand func([]spans.Trace) error) error {
	k.engine, k.now, k.clock, k.listed, k.cluster = k.options.New(), time.Time{}, time.Time{}, map[string]bool{}, nil
	k.marked, k.sinceMark = time.Time{}, 0
	k.nowhere()
	if k.options.Reset != nil {
		k.options.Reset()
	}
	k.end = lastTime(k.observed.segments)
	defer func() { k.end = time.Time{} }()
	at, err := openProgress(k.file("replaying"), k.ledger.skipped)
	if err != nil {
		return err
	}
	defer at.close()
	if at.poisoned != 0 {
		k.mu.Lock()
		k.skip(at.poisoned)
		k.mu.Unlock()
		k.options.Log.Error("the process died twice of one observation; it is passed over from now on", "record", at.poisoned)
		if !k.Kept() {
			return nil
		}
	}
	r := &replaying{at: at, hand: hand}
	k.replayed = 0
	damaged, err := k.observed.recover(func(e entry) error { return k.replayRecord(r, e) })
	k.report(damaged, "what happened then is known only as far as objects and Events still prove it")
	if errors.Is(err, errStopped) {
		return nil
	}
	// A segment that is aside is not found again: not by the replay after this one, if that ended
	// early, nor by the next process.
	k.lacks = k.lacks || r.unread || slices.ContainsFunc(damaged, func(d damage) bool { return d.aside != "" })
	if k.lacks {
		k.lost()
	}
	if err == nil && k.lacks {
		k.lacks = false
		k.appendPositions()
		if err := k.observed.flush(true); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.Recovered = r.observations
	return err
}

// replaying is a replay that goes on.
type replaying struct {
	at           *progress
	hand         func([]spans.Trace) error
	observations int64
	unread       bool // a record could not be read
}

// replayRecord does what a record says, and hands out what that finished.
func (k *Keeper) replayRecord(r *replaying, e entry) error {
	if k.options.Interrupted != nil {
		if err := k.options.Interrupted(); err != nil {
			return &handError{err}
		}
	}
	if k.ledger.skipped[e.seq] {
		return nil
	}
	if err := r.at.enter(e.seq); err != nil {
		return err
	}
	built, err := k.again(e)
	var p *poison
	var other *OtherClusterError
	switch {
	case errors.As(err, &p), errors.As(err, &other), errors.Is(err, errScope):
		return err
	case err != nil:
		k.unreadable(e.seq, err)
		r.unread = true
		return nil
	}
	switch e.body[0] {
	case recObserved:
		r.observations++
		k.replayed++
	case recTime:
		k.replayed++
	}
	if out := k.ready(built); len(out) > 0 {
		if err := r.hand(out); err != nil {
			return &handError{err}
		}
	}
	if !k.Kept() {
		return errStopped // nothing would say any more what was handed out before
	}
	return nil
}

// errStopped says that the keeping has ended in a replay.
var errStopped = errors.New("the journal has stopped")

// unreadable says that a record is not what this version can read.
func (k *Keeper) unreadable(seq uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.Unreadable++
	if k.stats.Unreadable == 1 {
		k.options.Log.Error("a record of the journal cannot be read, and is passed over; others that cannot be are only counted", "record", seq, "error", err)
	}
}

// again does what a record says.
func (k *Keeper) again(e entry) (built []spans.Trace, err error) {
	if len(e.body) < 1 {
		return nil, errDamaged
	}
	if e.body[0] != recMark {
		k.passes(timeOfRecord(e.body), e.body[0] == recTime)
	}
	switch e.body[0] {
	case recObserved:
		o, wrong := DecodeObservation(e.body)
		if wrong != nil {
			return nil, wrong
		}
		if k.options.Observed != nil {
			k.options.Observed(o)
		}
		k.sinceMark++
		return k.observe(e.seq, o)
	case recTime:
		now, _, err := readTime(e.body[1:])
		if err != nil {
			return nil, err
		}
		return k.engine.Advance(now), nil
	case recMark:
		k.marked, k.sinceMark = timeOfRecord(e.body), 0
	case recListed:
		k.listed[string(e.body[1:])] = true
	case recCluster:
		return nil, k.isOurs(e.body)
	case recHold:
		k.engine.Hold()
	case recRelease:
		k.engine.Release()
	case recPosition:
		k.place(decodePosition(e.body))
	case recMissed:
		m, wrong := decodeMissed(e.body)
		if wrong != nil {
			return nil, wrong
		}
		k.missed, k.awaits = append(k.missed, m), true
	case recToldMissed:
		k.missed, k.awaits = nil, false
	case recStopped:
		k.stoppedHere()
	default:
		return nil, errUnknown
	}
	return nil, nil
}

// observe gives the engine an observation. One that the engine does not survive is a *poison.
func (k *Keeper) observe(seq uint64, o stream.Observation) (built []spans.Trace, err error) {
	defer func() {
		if why := recover(); why != nil {
			built, err = nil, &poison{seq, o, fmt.Sprintf("%v\n%s", why, debug.Stack())}
		}
	}()
	return k.engine.Observe(o), nil
}

// guarded gives the engine an observation. If the engine does not survive it, it is set aside,
// and the engine is rebuilt: a new one is given all others again. Without a journal, or where
// its disk fails meanwhile, the process ends.
func (k *Keeper) guarded(seq uint64, o stream.Observation) (out []spans.Trace, rebuilt bool) {
	if seq == 0 || !k.Kept() {
		return k.engine.Observe(o), false
	}
	out, err := k.observe(seq, o)
	p, ok := errors.AsType[*poison](err)
	if !ok {
		return out, false
	}
	k.setAside(p) // which writes what was acknowledged, too
	if k.Kept() {
		k.readLedger() // in memory there is only what is not acknowledged
		err = k.replayHealthy(func(again []spans.Trace) error { out = append(out, again...); return nil })
		if err != nil {
			k.fail(err)
		}
		k.missed = nil // who is to tell it has it
	}
	if !k.Kept() { // nor is there an engine that has seen all
		panic(p.why)
	}
	return out, true
}

// setAside writes an observation to a file, and has all replays pass it over.
func (k *Keeper) setAside(p *poison) {
	path := k.file(fmt.Sprintf("poisoned-%d.json", p.seq))
	object, err := k.shown(p.observation.Object)
	var content []byte
	if err == nil {
		content, err = json.MarshalIndent(map[string]any{
			"time": p.observation.Time, "type": p.observation.Type, "initial": p.observation.Initial, "object": object,
		}, "", "  ")
	}
	if err == nil {
		err = WriteFile(path, content)
	}
	k.options.Log.Error("this is a mistake in rollspan, please report it; an observation is passed over, and all else is looked at again",
		"record", p.seq, "file", path, "reason", p.why, "error", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.skip(p.seq)
}

// shown is an object as others may see it.
func (k *Keeper) shown(object runtime.Object) (any, error) {
	if k.options.Redact == nil || object == nil {
		return object, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err == nil {
		k.options.Redact(content)
	}
	return content, err
}

// skip has all replays pass an observation over. The caller holds the lock.
func (k *Keeper) skip(seq uint64) {
	k.stats.Poisoned++
	k.ledger.skipped[seq] = true
	if k.handed == nil {
		return // it was closed
	}
	k.handed.append(encodeNumbers(recSkip, seq))
	if err := k.handed.flush(true); err != nil {
		k.failLocked(err)
	}
}

// lastTime is the latest time in segments.
func lastTime(segments []segment) (last time.Time) {
	for i := len(segments) - 1; i >= 0 && last.IsZero(); i-- {
		_, _ = readSegment(segments[i], func(e entry) error { // as far as it can be read
			if t := timeOfRecord(e.body); t.After(last) {
				last = t
			}
			return nil
		})
	}
	return last
}

// progress says in a file which record is replayed, for the process that comes after one
// that has died of it: a stack that overflows, or too little memory, cannot be recovered.
// A record at which two processes in a row have died is poisoned.
type progress struct {
	file *os.File
	// before and deaths are where the process before died, and how many have in a row.
	before, deaths uint64
	poisoned       uint64
}

func openProgress(path string, skipped map[uint64]bool) (*progress, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &progress{file: f}
	var b [16]byte
	if n, _ := f.ReadAt(b[:], 0); n == len(b) {
		p.before, p.deaths = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])+1
	}
	if p.deaths >= 2 && !skipped[p.before] {
		p.poisoned = p.before
	}
	return p, nil
}

// enter notes the record that is about to be replayed.
func (p *progress) enter(seq uint64) error {
	deaths := uint64(0)
	if seq == p.before {
		deaths = p.deaths
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], seq)
	binary.LittleEndian.PutUint64(b[8:], deaths)
	_, err := p.file.WriteAt(b[:], 0)
	return err
}

// close says that nobody died.
func (p *progress) close() {
	_ = p.file.Truncate(0) // if it cannot be, the next one is warned of what is over
	_ = p.file.Close()
}
