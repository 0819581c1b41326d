package history

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// stuckTables are on a disk that does not answer until it is released.
type stuckTables struct {
	*memoryTables
	began, release chan struct{}
}

func (s *stuckTables) update(write func(writer) error) error {
	select {
	case s.began <- struct{}{}:
	default:
	}
	<-s.release
	return s.memoryTables.update(write)
}

// While a disk does not answer, who tells goes on. What there is no room for is counted, and all
// else is kept later.
func TestShed(t *testing.T) {
	disk := &stuckTables{newMemoryTables(), make(chan struct{}, 1), make(chan struct{})}
	s := newStore(Options{MaxAge: -1, MaxBytes: DefaultMemoryBytes}, disk, nil)
	told := 0
	tell := func() {
		told++
		id := trace.TraceID{1}
		binary.BigEndian.PutUint64(id[8:], uint64(told)) //nolint:gosec // It is not negative.
		s.Add(spans.Trace{Spans: []spans.Span{{TraceID: id, SpanID: trace.SpanID{1}, Name: "Deployment rollout"}}})
	}
	tell()
	<-disk.began // with the first one
	for range maxWaiting + 7 {
		tell()
	}
	s.mu.Lock()
	shed, waiting := s.stats.Shed, len(s.waiting)
	s.mu.Unlock()
	if shed != 7 || waiting != maxWaiting {
		t.Errorf("%d were shed, and %d wait", shed, waiting)
	}
	close(disk.release)
	page, err := s.List(t.Context(), Query{Limit: 1})
	if err != nil || len(page.Changes) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	if got := s.Stats(); got.Changes != int64(told-7) || got.Failed != 0 {
		t.Errorf("of %d, the counters are %+v", told, got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// brokenTables are damaged.
type brokenTables struct{ *memoryTables }

func (brokenTables) view(func(reader) error) error   { return errDamaged }
func (brokenTables) update(func(writer) error) error { return errDamaged }

// Where the tables are damaged, and cannot be begun anew, that is tried with what is told and not
// all the time; and it is said.
func TestBroken(t *testing.T) {
	tried := 0 // by the one goroutine that writes
	s := newStore(Options{MaxAge: -1, MaxBytes: DefaultMemoryBytes}, brokenTables{newMemoryTables()}, func() (tables, error) {
		if tried++; tried > 6 {
			return newMemoryTables(), nil
		}
		return nil, errors.New("no space left")
	})
	tell := func(n byte) error {
		s.Add(spans.Trace{Spans: []spans.Span{{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{1}, Name: "Deployment rollout"}}})
		_, err := s.List(t.Context(), Query{})
		return err
	}
	if err := tell(1); !errors.Is(err, errDamaged) {
		t.Errorf("it says %v", err)
	}
	if s := s.Stats(); s.Failed != 1 || !strings.Contains(s.Trouble, "it cannot be begun anew: no space left") {
		t.Errorf("the counters are %+v", s)
	}
	n := byte(2)
	for ; tell(n) != nil; n++ {
		if n == 20 {
			t.Fatal("it is not begun anew")
		}
	}
	if s := s.Stats(); s.Changes != 1 || s.Failed != int64(n)-1 || s.Trouble != "" {
		t.Errorf("after %d changes the counters are %+v", n, s)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
