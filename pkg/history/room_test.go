package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// one is a change of one span that takes about so many bytes, by a number. Its trace has an ID that is
// anywhere among the others, as those of an engine have.
func one(n, size int) spans.Trace {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	id := trace.TraceID(sum[:16])
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)) //nolint:gosec // It is not negative.
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(noise) // which never fails
	var texts []string
	for part := range slices.Chunk(noise, 1500) {
		texts = append(texts, base64.RawStdEncoding.EncodeToString(part))
	}
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	return spans.Trace{Spans: []spans.Span{{
		TraceID: id, SpanID: trace.SpanID{1}, Kind: kind.Rollout, Name: "Job run", SpanKind: trace.SpanKindServer,
		Start: start, End: start.Add(time.Second),
		Resource: []attribute.KeyValue{semconv.K8SNamespaceName("shop"), semconv.K8SJobName("sync-" + strconv.Itoa(n))},
		Attributes: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeJob)), attr.OutcomeKey.String(string(attr.OutcomeComplete)), attribute.StringSlice("noise", texts),
		},
	}}}
}

// unsynced has a Store on a disk wait for it never: a test need not survive the machine.
func unsynced(s *store) {
	db := s.tables.(*diskTables).db
	db.NoSync, db.NoGrowSync = true, true
}

// keepAll has the changes from one number to before another kept.
func keepAll(t *testing.T, s *store, from, to, size int) {
	t.Helper()
	for n := from; n < to; n++ {
		s.Add(one(n, size))
		if (n-from)%1000 == 999 || n == to-1 {
			if err := s.settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A history on a disk that is as large as it may be by default goes on: what has ended first makes room
// for what comes, and for nothing else is anything forgotten. So it does after a while in which the process
// was down and much has become too old.
func TestAFullFileGoesOn(t *testing.T) {
	const size = 20_000
	most := int64(1 << 30 / 3) // of the chart's volume
	if testing.Short() {
		most = 16 << 20
	}
	var log bytes.Buffer
	var mu sync.Mutex
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	opened, err := Open(dir, Options{
		MaxAge: 100 * 24 * time.Hour, MaxBytes: most, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*store)
	unsynced(s)
	n := int(most) / size * 9 / 8 // as they are kept, they fill it nearly twice
	keepAll(t, s, 0, n, size)
	full := s.Stats()
	if full.Bytes < most*2/3 || full.Bytes > most || full.Failed+full.Shed > 0 || full.Changes+full.Forgotten != int64(n) {
		t.Errorf("once it is full the counters are %+v", full)
	}
	// A tenth is too old when the next comes.
	mu.Lock()
	now = full.Oldest.Add(time.Duration(full.Changes/10)*time.Second + 100*24*time.Hour)
	mu.Unlock()
	keepAll(t, s, n, n+1, size)
	aged := s.Stats()
	if want := full.Changes - full.Changes/10 + 1; aged.Changes != want || aged.Failed+aged.Shed > 0 {
		t.Errorf("there are %d changes, want %d; the counters are %+v", aged.Changes, want, aged)
	}
	for _, at := range []int{n, n - 1, n - int(aged.Changes) + 1} {
		want := one(at, size).Spans[0]
		c, err := s.Change(t.Context(), ID{Trace: want.TraceID, Root: want.SpanID})
		if err != nil || !slices.Equal(c.Spans[0].Attributes, want.Attributes) {
			t.Errorf("change %d: %v", at, err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it says %s", &log)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName+asideSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the file is set aside")
	}
}

// dropTables count what is dropped at once.
type dropTables struct {
	*memoryTables
	most int
}

func (d *dropTables) update(write func(writer) error) error {
	return d.memoryTables.update(func(w writer) error {
		counted := &dropWriter{writer: w}
		err := write(counted)
		d.most = max(d.most, counted.dropped)
		return err
	})
}

type dropWriter struct {
	writer
	dropped int
}

func (d *dropWriter) delete(t table, key []byte) error {
	if t == tableTraces {
		d.dropped++
	}
	return d.writer.delete(t, key)
}

// However much is to be dropped, at once it is only so much as there surely is room for.
func TestLittleIsDroppedAtOnce(t *testing.T) {
	const n, size = 600, 100
	now := one(n, size).Spans[0].End
	drops := &dropTables{memoryTables: newMemoryTables()}
	s := newStore(Options{MaxAge: time.Hour, MaxBytes: DefaultMemoryBytes, Now: func() time.Time { return now }}, drops, nil)
	keepAll(t, s, n, 2*n, size)
	now = one(2*n-100, size).Spans[0].End.Add(time.Hour) // nobody reads it, as all is kept
	keepAll(t, s, 2*n, 2*n+1, size)
	if got := s.Stats(); got.Changes != 101 || got.Forgotten != n-100 || got.Failed > 0 {
		t.Errorf("once most is too old the counters are %+v", got)
	}
	keepAll(t, s, 2*n+1, 3*n, size)
	s.mu.Lock()
	s.options.MaxBytes = drops.used() / 10
	s.mu.Unlock()
	keepAll(t, s, 3*n, 3*n+1, size)
	if got := s.Stats(); got.Bytes > s.options.MaxBytes || got.Changes < n/20 || got.Failed > 0 {
		t.Errorf("once there is too much the counters are %+v", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if drops.most > 256 {
		t.Errorf("%d traces are dropped at once", drops.most)
	}
}

// meanwhileTables have something done before each update, and note which of them keep a trace.
type meanwhileTables struct {
	*memoryTables
	meanwhile func(update int)
	keeps     []bool
}

func (m *meanwhileTables) update(write func(writer) error) error {
	if m.meanwhile == nil {
		return m.memoryTables.update(write)
	}
	m.meanwhile(len(m.keeps))
	return m.memoryTables.update(func(w writer) error {
		noted := &putWriter{writer: w}
		err := write(noted)
		m.keeps = append(m.keeps, noted.traces > 0)
		return err
	})
}

type putWriter struct {
	writer
	traces int
}

func (p *putWriter) put(t table, key, value []byte) error {
	if t == tableTraces {
		p.traces++
	}
	return p.writer.put(t, key, value)
}

// However much is too old, what comes while it is dropped need not wait for all of that, nor need the end.
func TestWhatIsTooOldCanWait(t *testing.T) {
	const n, size = 1400, 100
	now := one(n, size).Spans[0].End
	tables := &meanwhileTables{memoryTables: newMemoryTables()}
	s := newStore(Options{MaxAge: time.Hour, MaxBytes: DefaultMemoryBytes, Now: func() time.Time { return now }}, tables, nil)
	keepAll(t, s, n, 2*n, size)
	now = one(2*n, size).Spans[0].End.Add(time.Hour) // nobody reads it, as all is kept
	tables.meanwhile = func(update int) {
		switch update {
		case 1:
			s.Add(one(2*n+1, size))
		case 3:
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
		}
	}
	s.Add(one(2*n, size))
	<-s.ended
	if want := []bool{true, false, true, false}; !slices.Equal(tables.keeps, want) {
		t.Errorf("the updates that keep a trace are %v, want %v", tables.keeps, want)
	}
}

// What somebody reads takes its room until he is done, whatever was dropped meanwhile. It is waited for
// then, and nothing is taken for damaged.
func TestSomebodyReadsAFullFile(t *testing.T) {
	const most, size = 4 << 20, 5_000
	var log bytes.Buffer
	opened, err := Open(t.TempDir(), Options{MaxAge: -1, MaxBytes: most, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*store)
	unsynced(s)
	keepAll(t, s, 0, 500, size)
	reads, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.view(func(reader) error {
			close(reads)
			<-release
			return nil
		})
	}()
	<-reads
	for n := 500; n < 2500; n++ {
		s.Add(one(n, size))
	}
	kept := func() uint64 { s.mu.Lock(); defer s.mu.Unlock(); return s.done }
	for before := uint64(0); before < kept(); time.Sleep(time.Second) { // until the writer waits
		before = kept()
	}
	close(release)
	if err := s.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := s.Stats(); got.Failed+got.Shed > 0 || got.Changes < 200 {
		t.Errorf("the counters are %+v", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it says %s", &log)
	}
}

// A file is never full before it is known to be: the database refuses to grow to less than it grows by below
// its bound.
func TestBoundsOfAFile(t *testing.T) {
	for _, mib := range []int64{1, 2, 8, 16, 128, 255, 256, 257, 341, 512, 4096} {
		most := mib << 20
		used, grow := bounds(most)
		if free := most - grow - used; free < min(3<<20, most/4) || used < most/2 || grow < 4096 {
			t.Errorf("of %d MiB %d bytes may be used, and it grows by %d", mib, used, grow)
		}
	}
}

// closeTables say when they are closed. They are damaged.
type closeTables struct {
	brokenTables
	reads, release, closed chan struct{}
}

func (c *closeTables) view(func(reader) error) error {
	close(c.reads)
	<-c.release
	return errDamaged
}

func (c *closeTables) close() error {
	close(c.closed)
	return nil
}

// What was damaged is closed once nobody reads it any more, or the file that was set aside takes its room until
// the process ends. Who read it until then says nothing of what was begun anew.
func TestWhatWasDamagedIsClosed(t *testing.T) {
	old := &closeTables{brokenTables{newMemoryTables()}, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	anew := 0 // by the one goroutine that writes
	s := newStore(Options{MaxAge: -1, MaxBytes: DefaultMemoryBytes}, old, func() (tables, error) {
		anew++
		return newMemoryTables(), nil
	})
	read := make(chan error)
	go func() { read <- s.view(func(reader) error { return nil }) }()
	<-old.reads
	keepAll(t, s, 0, 1, 100)
	select {
	case <-old.closed:
		t.Error("it is closed while somebody reads it")
	default:
	}
	close(old.release)
	if err := <-read; !errors.Is(err, errDamaged) {
		t.Errorf("who reads it is told %v", err)
	}
	select {
	case <-old.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("it is not closed")
	}
	keepAll(t, s, 1, 2, 100)
	if got := s.Stats(); got.Changes != 2 || got.Failed > 0 || anew != 1 {
		t.Errorf("it was begun anew %d times, and the counters are %+v", anew, got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
