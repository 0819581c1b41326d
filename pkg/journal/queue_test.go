package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rollspan/rollspan/pkg/journal"
)

// span is an item for a queue, with a body that nothing else has.
func span(r *rand.Rand, n int) journal.QueueItem {
	it := journal.QueueItem{Namespace: fmt.Sprint("team-", r.IntN(3)), Body: make([]byte, 1+r.IntN(900))}
	binary.BigEndian.PutUint64(it.Key.SpanID[:], uint64(n+1))
	for i := range it.Body {
		it.Body[i] = byte(r.IntN(7)) // so that it can be compressed
	}
	return it
}

// waiting are items and where they are.
type waiting struct {
	items  []journal.QueueItem
	places []journal.Place
}

// rest reads all that was not read.
func rest(t testing.TB, q *journal.Queue) (out waiting) {
	t.Helper()
	for {
		items, places, lost := q.Next()
		if lost > 0 {
			t.Errorf("%d are lost", lost)
		}
		if len(items) == 0 {
			return out
		}
		out.items, out.places = append(out.items, items...), append(out.places, places...)
	}
}

func openQueue(t testing.TB, o journal.QueueOptions) *journal.Queue {
	t.Helper()
	if o.Log == nil {
		o.Log = testLog(t)
	}
	q, err := journal.OpenQueue(o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQueueKilledAnywhere kills a process with a queue anywhere, again and again. If only the
// process dies, the next one has what was appended and is not done, to the byte and in order.
// If the machine does, and forgets any of what it was not told to remember, the next one has at
// least what was synced, and what it has is what was appended. Of what had to go, as there was
// no room, some may be there again.
func TestQueueKilledAnywhere(t *testing.T) {
	for trial := range trials(12, 40) {
		r := rand.New(rand.NewPCG(uint64(trial), 1))
		dir := t.TempDir()
		all := map[journal.SpanKey]journal.QueueItem{} // all that was ever appended
		number := func(key journal.SpanKey) uint64 { return binary.BigEndian.Uint64(key.SpanID[:]) }
		kept, settled := map[journal.SpanKey]bool{}, map[journal.SpanKey]bool{}
		var waits []journal.SpanKey // what was appended and is not done, if nothing is forgotten
		evicted := map[journal.SpanKey]bool{}
		forgotten := false
		o := journal.QueueOptions{Dir: dir,
			Kept: func(keys []journal.SpanKey) {
				for _, key := range keys {
					kept[key] = true
				}
			},
			Settle: func() bool {
				maps.Copy(settled, kept)
				return true
			}}
		if trial%3 == 0 {
			o.MaxBytes = 16 << 10
		}
		for life := range 6 {
			where := fmt.Sprintf("trial %d, life %d", trial, life)
			q := openQueue(t, o)
			q.Fill(int64(500 + r.IntN(8000)))
			found := map[journal.SpanKey]bool{}
			for _, key := range q.Found() {
				found[key] = true
			}
			for key := range kept {
				if !found[key] && !settled[key] && !evicted[key] {
					t.Fatalf("%s: nobody knows that a span was there", where)
				}
			}
			front := rest(t, q)
			there := map[journal.SpanKey]bool{}
			last := uint64(0)
			for i, it := range front.items {
				want, ok := all[it.Key]
				if !ok || number(it.Key) <= last || !bytes.Equal(it.Body, want.Body) || it.Namespace != want.Namespace {
					t.Fatalf("%s: item %d is not what was appended, or not in order", where, i)
				}
				last, there[it.Key] = number(it.Key), true
			}
			for _, key := range waits {
				if !there[key] && (kept[key] || !forgotten) {
					t.Fatalf("%s: item %d is lost", where, number(key))
				}
			}
			for _, key := range waits {
				delete(there, key)
			}
			for key := range there {
				if !forgotten && !evicted[key] {
					t.Fatalf("%s: item %d is there again", where, number(key))
				}
			}
			waits = nil // the model goes on with what there is
			records := map[journal.SpanKey]uint64{}
			for i, it := range front.items {
				waits = append(waits, it.Key)
				records[it.Key] = front.places[i].Record
			}
			for range r.IntN(60) {
				switch r.IntN(4) {
				case 0, 1:
					var items []journal.QueueItem
					for range 1 + r.IntN(12) {
						it := span(r, len(all))
						items, all[it.Key], waits = append(items, it), it, append(waits, it.Key)
					}
					read := q.Behind() == 0 && r.IntN(2) == 0
					places := q.Append(items, read)
					if read {
						front.items, front.places = append(front.items, items...), append(front.places, places...)
					}
					for i, p := range places {
						records[items[i].Key] = p.Record
					}
					for _, e := range q.Evict(0) {
						of := func(key journal.SpanKey) bool {
							if records[key] == e.Record {
								evicted[key] = true
							}
							return records[key] == e.Record
						}
						waits = slices.DeleteFunc(waits, of)
						left := waiting{}
						for i, it := range front.items {
							if !of(it.Key) {
								left.items, left.places = append(left.items, it), append(left.places, front.places[i])
							}
						}
						front = left
					}
				case 2:
					more := rest(t, q)
					front.items, front.places = append(front.items, more.items...), append(front.places, more.places...)
				case 3:
					q.Sync() // nothing is sent before
					if n := len(front.items); n > 0 {
						n = 1 + r.IntN(n)
						q.Done(front.places[n-1])
						front.items, front.places, waits = front.items[n:], front.places[n:], waits[n:]
					}
				}
				if s := q.Stats(); s.Items != len(waits) {
					t.Fatalf("%s: %d items wait, not %d", where, s.Items, len(waits))
				}
			}
			if r.IntN(4) == 0 {
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				q.Kill()
			}
			if forgotten = r.IntN(2) == 0; forgotten {
				synced := q.Synced()
				for _, path := range q.Files() {
					cut(t, r, path, synced[path])
				}
			}
		}
	}
}

// cut cuts a file off anywhere behind what was synced.
func cut(t testing.TB, r *rand.Rand, path string, synced int64) {
	t.Helper()
	about, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if more := about.Size() - synced; more > 0 {
		if err := os.Truncate(path, about.Size()-r.Int64N(more+1)); err != nil {
			t.Fatal(err)
		}
	}
}

// A bit that has flipped costs the record that it is in, which is named and counted; all others
// are there. The next process does not speak of it again.
func TestQueueFlippedBit(t *testing.T) {
	for trial := range trials(8, 40) {
		r := rand.New(rand.NewPCG(uint64(trial), 2))
		dir := t.TempDir()
		q := openQueue(t, journal.QueueOptions{Dir: dir})
		q.Fill(4000)
		var all []journal.QueueItem
		var places []journal.Place
		for range 30 {
			var items []journal.QueueItem
			for range 1 + r.IntN(4) {
				items = append(items, span(r, len(all)+len(items)))
			}
			all = append(all, items...)
			places = append(places, q.Append(items, true)...)
		}
		q.Kill()
		files, err := filepath.Glob(filepath.Join(dir, "waiting-*.journal"))
		if err != nil || len(files) < 3 {
			t.Fatal(files, err)
		}
		path := files[r.IntN(len(files))]
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[r.IntN(len(content))] ^= 1 << r.IntN(8)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		next := openQueue(t, journal.QueueOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
		left := rest(t, next)
		missing := map[uint64]bool{}
		at := 0
		for i, it := range all {
			if at < len(left.items) && left.items[at].Key == it.Key {
				if !bytes.Equal(left.items[at].Body, it.Body) {
					t.Fatalf("trial %d: item %d has changed", trial, i)
				}
				at++
				continue
			}
			missing[places[i].Record] = true
		}
		if at != len(left.items) || len(missing) > 1 {
			t.Fatalf("trial %d: %d of %d records are gone", trial, len(missing), places[len(places)-1].Record)
		}
		if s := next.Stats(); s.Corrupt+s.Torn != 1 || s.Failures != 0 || !strings.Contains(said.String(), path) {
			t.Fatalf("trial %d: %+v, %s", trial, s, &said)
		}
		next.Kill()
		again := openQueue(t, journal.QueueOptions{Dir: dir})
		if n := rest(t, again); len(n.items) != at || again.Stats().Corrupt != 0 {
			t.Errorf("trial %d: the second time it has %d of %d items", trial, len(n.items), at)
		}
		again.Kill()
	}
}

// Past its bound who holds most loses the oldest, and nobody else anything. The files keep to
// the bound, and what they have left is whole.
func TestQueueBound(t *testing.T) {
	for _, flood := range []int{1, 10} {
		t.Run(fmt.Sprint(flood, " at once"), func(t *testing.T) {
			const most = 128 << 10
			r := rand.New(rand.NewPCG(3, 4))
			dir := t.TempDir()
			q := openQueue(t, journal.QueueOptions{Dir: dir, MaxBytes: most})
			gone := map[uint64]bool{}
			var mine, theirs []uint64
			n := 0
			for round := range 1000 {
				var items []journal.QueueItem
				for range flood {
					it := span(r, n)
					n++
					it.Namespace = "flood"
					items = append(items, it)
				}
				theirs = append(theirs, q.Append(items, false)[0].Record)
				if round%100 == 0 {
					it := span(r, n)
					n++
					it.Namespace = "shop"
					mine = append(mine, q.Append([]journal.QueueItem{it}, false)[0].Record)
				}
				for _, e := range q.Evict(0) {
					if e.Namespace != "flood" || e.Read || gone[e.Record] {
						t.Fatalf("%+v had to go", e)
					}
					gone[e.Record] = true
				}
				if s := q.Stats(); s.Bytes > most {
					t.Fatalf("%d bytes", s.Bytes)
				}
			}
			for i, number := range theirs {
				if gone[number] != (i < len(gone)) {
					t.Fatalf("record %d had to go before an older one", number)
				}
			}
			stats := q.Stats()
			if len(gone) == 0 || stats.Evicted != int64(len(gone)*flood) || stats.Items+int(stats.Evicted) != n || stats.Bytes < most*3/4 {
				t.Errorf("%d had to go: %+v", len(gone), stats)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q = openQueue(t, journal.QueueOptions{Dir: dir, MaxBytes: most})
			left := map[uint64]bool{}
			for _, p := range rest(t, q).places {
				left[p.Record] = true
			}
			for _, number := range mine {
				if !left[number] {
					t.Errorf("record %d of who held little is gone", number)
				}
			}
			if len(left) < len(theirs)-len(gone)+len(mine) {
				t.Errorf("%d records are left of %d", len(left), len(theirs)-len(gone)+len(mine))
			}
		})
	}
}

// What is being sent is not evicted.
func TestQueueKeepsWhatIsSent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	q := openQueue(t, journal.QueueOptions{Dir: t.TempDir(), MaxBytes: 32 << 10})
	first := q.Append([]journal.QueueItem{span(r, 0), span(r, 1)}, true)[1]
	n := 2
	for range 500 {
		q.Append([]journal.QueueItem{span(r, n)}, false)
		n++
		for _, e := range q.Evict(first.Record) {
			if e.Record <= first.Record {
				t.Fatalf("%+v had to go", e)
			}
		}
	}
	if q.Stats().Evicted == 0 {
		t.Error("none had to go")
	}
}

// A disk that fails is spoken of once. What it has can be read, and the next process finds it.
func TestQueueDiskFails(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	dir := t.TempDir()
	var said strings.Builder
	kept := 0
	q := openQueue(t, journal.QueueOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil)),
		Kept: func(keys []journal.SpanKey) { kept += len(keys) }})
	a := []journal.QueueItem{span(r, 0), span(r, 1)}
	q.Append(a, false)
	q.Sync()
	b := []journal.QueueItem{span(r, 2)}
	q.Append(b, false)
	q.Break()
	for range 3 {
		if places := q.Append([]journal.QueueItem{span(r, 3)}, true); places != nil {
			t.Fatalf("it is at %v", places)
		}
		q.Sync()
		q.Evict(0)
	}
	if s := q.Stats(); s.Failures != 1 || q.Kept() || strings.Count(said.String(), "level=ERROR") != 1 || !strings.Contains(said.String(), dir) {
		t.Errorf("%+v: %s", s, &said)
	}
	left := rest(t, q)
	if len(left.items) != 3 || kept != 2 {
		t.Fatalf("%d items, of which %d are safe", len(left.items), kept)
	}
	next := openQueue(t, journal.QueueOptions{Dir: dir})
	again := rest(t, next)
	if len(again.items) != 3 || !bytes.Equal(again.items[0].Body, a[0].Body) || !bytes.Equal(again.items[2].Body, b[0].Body) {
		t.Errorf("%d items", len(again.items))
	}
	next.Kill()
	// What the collector has needs no disk.
	q.Done(left.places[2])
	if kept != 3 || q.Stats().Items != 0 {
		t.Errorf("%d are done", kept)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}

// A directory that cannot be used is a disk that fails.
func TestQueueWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	q := openQueue(t, journal.QueueOptions{Dir: filepath.Join(file, "queue"), Log: slog.New(slog.DiscardHandler)})
	if q.Append([]journal.QueueItem{span(rand.New(rand.NewPCG(9, 9)), 0)}, true) != nil || q.Kept() || q.Stats().Failures != 1 {
		t.Errorf("%+v", q.Stats())
	}
	if items, _, _ := q.Next(); items != nil {
		t.Errorf("%d items", len(items))
	}
}

// What a newer version has written is refused, with a word about what to do.
func TestQueueOfNewerVersion(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, journal.QueueOptions{Dir: dir})
	q.Append([]journal.QueueItem{span(rand.New(rand.NewPCG(1, 1)), 0)}, true)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	path := q.Files()[0]
	writtenByNewer(t, path)
	_, err := journal.OpenQueue(journal.QueueOptions{Dir: dir})
	var newer *journal.NewerError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("%v", err)
	}
}

// BenchmarkQueue has what a span costs that waits on the disk, and how long a process takes to
// find out what waits. The spans are those of a recording, a trace at once.
func BenchmarkQueue(b *testing.B) {
	to := undisturbed(b, load(b, oneRecording))
	var items []journal.QueueItem
	for key, wire := range to.bytes {
		items = append(items, journal.QueueItem{Key: key, Namespace: "shop", Body: wire})
	}
	dir := b.TempDir()
	q := openQueue(b, journal.QueueOptions{Dir: dir})
	n := 0
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			at := n % (len(items) - 20)
			q.Append(items[at:at+20], false)
			n += 20
		}
		b.ReportMetric(float64(q.Stats().Bytes)/float64(n), "disk-B/span")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*20), "ns/span")
	})
	if err := q.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			again := openQueue(b, journal.QueueOptions{Dir: dir})
			if again.Stats().Items != n {
				b.Fatalf("%d of %d wait", again.Stats().Items, n)
			}
			again.Kill()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/span")
	})
}

// Who returns from Sync knows that all that was there before survives the machine, though it is
// another one that syncs it: the webhook and who delivers to it sync one queue.
func TestSyncWaitsForWhoSyncs(t *testing.T) {
	var q *journal.Queue
	returned := make(chan bool, 1)
	var isOver atomic.Bool
	q = openQueue(t, journal.QueueOptions{Dir: t.TempDir(), Kept: func([]journal.SpanKey) {
		go func() {
			q.Sync()
			returned <- isOver.Load()
		}()
		for range 1000 { // in which the other one could return
			runtime.Gosched()
		}
		isOver.Store(true)
	}})
	q.Append([]journal.QueueItem{{Namespace: "shop", Body: []byte("x")}}, true)
	q.Sync()
	if !<-returned {
		t.Error("another one returns from Sync before Kept was told")
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
}
