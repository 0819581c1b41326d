package export

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp"
)

// shelf is a Store in memory, of which every span is a record of its own. It outlives
// Exporters, as a disk does.
type shelf struct {
	mu     sync.Mutex
	items  []otlp.Packed // from record 1 on
	gone   map[uint64]bool
	read   int
	done   uint64
	synced int
	room   int // how many may wait; 0 for any number
	broken bool
	// early are the spans that were sent before they were synced.
	early int
}

func (s *shelf) Append(items []otlp.Packed, read bool) (places []Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil
	}
	for _, it := range items {
		s.items = append(s.items, it)
		places = append(places, Place{Record: uint64(len(s.items))})
	}
	if read {
		s.read = len(s.items)
	}
	return places
}

func (s *shelf) Next() (items []otlp.Packed, places []Place, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.read < len(s.items) {
		s.read++
		if !s.gone[uint64(s.read)] {
			return []otlp.Packed{s.items[s.read-1]}, []Place{{Record: uint64(s.read)}}, 0
		}
	}
	return nil, nil, 0
}

func (s *shelf) waiting() (n int) {
	for i := s.done; i < uint64(len(s.items)); i++ {
		if !s.gone[i+1] {
			n++
		}
	}
	return n
}

func (s *shelf) Evict(inFlight uint64) (out []Evicted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := max(inFlight, s.done) + 1; s.room > 0 && s.waiting() > s.room && i <= uint64(len(s.items)); i++ {
		if !s.gone[i] {
			s.gone[i] = true
			out = append(out, Evicted{Record: i, Namespace: s.items[i-1].Namespace, Spans: 1, Read: i <= uint64(s.read)})
		}
	}
	return out
}

func (s *shelf) Sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = len(s.items)
}

func (s *shelf) Done(at Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.Record > uint64(s.synced) {
		s.early++
	}
	s.done = max(s.done, at.Record)
}

func (s *shelf) Behind() (spans int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.read; i < len(s.items); i++ {
		if !s.gone[uint64(i)+1] {
			spans++
		}
	}
	return spans
}

func (s *shelf) Working() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.broken
}

// restart has the shelf be as another process finds it.
func (s *shelf) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = int(s.done) //nolint:gosec // It is small.
}

func newShelf() *shelf { return &shelf{gone: map[uint64]bool{}} }

// While no collector is there memory has the front of what waits, and the store all of it. The
// next process sends what this one could not, in order.
func TestStoreHasWhatMemoryHasNot(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		config := testConfig(c)
		config.Store, config.QueueSpans, config.BatchSpans = store, 20, 3
		traces := numbered(0, 200)
		e, l := startExporter(t, config)
		for i := range traces[:150] {
			e.Enqueue(traces[i : i+1])
		}
		l.await(t, "cannot be reached")
		stats := checkBalance(t, e)
		if stats.Queued > 20 || stats.Queued+stats.Behind != 150 || stats.Dropped.Total() != 0 {
			t.Errorf("%+v", stats)
		}
		if left, err := e.Shutdown(canceled(t)); left != 150 || err != nil || l.count("wait on the disk") != 1 {
			t.Errorf("%d are left: %v\n%s", left, err, l)
		}

		store.restart()
		c.up()
		e, _ = startExporter(t, config)
		e.Enqueue(traces[150:])
		if stats := finish(t, e); stats.Sent != 200 || stats.Enqueued != 200 {
			t.Errorf("%+v", stats)
		}
		wantSpans(t, c.got(), ids(traces))
		if store.done != 200 || store.early > 0 {
			t.Errorf("%d are done, %d were sent before they were synced", store.done, store.early)
		}
	})
}

// What has to go from the store goes from memory, too, but not what is being sent. It is counted
// and logged with its namespace, and with the flag that gives more room.
func TestStoreEvicts(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		store.room = 10
		config := testConfig(c)
		config.Store, config.BatchSpans = store, 4
		c.up()
		asked, answer := make(chan int, 100), make(chan struct{})
		c.on(func(r request) reply {
			asked <- len(r.spans)
			<-answer
			return reply{}
		})
		e, l := startExporter(t, config)
		traces := numbered(0, 30)
		e.Enqueue(traces[:4])
		sending := <-asked
		for i := 4; i < 30; i++ {
			e.Enqueue(traces[i : i+1])
		}
		stats := checkBalance(t, e)
		if stats.Queued != 10 || stats.Dropped.QueueFull != 20 {
			t.Errorf("%+v", stats)
		}
		close(answer)
		finish(t, e)
		all := ids(traces)
		wantSpans(t, c.got(), slices.Concat(all[:sending], all[30-(10-sending):]))
		if !strings.Contains(l.String(), "--data-dir-max-bytes") || !strings.Contains(l.String(), "(none): ") {
			t.Errorf("%s", l)
		}
	})
}

// Memory goes on alone when the disk fails: within its bounds, and with what the disk still has.
func TestStoreFails(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		config := testConfig(c)
		gone := map[string]bool{}
		config.Gone = func(list []*otlp.Packed) {
			for _, it := range list {
				_, id := it.IDs()
				gone[id.String()] = true
			}
		}
		config.Store, config.QueueSpans, config.BatchSpans = store, 10, 2
		e, l := startExporter(t, config)
		traces := numbered(0, 40)
		for i := range traces[:20] {
			e.Enqueue(traces[i : i+1])
		}
		l.await(t, "cannot be reached")
		store.mu.Lock()
		store.broken = true
		store.mu.Unlock()
		for i := 20; i < 40; i++ {
			e.Enqueue(traces[i : i+1])
		}
		stats := checkBalance(t, e)
		if stats.Queued > 12 || stats.Dropped.QueueFull == 0 {
			t.Errorf("%+v", stats)
		}
		if _, err := e.Shutdown(canceled(t)); err == nil || !strings.Contains(err.Error(), "not delivered") {
			t.Errorf("what is in memory only is lost without a word: %v", err)
		}
		dropped := e.Stats().Dropped.QueueFull
		// Who waits for what arrives is told of all that was dropped, be it on the disk that has
		// failed: nobody of this process will say anything else of it.
		if int64(len(gone)) != dropped {
			t.Errorf("of %d spans that were dropped %d are gone", dropped, len(gone))
		}
	})
}

// A span that the collector refuses is done, and so is what comes behind it.
func TestStoreOfRefused(t *testing.T) {
	both(t, func(t *testing.T, c *collector) {
		store := newShelf()
		config := testConfig(c)
		config.Store, config.BatchSpans = store, 4
		c.up()
		c.on(func(r request) reply {
			for _, s := range r.spans {
				if s.Name == "span 5" {
					return reply{grpc: codes.InvalidArgument, http: http.StatusBadRequest, message: "no"}
				}
			}
			return reply{}
		})
		e, _ := startExporter(t, config)
		traces := numbered(0, 12)
		e.Enqueue(traces)
		stats := finish(t, e)
		wantSpans(t, c.got(), ids(traces[:5], traces[6:]))
		if stats.Dropped.Refused != 1 || store.done != 12 {
			t.Errorf("%+v; %d are done", stats, store.done)
		}
	})
}

// What another version has encoded is sent as that version would have.
func TestStoreOfOtherVersion(t *testing.T) {
	encoder := func(version string) *otlp.Encoder {
		e, err := otlp.NewEncoder(otlp.Options{Version: version, ClusterName: "cluster of " + version})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	old, current := encoder("v1"), encoder("v2")
	items, err := old.Pack(numbered(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	more, err := current.Pack(numbered(2, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := append(wireOf(t, old.Request([]*otlp.Packed{&items[0], &items[1]})), wireOf(t, current.Request([]*otlp.Packed{&more[0]}))...)
	items[0].Around, items[1].Around = old.Around(), old.Around()
	got := wireOf(t, current.Request([]*otlp.Packed{&items[0], &more[0], &items[1]}))
	if !bytes.Equal(got, want) || !bytes.Contains(got, []byte("cluster of v1")) || bytes.Equal(old.Around(), current.Around()) {
		t.Errorf("it is sent as\n%q\nand was\n%q", got, want)
	}
}

// wireOf is a request as it is sent.
func wireOf(t *testing.T, list []*tracepb.ResourceSpans) []byte {
	t.Helper()
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: list})
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// canceled is the context of who waits no longer.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

var _ Store = (*shelf)(nil)
