package journal

import (
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Replayed is how many observations and times the last replay had.
func (k *Keeper) Replayed() int { return k.replayed }

// Next is the number of the next record of what is observed.
func (k *Keeper) Next() uint64 { return k.observed.next }

// Segments are the files of the observations, and Ledger those of what was handed out.
func (k *Keeper) Segments() (paths []string) { return pathsOf(k.observed) }

// Ledger are the files of what was handed out.
func (k *Keeper) Ledger() (paths []string) { return pathsOf(k.handed) }

func pathsOf(s *series) (paths []string) {
	for _, seg := range s.segments {
		paths = append(paths, seg.path)
	}
	return paths
}

// AcknowledgeAll notes that for all spans of traces.
func (k *Keeper) AcknowledgeAll(traces []spans.Trace) {
	var keys []SpanKey
	for i := range traces {
		keys = append(keys, KeysOf(&traces[i])...)
	}
	k.Acknowledge(keys...)
}

// Fill makes segments full when they have so many bytes.
func (k *Keeper) Fill(bytes int64) { k.observed.full, k.handed.full = bytes, bytes }

// CompactNow compacts the journal, to its end.
func (k *Keeper) CompactNow() error {
	k.mark()
	if err := k.startCompaction(); err != nil {
		return err
	}
	c := <-k.compacting
	k.compacting = nil
	return k.compacted(c)
}

// Tighten has groups cut that take little, too.
func (k *Keeper) Tighten() { k.tight = true }

// Mark writes a mark.
func (k *Keeper) Mark() { k.mark() }

// Kill leaves the files as a process leaves them that is killed.
func (k *Keeper) Kill() {
	for _, s := range []*series{k.observed, k.handed} {
		if s != nil && s.file != nil {
			_ = s.file.Close()
		}
	}
}

// Life and Recent are constants of the journal.
const (
	Life   time.Duration = life
	Recent time.Duration = recent
)

// LogTo has messages go elsewhere.
func (k *Keeper) LogTo(log *slog.Logger) { k.options.Log = log }

// WaitCompacted waits for what was begun.
func (k *Keeper) WaitCompacted() {
	if k.compacting == nil {
		return
	}
	c := <-k.compacting
	k.compacting <- c
	k.compact()
}

// Fill makes files of a queue full when they have so many bytes.
func (q *Queue) Fill(bytes int64) { q.data.full, q.done.full = bytes, 200 }

// Files are the files of a queue.
func (q *Queue) Files() []string { return append(pathsOf(q.data), pathsOf(q.done)...) }

// Synced is how many bytes of its files the machine will not forget: those that are sealed, and
// up to the last record that Kept was told of.
func (q *Queue) Synced() map[string]int64 {
	out := map[string]int64{}
	for _, s := range []*series{q.data, q.done} {
		for i, seg := range s.segments {
			if i < len(s.segments)-1 {
				out[seg.path] = seg.bytes
			}
		}
	}
	unsynced := map[uint64]bool{}
	for _, k := range q.unsynced {
		unsynced[k.record] = true
	}
	if n := len(q.data.segments); n > 0 {
		last := q.data.segments[n-1]
		out[last.path] = last.bytes
		for r := q.first; r != nil; r = r.next {
			if r.segment == last.index && unsynced[r.number] {
				out[last.path] = min(out[last.path], r.offset)
			}
		}
	}
	return out
}

// Break has the disk of a queue fail.
func (q *Queue) Break() { _ = q.data.file.Close() }

// Kill leaves the files as a process leaves them that is killed.
func (q *Queue) Kill() {
	for _, s := range []*series{q.data, q.done} {
		if s.file != nil {
			_ = s.file.Close()
		}
	}
}

// FillLedger makes those of what was handed out full when they have so many bytes.
func (k *Keeper) FillLedger(bytes int64) { k.handed.full = bytes }

// BreakLedger has the disk fail where the next thing is written of what was handed out.
func (k *Keeper) BreakLedger() { _ = k.handed.file.Close() }

// ReadFile reads a file of a journal, and returns how much of it is whole.
func ReadFile(path string, bytes int64) (good int64, err error) {
	return readSegment(segment{path: path, bytes: bytes}, func(entry) error { return nil })
}

// ErrDamaged is what reading says of what was not written so.
var ErrDamaged = errDamaged

// Header begins a file of a journal.
func Header() []byte { return header(0) }

// SetAside gives a damaged file another name, and leaves what of it is good.
func SetAside(path string, good int64) error {
	_, err := setAside(path, good)
	return err
}

// CannotRead has the disk fail to read a file until the test ends.
func CannotRead(t testing.TB, path string) {
	t.Cleanup(func() { readFile = os.ReadFile })
	readFile = func(name string) ([]byte, error) {
		if name == path {
			return nil, &os.PathError{Op: "read", Path: name, Err: syscall.EIO}
		}
		return os.ReadFile(name)
	}
}
