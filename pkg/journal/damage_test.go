package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

const oneRecording = "superseded-rollouts"

// lived is the directory of a life that was killed, and what it told.
func lived(t *testing.T, steps []step) (dir string, to *told, k *journal.Keeper) {
	t.Helper()
	dir, to = t.TempDir(), newTold(t)
	l := begin(t, dir, to, always)
	l.Fill(4 << 10)
	l.live(steps)
	l.Tick()
	l.Kill()
	return dir, to, l.Keeper
}

// quietly recovers a journal that is damaged, and returns the Keeper and what it said.
func quietly(t *testing.T, dir string, newEngine func() journal.Engine, to *told) (*journal.Keeper, string) {
	t.Helper()
	var said strings.Builder
	k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: slog.New(slog.NewTextHandler(&said, nil)),
		Redact: func(object map[string]any) { object["nobody"] = "may see it" }})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(func(out []spans.Trace) error { to.add(out); return nil }); err != nil {
		t.Fatal(err)
	}
	return k, said.String()
}

// A process may end when it has made a segment and has not written its header, and a machine
// may forget the header. The segments before that are used, and the journal goes on.
func TestSegmentWithoutHeader(t *testing.T) {
	steps := load(t, oneRecording)
	for _, size := range []int64{0, 1, 15} {
		dir, to, k := lived(t, steps)
		paths := k.Segments()
		if err := os.Truncate(paths[len(paths)-1], size); err != nil {
			t.Fatal(err)
		}
		next, _ := quietly(t, dir, newEngine, to)
		next.Advance(steps[len(steps)-1].now.Add(time.Hour))
		if failures := next.Stats().Failures; failures != 0 || !next.Kept() || len(next.Segments()) != len(paths) {
			t.Errorf("%d bytes: %d failures, %d of %d segments", size, failures, len(next.Segments()), len(paths))
		}
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What has the name of a segment and is none is given another, and costs nothing.
func TestForeignFiles(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to, k := lived(t, steps)
	paths := k.Segments()
	for i, put := range []func(string) error{func(path string) error { return os.Symlink("/nowhere", path) }, func(path string) error { return os.Mkdir(path, 0o700) }} {
		if err := put(filepath.Join(dir, fmt.Sprintf("observed-%010d.journal", len(paths)+1+i))); err != nil {
			t.Fatal(err)
		}
	}
	next, said := quietly(t, dir, newEngine, to)
	next.Advance(steps[len(steps)-1].now.Add(time.Hour))
	if !next.Kept() || next.Stats().Failures != 0 || len(next.Segments()) != len(paths)+1 {
		t.Errorf("%d of %d segments: %s", len(next.Segments()), len(paths), said)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// A bit that has flipped costs what is behind it in one segment, which is set aside, named and
// counted. What was acknowledged is not told again.
func TestFlippedBit(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to, k := lived(t, steps)
	paths := k.Segments()
	if len(paths) < 3 {
		t.Fatalf("%d segments", len(paths))
	}
	content, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(paths[1], content, 0o600); err != nil {
		t.Fatal(err)
	}
	k, said := quietly(t, dir, newEngine, to)
	to.once("after a bit has flipped")
	if stats := k.Stats(); stats.Corrupt != 1 || stats.Recovered == 0 || k.Replayed() >= len(steps) {
		t.Errorf("%+v", stats)
	}
	aside, err := os.ReadFile(paths[1] + ".corrupt")
	if err != nil || string(aside) != string(content) {
		t.Errorf("it is not set aside: %v", err)
	}
	if !strings.Contains(said, paths[1]+".corrupt") {
		t.Errorf("it is not named: %s", said)
	}
	k.Kill()
	if again, said := quietly(t, dir, newEngine, to); again.Stats().Corrupt != 0 || said != "" {
		t.Errorf("it is damaged again: %s", said)
	}
}

// A segment that is found to be damaged while the journal is compacted is left to the next
// process, and this one goes on to keep what it sees.
func TestDamagedWhileCompacting(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	k.LogTo(slog.New(slog.DiscardHandler))
	k.Fill(4 << 10)
	l := &life{k, to, always}
	half := len(steps) / 2
	l.live(steps[:half])
	path := k.Segments()[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.CompactNow(); err != nil {
		t.Fatal(err)
	}
	l.live(steps[half:])
	undisturbed(t, steps).compare(to, "with a damaged segment")
	if stats := k.Stats(); stats.Corrupt != 1 || stats.Failures != 0 || !k.Kept() {
		t.Errorf("%+v", stats)
	}
	k.Kill()
	quietly(t, dir, newEngine, to)
	to.once("after a damaged segment")
}

// Without the ledger all is told again, in the same words.
func TestLedgerLost(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to, k := lived(t, steps)
	for _, path := range k.Ledger() {
		if err := os.Truncate(path, 20); err != nil {
			t.Fatal(err)
		}
	}
	again := newTold(t)
	quietly(t, dir, newEngine, again)
	to.compare(again, "without the ledger")
}

// writtenByNewer has a file seem to be of the next version of the format, and returns its content.
func writtenByNewer(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(content[8:], journal.Version+1)
	binary.LittleEndian.PutUint32(content[12:], crc32.Checksum(content[:12], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content
}

// A journal of a newer version is refused, and left as it is.
func TestNewerVersion(t *testing.T) {
	dir, _, k := lived(t, load(t, oneRecording)[:50])
	path := k.Segments()[0]
	content := writtenByNewer(t, path)
	_, err := journal.Open(journal.Options{Dir: dir, New: newEngine})
	var newer *journal.NewerError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), path+" was written by a newer version of rollspan: its format is 5, and this version reads up to 4") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != string(content) {
		t.Errorf("it was changed: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	lock, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Lock(dir); err == nil || !strings.Contains(err.Error(), dir+" is in use by another process") {
		t.Errorf("%v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err = journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close() // the test is over
}

// A journal of another cluster is refused; one of other namespaces begins anew.
func TestAnotherCluster(t *testing.T) {
	dir := t.TempDir()
	open := func(cluster, scope string) (*journal.Keeper, error) {
		k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Cluster: cluster, Scope: scope, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return k, k.Recover(func([]spans.Trace) error { return nil })
	}
	k, err := open("a", "")
	if err != nil {
		t.Fatal(err)
	}
	k.Observe(load(t, oneRecording)[0].observation)
	k.Kill()
	var other *journal.OtherClusterError
	if _, err := open("b", ""); !errors.As(err, &other) || other.Cluster != "a" {
		t.Errorf("%v", err)
	}
	if k, err = open("a", ""); err != nil || !k.Resumes() {
		t.Errorf("it does not go on: %v", err)
	}
	if k, err = open("", ""); err != nil || !k.Resumes() {
		t.Errorf("it does not go on where the cluster is not known: %v", err)
	}
	if _, err := open("b", ""); !errors.As(err, &other) || other.Cluster != "a" {
		t.Errorf("it has forgotten whose it is where that was not known once: %v", err)
	}
	if k, err = open("a", "shop"); err != nil || k.Resumes() {
		t.Errorf("it goes on with other namespaces: %v", err)
	}
}

// A disk that fails is spoken of once, and nothing else is lost.
func TestDiskFails(t *testing.T) {
	steps := load(t, oneRecording)
	want := undisturbed(t, steps)
	dir, to := t.TempDir(), newTold(t)
	k, said := quietly(t, dir, newEngine, to)
	var log strings.Builder
	k.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	l := &life{k, to, always}
	half := len(steps) / 2
	l.live(steps[:half])
	k.Kill() // the next write fails
	l.live(steps[half:])
	want.compare(to, "with a disk that fails")
	to.once("with a disk that fails")
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "the journal cannot be written") || said != "" {
		t.Errorf("it said %q, %q", said, log.String())
	}
	if stats := k.Stats(); stats.Failures != 1 {
		t.Errorf("%+v", stats)
	}
}

// What was on the disk before it failed is of use to the next process: it hands out what was not
// acknowledged, in the same words, and begins anew behind that, as it does after any number of
// restarts. What the process told from memory is not told in other words.
func TestDiskThatFailedIsUsedAgain(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	k.LogTo(slog.New(slog.DiscardHandler))
	l := &life{k, to, func() bool { return false }}
	half := 0
	for ; len(to.bytes) == 0; half++ { // until the first rollout is told
		l.live(steps[half : half+1])
	}
	before := len(to.bytes)
	k.Kill() // the next write fails
	l.live(steps[half:])
	if before == 0 || len(to.bytes) == before {
		t.Fatalf("%d spans were told before the disk failed, %d in all", before, len(to.bytes))
	}
	// The first one dies before anything is acknowledged.
	for _, more := range []int{0, 20, 40} {
		again := newTold(t)
		next, said := quietly(t, dir, newEngine, again)
		if n := strings.Count(said, "the journal had stopped"); n != 1 && more == 0 || n != 0 && more > 0 {
			t.Errorf("it is said %d times: %s", n, said)
		}
		if len(again.bytes) != before {
			t.Errorf("%d spans are told again, want the %d that were not acknowledged when the disk failed", len(again.bytes), before)
		}
		for key, wire := range again.bytes {
			if !bytes.Equal(to.bytes[key], wire) {
				t.Errorf("%s is told in other words", again.name[key])
			}
		}
		if next.Replayed() != max(0, more-20) || !next.Kept() {
			t.Errorf("%d observations are known of after the disk had failed", next.Replayed())
		}
		(&life{next, again, func() bool { return false }}).live(steps[len(steps)-200:][max(0, more-20):more])
		next.Kill()
	}
}

// A segment that the disk cannot read costs what is in it, and not the others.
func TestSegmentThatCannotBeRead(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to, k := lived(t, steps)
	path := k.Segments()[1]
	next, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	// It can be opened, and not read.
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := next.Recover(func(out []spans.Trace) error { to.add(out); return nil }); err != nil {
		t.Fatal(err)
	}
	if stats := next.Stats(); !next.Kept() || stats.Failures != 0 || stats.Corrupt != 1 || next.Replayed() == 0 || next.Replayed() >= len(steps) {
		t.Errorf("%+v, %d of %d replayed", stats, next.Replayed(), len(steps))
	}
	if _, err := os.Stat(path + ".corrupt"); err != nil {
		t.Errorf("it is not set aside: %v", err)
	}
	next.Kill()
}

// A journal that cannot be compacted goes on as it is, and that is said once.
func TestCannotBeCompacted(t *testing.T) {
	steps := load(t, oneRecording)
	dir, to := t.TempDir(), newTold(t)
	k, _ := quietly(t, dir, newEngine, to)
	var log strings.Builder
	k.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
	k.Fill(4 << 10)
	l := &life{k, to, always}
	half := len(steps) / 2
	l.live(steps[:half])
	for range 2 {
		k.Mark() // there is a segment that is written
		paths := k.Segments()
		inTheWay := paths[len(paths)-1] + ".tmp"
		if err := os.Mkdir(inTheWay, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := k.CompactNow(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
	}
	l.live(steps[half:])
	undisturbed(t, steps).compare(to, "without a compaction")
	if n := strings.Count(log.String(), "could not be compacted"); n != 1 || !k.Kept() || k.Stats().Failures != 2 {
		t.Errorf("it said %q, %+v", log.String(), k.Stats())
	}
	k.Kill()
	again, _ := quietly(t, dir, newEngine, to)
	to.once("after a compaction that failed")
	if again.Replayed() != len(steps) {
		t.Errorf("%d of %d observations are known", again.Replayed(), len(steps))
	}
	again.Kill()
}

// withoutDisk is a Keeper that has a ledger which is not synced, and whose disk is gone.
func withoutDisk(t *testing.T) *journal.Keeper {
	t.Helper()
	k, _ := quietly(t, t.TempDir(), newEngine, newTold(t))
	k.LogTo(slog.New(slog.DiscardHandler))
	l := &life{k, newTold(t), always}
	for _, s := range load(t, oneRecording) { // without a tick, so that the ledger has what is not synced
		l.hand(taken(l.Keeper, s))
	}
	k.Kill()
	return k
}

// A disk that fails only when rollspan ends is no more than a disk that fails.
func TestDiskFailsAtTheEnd(t *testing.T) {
	k := withoutDisk(t)
	if err := errors.Join(k.Rest(), k.Close()); err != nil {
		t.Error(err)
	}
	if stats := k.Stats(); stats.Failures != 1 {
		t.Errorf("%+v", stats)
	}
}

// fragile is an engine that does not survive an observation, which is the nth of its life.
type fragile struct {
	journal.Engine
	name string
}

func (f fragile) Observe(o causality.Observation) []spans.Trace {
	if f.name != "" && o.Object != nil && nameOf(o) == f.name {
		panic("no engine survives " + f.name)
	}
	return f.Engine.Observe(o)
}

// An observation that the engine does not survive is set aside, be it live or in a replay, and
// all else is as if there had been none.
func TestPoison(t *testing.T) {
	steps := load(t, oneRecording)
	poisoned := nameOf(steps[100].observation)
	if poisoned == "" {
		poisoned = nameOf(steps[101].observation)
	}
	var healthy []step
	n := 0
	for _, s := range steps {
		if s.observation.Object != nil && nameOf(s.observation) == poisoned {
			n++
			continue
		}
		healthy = append(healthy, s)
	}
	weak := func() journal.Engine { return fragile{newEngine(), poisoned} }
	for where, dir := range map[string]string{"live": t.TempDir(), "replay": ""} {
		to := newTold(t)
		if dir == "" {
			dir, _, _ = livedUnacknowledged(t, steps)
		}
		k, said := quietly(t, dir, weak, to)
		var log strings.Builder
		k.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
		l := &life{k, to, always}
		if where == "live" {
			l.live(steps)
			said = log.String()
			undisturbed(t, healthy).compare(to, where)
			to.once(where)
		}
		files, err := filepath.Glob(filepath.Join(dir, "poisoned-*.json"))
		if err != nil || len(files) != n || k.Stats().Poisoned != int64(n) {
			t.Errorf("%s: %d observations are poisoned, %d set aside, %d counted", where, n, len(files), k.Stats().Poisoned)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(content), `"nobody": "may see it"`) {
				t.Errorf("%s: what is in it was not redacted: %s", where, content)
			}
		}
		if !strings.Contains(said, "no engine survives") {
			t.Errorf("%s: it said %q", where, said)
		}
		k.Kill()
		k, said = quietly(t, dir, weak, newTold(t))
		if k.Stats().Poisoned != 0 || said != "" {
			t.Errorf("%s: it is poisoned again: %s", where, said)
		}
		k.Kill()
	}
}

func livedUnacknowledged(t *testing.T, steps []step) (dir string, to *told, k *journal.Keeper) {
	t.Helper()
	dir, to = t.TempDir(), newTold(t)
	l := begin(t, dir, to, func() bool { return false })
	l.live(steps)
	l.Tick()
	l.Kill()
	return dir, to, l.Keeper
}

// A record at which two processes in a row have died is passed over by the third.
func TestDiedTwice(t *testing.T) {
	steps := load(t, oneRecording)[:50]
	dir, _, _ := lived(t, steps)
	// What a process leaves that dies while it replays record 7.
	progress := filepath.Join(dir, "replaying")
	died := make([]byte, 16)
	binary.LittleEndian.PutUint64(died, 7)
	for deaths, want := range []int64{0, 1} {
		binary.LittleEndian.PutUint64(died[8:], uint64(deaths)) //nolint:gosec // It is 0 or 1.
		if err := os.WriteFile(progress, died, 0o600); err != nil {
			t.Fatal(err)
		}
		k, said := quietly(t, dir, newEngine, newTold(t))
		if k.Stats().Poisoned != want || k.Replayed() != len(steps)-int(want) || strings.Contains(said, "died twice") != (want > 0) {
			t.Errorf("after %d deaths: %+v, %d replayed; it said %q", deaths+1, k.Stats(), k.Replayed(), said)
		}
		k.Kill()
	}
}
