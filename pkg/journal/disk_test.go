package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// A disk may take what was observed and then have no room for what was handed out: the journal
// stops, as with any other disk that fails, and the process goes on.
func TestDiskFailsUnderTheLedger(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	k.LogTo(slog.New(slog.DiscardHandler))
	l := &life{k, to, always}
	for len(to.bytes) == 0 { // until something was handed out
		l.hand(taken(k, steps[0]))
		steps = steps[1:]
	}
	k.BreakLedger()
	for _, s := range steps { // no tick finds out first
		l.hand(taken(k, s))
	}
	undisturbed(t, load(t, oneRecording)).compare(to, "without a ledger")
	to.once("without a ledger")
	if stats := k.Stats(); k.Kept() || stats.Failures != 1 {
		t.Errorf("%+v", stats)
	}
}

// Where that happens in a replay, what the collector has is not told again: the replay ends there.
func TestDiskFailsUnderTheLedgerInAReplay(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	l.FillLedger(512)
	l.live(steps)
	l.Tick()
	l.Kill()
	ledger := l.Ledger()
	if len(ledger) < 2 {
		t.Fatalf("a ledger of %d files", len(ledger))
	}
	if err := os.Remove(ledger[0]); err != nil { // so that there is something to note
		t.Fatal(err)
	}
	k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(ledger) + 1 { // nothing can be written, whatever it would be called
		path := strings.Replace(ledger[0], "0000000001", "000000000"+string(rune('1'+i)), 1)
		if _, err := os.Lstat(path); err != nil {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	handed := 0
	if err := k.Recover(func(out []spans.Trace) error { handed++; to.add(out); return nil }); err != nil {
		t.Fatal(err)
	}
	if handed != 1 || k.Kept() || k.Stats().Failures != 1 {
		t.Errorf("it handed out %d times, %+v", handed, k.Stats())
	}
}

// A machine that fails may leave a file with its new size and zeros in the place of what was
// written last. That is a tail that is torn, and no damage: the positions count.
func TestZerosBehindTheEnd(t *testing.T) {
	steps := load(t, oneRecording)
	for where, spoil := range map[string]func([]byte) []byte{
		"behind the last frame": func(b []byte) []byte { return append(b, make([]byte, 5001)...) },
		"in the last frames": func(b []byte) []byte {
			clear(b[len(b)*3/4:])
			return append(b, make([]byte, 4096)...)
		},
		"in all of it": func(b []byte) []byte { clear(b); return b },
	} {
		t.Run(where, func(t *testing.T) {
			dir, to := t.TempDir(), newTold(t)
			l := begin(t, dir, to, always)
			l.Reached(journal.Position{Source: "pods", Version: "1"})
			l.Fill(4 << 10)
			l.live(steps)
			l.Kill()
			paths := l.Segments()
			path := paths[len(paths)-1]
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := bytes.Clone(content)
			if err := os.WriteFile(path, spoil(content), 0o600); err != nil {
				t.Fatal(err)
			}
			k, said := quietly(t, dir, newEngine, to)
			if stats := k.Stats(); stats.Torn != 1 || stats.Corrupt != 0 || k.Positions()["pods"] != "1" {
				t.Errorf("%+v, positions %v: %s", stats, k.Positions(), said)
			}
			if left, err := os.ReadFile(path); !bytes.HasPrefix(whole, left) || where == "behind the last frame" && len(left) != len(whole) {
				t.Errorf("%d of %d bytes are left: %v", len(left), len(whole), err)
			}
			k.Kill()
			if k, said := quietly(t, dir, newEngine, to); said != "" {
				t.Errorf("it is said again: %s", said)
			} else {
				k.Kill()
			}
		})
	}
}

// What a damaged file says of its sizes takes no memory.
func TestSizesAreNotTrusted(t *testing.T) {
	const size = 1 << 30
	path := filepath.Join(t.TempDir(), "observed-0000000001.journal")
	for _, head := range [][3]uint32{{size / 2, 1, 1 << 20}, {0, 0, 0}, {100, 1, 64 << 20}, {size / 2, 1, 0}} {
		content := journal.Header()
		for _, v := range head {
			content = binary.LittleEndian.AppendUint32(content, v)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(content)
		_, errEnd := f.WriteAt([]byte{1}, size-1) // the rest is a hole
		if err := errors.Join(err, errEnd, f.Close()); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		good, err := journal.ReadFile(path, size)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, journal.ErrDamaged) || good != int64(len(journal.Header())) || took > 1<<20 {
			t.Errorf("%v: %d bytes are good, %d were taken: %v", head, good, took, err)
		}
	}
}

// A damaged segment may be as large as the journal: it is set aside without having it in memory.
func TestLargeSegmentIsSetAside(t *testing.T) {
	const size = 16 << 20
	steps := load(t, oneRecording)
	dir, to, k := lived(t, steps)
	path := k.Segments()[0]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{1}, size-1)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	quiet, _ := quietly(t, dir, newEngine, to)
	if aside, err := os.ReadFile(path + ".corrupt"); err != nil || !bytes.Equal(aside, content) {
		t.Errorf("%d bytes are aside: %v", len(aside), err)
	}
	quiet.Kill()
	before, after := new(runtime.MemStats), new(runtime.MemStats)
	runtime.ReadMemStats(before)
	if err := journal.SetAside(path+".corrupt", 4<<10); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("it takes %d bytes of memory", took)
	}
}

// A journal that cannot be compacted, as something in it is damaged, does not grow past its bound,
// and what is damaged is counted once.
func TestDamagedJournalIsBounded(t *testing.T) {
	steps := load(t, oneRecording)
	k, err := journal.Open(journal.Options{Dir: t.TempDir(), New: newEngine, MaxBytes: 20 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(func([]spans.Trace) error { return nil }); err != nil {
		t.Fatal(err)
	}
	k.Fill(4 << 10)
	for _, s := range steps[:20] {
		taken(k, s)
	}
	k.Mark()
	path := k.Segments()[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[30] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.CompactNow(); err != nil {
			t.Fatalf("it stops before its bound, at %d bytes: %v", k.Stats().Bytes, err)
		}
	}
	if corrupt := k.Stats().Corrupt; corrupt != 1 {
		t.Errorf("one segment is counted %d times", corrupt)
	}
	for _, s := range steps[20:] {
		taken(k, s)
	}
	if err := k.CompactNow(); k.Stats().Bytes > 20<<10 && err == nil {
		t.Errorf("it takes %d bytes and goes on", k.Stats().Bytes)
	}
	k.Kill()
}

// A process that is asked to end while it replays a long journal does, and the next one goes on as
// if it had not begun.
func TestReplayIsInterrupted(t *testing.T) {
	steps := load(t, oneRecording)
	dir, told, first := livedUnacknowledged(t, steps)
	errEnd, n, to := errors.New("SIGTERM"), 0, newTold(t)
	k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: testLog(t), Interrupted: func() error {
		if n++; n > 20 {
			return errEnd
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(func(out []spans.Trace) error { to.add(out); return nil }); !errors.Is(err, errEnd) || n != 21 {
		t.Errorf("after %d records: %v", n, err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	k, said := quietly(t, dir, newEngine, to)
	told.compare(to, "behind a replay that was interrupted")
	if k.Replayed() != len(steps) || said != "" || len(k.Segments()) != len(first.Segments()) {
		t.Errorf("%d of %d are replayed: %s", k.Replayed(), len(steps), said)
	}
	k.Kill()
}

// How much a frame holds is beside its checksum. Where that is damaged the frame is, and is not found
// to be damaged by each process that comes: what is left of the file can be read.
func TestDamagedHeadOfAFrame(t *testing.T) {
	steps := load(t, oneRecording)
	_, _, k := lived(t, steps)
	path := k.Segments()[1]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := len(journal.Header()) // behind the first frame
	at += 12 + int(binary.LittleEndian.Uint32(content[at:]))
	holds := binary.LittleEndian.Uint32(content[at+8:])
	binary.LittleEndian.PutUint32(content[at+8:], holds-1)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if good, err := journal.ReadFile(path, int64(len(content))); !errors.Is(err, journal.ErrDamaged) || good != int64(at) {
		t.Errorf("%d bytes are good, want the %d before the frame: %v", good, at, err)
	}
}

// A Keeper may be closed while its loop goes on, as one that is stuck is left alone: what that
// still builds is for the next process.
func TestClosedWhileItGoesOn(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	half := len(steps) / 4
	(&life{k, to, always}).live(steps[:half])
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps[half:] {
		if out := taken(k, s); len(out) > 0 {
			t.Errorf("%d traces are handed out that nobody notes", len(out))
		}
		k.Tick()
	}
	k.Kill()
	k, _ = quietly(t, dir, newEngine, to)
	undisturbed(t, steps).compare(to, "behind a Keeper that was closed")
	to.once("behind a Keeper that was closed")
	k.Kill()
}

// A clock that was ahead by years, and is set back, does not keep the journal from being compacted.
func TestCompactedBehindAClockThatWasSetBack(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	k.LogTo(slog.New(slog.DiscardHandler))
	l := &life{k, to, always}
	l.live(steps)
	now, about := steps[len(steps)-1].now, steps[0].observation
	l.hand(k.Advance(now.AddDate(10, 0, 0)))
	k.Tick()
	for end := now.Add(journal.Life + 20*time.Minute); now.Before(end); now = now.Add(time.Minute) {
		about.Time = now
		l.hand(k.Observe(about))
		l.hand(k.Advance(now))
		k.Tick()
	}
	k.Tighten()
	if err := k.CompactNow(); err != nil {
		t.Fatal(err)
	}
	k.Kill()
	k, _ = quietly(t, dir, newEngine, newTold(t))
	if k.Replayed() > len(steps) {
		t.Errorf("%d observations and times are kept, of %d that were over for long", k.Replayed(), len(steps))
	}
	k.Kill()
}

// Where it is the ledger that is damaged, what was made of the rest by then does not stay: each try
// would leave one more file that nothing counts.
func TestNothingStaysOfACompactionThatFails(t *testing.T) {
	steps := load(t, oneRecording)
	dir := t.TempDir()
	k, _ := quietly(t, dir, newEngine, newTold(t))
	k.LogTo(slog.New(slog.DiscardHandler))
	k.FillLedger(512)
	for _, s := range steps {
		taken(k, s)
	}
	path := k.Ledger()[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[30] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.CompactNow(); err != nil || k.Stats().Corrupt != 1 {
		t.Fatalf("%+v: %v", k.Stats(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("there are still %q: %v", left, err)
	}
	k.Kill()
}
