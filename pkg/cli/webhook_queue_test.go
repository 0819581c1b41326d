package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/webhook"
)

// What waits for the webhook is in the data directory: a process that is killed while the receiver
// is away leaves it there, and the next one sends it, with the same IDs.
func TestWhatWaitsForTheWebhookIsInTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var ids []string
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer away.Close()
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ ID string }
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, e.ID)
	}))
	defer back.Close()
	encoder, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(url string, alarmsOf int) (*webhook.Sender, *journal.Queue) {
		t.Helper()
		queue, err := journal.OpenQueue(journal.QueueOptions{Dir: dir, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		sender, err := webhook.New(webhook.Config{URL: url, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond},
			&webhook.Teller{Encoder: encoder}, webhookQueue{queue}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		for n := range alarmsOf {
			sender.Begin(alarms.Alarm{Name: "A", Object: alarms.Object{Kind: "Pod", Namespace: "shop", Name: fmt.Sprint(n)}, Since: time.Unix(int64(n), 0)})
		}
		return sender, queue
	}
	killed, _ := run(away.URL, 5) // which closes neither
	defer func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = killed.Close(ctx) // it was killed
	}()

	next, queue := run(back.URL, 0)
	if err := next.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if st := next.Stats(); st.Found != 5 || st.Sent != 5 {
		t.Errorf("it found %d, and sent %d", st.Found, st.Sent)
	}
	if waits := queue.Stats().Items; waits != 0 {
		t.Errorf("%d wait on the disk", waits)
	}
	if err := queue.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(ids)
	if len(ids) != 5 || len(slices.Compact(ids)) != 5 {
		t.Errorf("there came %q", ids)
	}
}

// What the data directory has kept and cannot give back is counted, and so is what it has no room
// for.
func TestTheWebhookQueueTellsOfWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	open := func() webhookQueue {
		t.Helper()
		queue, err := journal.OpenQueue(journal.QueueOptions{Dir: dir, MaxBytes: 4 << 10, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return webhookQueue{queue}
	}
	q := open()
	first, gone := q.Append("shop", make([]byte, 500))
	all := 1
	for ; len(gone) == 0; all++ {
		_, gone = q.Append("shop", make([]byte, 500))
	}
	if !slices.Contains(gone, first) || q.Stats().Evicted != int64(len(gone)) {
		t.Errorf("%d are said to be gone, and the first is %d; it has %+v", gone, first, q.Stats())
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	q = open()
	defer func() { _ = q.Close() }() // its files are gone
	waits := q.Stats().Items
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, place, lost := q.Next(); place != 0 || lost != waits || waits == 0 {
		t.Errorf("of %d events that are gone it lacks %d; there is %d", waits, lost, place)
	}
}
