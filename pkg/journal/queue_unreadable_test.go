package journal_test

import (
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/journal"
)

// A file of the queue that the disk cannot read costs what is in it, once, and not the others: the
// queue goes on, in this run and in the next one.
func TestQueueWithAFileThatCannotBeRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	q := openQueue(t, journal.QueueOptions{Dir: dir})
	q.Fill(4000)
	const records = 90
	for n := range records {
		q.Append([]journal.QueueItem{span(r, n)}, true)
	}
	q.Kill()
	files, err := filepath.Glob(filepath.Join(dir, "waiting-*.journal"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	journal.CannotRead(t, files[1])
	var said strings.Builder
	next := openQueue(t, journal.QueueOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	left := len(rest(t, next).items)
	if left == 0 || left >= records {
		t.Errorf("%d of %d spans wait", left, records)
	}
	if s := next.Stats(); s.Corrupt != 1 || s.Failures != 0 || strings.Count(said.String(), files[1]+".corrupt") != 1 {
		t.Errorf("%+v, %s", s, &said)
	}
	if len(next.Append([]journal.QueueItem{span(r, records)}, true)) != 1 {
		t.Error("the queue takes no more")
	}
	next.Kill()
	again := openQueue(t, journal.QueueOptions{Dir: dir}) // which complains of nothing
	if n := len(rest(t, again).items); n != left+1 {
		t.Errorf("the second time %d wait, want %d", n, left+1)
	}
	again.Kill()
}
