package journal_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// sending is a process with a journal and a queue. Each is of a version of its own, which writes
// the same spans in other words.
type sending struct {
	*journal.Keeper
	t       testing.TB
	queue   *journal.Queue
	encoder *otlp.Encoder
	front   waiting
	to      *arrived
	// ledger has how many bytes of the ledger's files the machine will not forget.
	ledger map[string]int64
}

// arrived is what the collector has got.
type arrived struct {
	bytes map[journal.SpanKey][]byte
	times map[journal.SpanKey]int
}

func sizes(paths []string) map[string]int64 {
	out := map[string]int64{}
	for _, path := range paths {
		if about, err := os.Stat(path); err == nil {
			out[path] = about.Size()
		}
	}
	return out
}

func beginSending(t testing.TB, dir string, version int, to *arrived) *sending {
	t.Helper()
	encoder, err := otlp.NewEncoder(otlp.Options{ServiceName: fmt.Sprint("version ", version)})
	if err != nil {
		t.Fatal(err)
	}
	s := &sending{t: t, encoder: encoder, to: to, ledger: map[string]int64{}}
	s.queue = openQueue(t, journal.QueueOptions{Dir: filepath.Join(dir, "queue"),
		Kept: func(keys []journal.SpanKey) { s.Acknowledge(keys...) },
		Settle: func() bool {
			if s.Keeper == nil || !s.Settle() {
				return false
			}
			s.ledger = sizes(s.Ledger())
			return true
		}})
	s.queue.Fill(10_000)
	s.front = rest(t, s.queue)
	if s.Keeper, err = journal.Open(journal.Options{Dir: filepath.Join(dir, "journal"), New: newEngine, Log: testLog(t), Found: s.queue.Found}); err != nil {
		t.Fatal(err)
	}
	s.Fill(64 << 10)
	s.ledger = sizes(s.Ledger()) // what has survived is on the disk
	if err := s.Recover(func(out []spans.Trace) error { s.hand(out); return nil }); err != nil {
		t.Fatal(err)
	}
	return s
}

// hand puts traces into the queue, as this version writes them.
func (s *sending) hand(out []spans.Trace) {
	packed, err := s.encoder.Pack(out)
	if err != nil {
		s.t.Fatal(err)
	}
	var items []journal.QueueItem
	for i := range packed {
		it := journal.QueueItem{Namespace: packed[i].Namespace, Body: packed[i].Wire}
		it.Key.TraceID, it.Key.SpanID = packed[i].IDs()
		items = append(items, it)
	}
	if len(items) > 0 {
		s.front.places = append(s.front.places, s.queue.Append(items, true)...)
		s.front.items = append(s.front.items, items...)
	}
}

// send sends the oldest n spans; the collector's answer comes, or does not.
func (s *sending) send(n int, answered bool) {
	s.queue.Sync()
	for _, it := range s.front.items[:n] {
		if old, again := s.to.bytes[it.Key]; again && !bytes.Equal(old, it.Body) {
			s.t.Errorf("span %v is sent again in other words: %.60q, %.60q", it.Key, old, it.Body)
		}
		s.to.bytes[it.Key] = it.Body
		s.to.times[it.Key]++
	}
	if answered && n > 0 {
		s.queue.Done(s.front.places[n-1])
		s.front.items, s.front.places = s.front.items[n:], s.front.places[n:]
	}
}

// TestUpgradedAnywhere kills rollspan anywhere, with any of what the machine was not told to
// remember torn off, and goes on with another version, again and again. The collector gets every
// span, each in the words of one version; if only processes die, and never between a request and
// its answer, each once.
func TestUpgradedAnywhere(t *testing.T) {
	names := recordings(t)
	for trial := range trials(10, 60) {
		name := names[trial*7%len(names)]
		r := rand.New(rand.NewPCG(uint64(trial), 11))
		steps := load(t, name)
		want := undisturbed(t, steps)
		dir := t.TempDir()
		to := &arrived{map[journal.SpanKey][]byte{}, map[journal.SpanKey]int{}}
		gentle := trial%2 == 0 // only processes die
		where := fmt.Sprintf("trial %d, %s", trial, name)
		lives := 2 + r.IntN(3)
		for life := range lives {
			s := beginSending(t, dir, life, to)
			from, until := s.Replayed(), len(steps)
			if life < lives-1 {
				until = from + r.IntN(len(steps)-from+1)
			}
			for i, step := range steps[from:until] {
				s.hand(taken(s.Keeper, step))
				if i%7 == 0 {
					s.Tick()
				}
				if r.IntN(20) == 0 {
					s.send(r.IntN(len(s.front.items)+1), true)
				}
			}
			if life == lives-1 {
				s.send(len(s.front.items), true)
				break
			}
			if !gentle {
				s.send(r.IntN(len(s.front.items)+1), false)
			}
			journals, ledger := s.Segments(), s.Ledger()
			s.Kill()
			s.queue.Kill()
			if gentle {
				continue
			}
			synced := s.queue.Synced()
			for _, path := range s.queue.Files() {
				cut(t, r, path, synced[path])
			}
			if n := len(ledger); n > 0 {
				cut(t, r, ledger[n-1], s.ledger[ledger[n-1]])
			}
			if n := len(journals); n > 0 {
				tear(t, r, journals[n-1])
			}
		}
		for key, n := range to.times {
			if _, ok := want.bytes[key]; !ok {
				t.Errorf("%s: a span did not happen", where)
			}
			if gentle && n != 1 {
				t.Errorf("%s: %s is sent %d times", where, want.name[key], n)
			}
		}
		for key := range want.bytes {
			if to.times[key] == 0 {
				t.Errorf("%s: %s is not sent", where, want.name[key])
			}
		}
		if t.Failed() {
			return
		}
	}
}
