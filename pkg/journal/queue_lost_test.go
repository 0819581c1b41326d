package journal_test

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/rollspan/rollspan/pkg/journal"
)

// Where the disk fails for good, each span is told of that nobody will ever send, so that nobody
// waits for it: what cannot be read back, and what had to go before it was synced.
func TestQueueTellsOfWhatIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	told := map[journal.SpanKey]int{}
	q := openQueue(t, journal.QueueOptions{Dir: dir, MaxBytes: 4 << 10, Log: slog.New(slog.DiscardHandler),
		Kept: func(keys []journal.SpanKey) {
			for _, key := range keys {
				told[key]++
			}
		}})
	all := 0
	put := func() bool {
		it := span(r, all)
		it.Namespace = "team"
		all++
		return q.Append([]journal.QueueItem{it}, false) != nil
	}
	for len(q.Evict(0)) == 0 {
		put()
	}
	if len(told) == 0 {
		t.Error("what has gone is not told of")
	}
	put()
	q.Break()
	if put() {
		t.Fatal("the disk has not failed")
	}
	all-- // which is nobody's but the caller's
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if items, _, lost := q.Next(); len(items) > 0 || lost == 0 {
		t.Errorf("%d items are there, %d are lost", len(items), lost)
	}
	for _, times := range told {
		if times != 1 {
			t.Errorf("a span is told of %d times", times)
		}
	}
	if len(told) != all {
		t.Errorf("of %d spans %d are told of", all, len(told))
	}
}
