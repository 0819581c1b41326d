package history_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// numbered is a change that is told apart by its number, with spans of text that does not
// compress to nothing.
func numbered(n int) spans.Trace {
	id := trace.TraceID{15: 1}
	copy(id[:], fmt.Sprintf("%08d", n))
	start := noon.Add(time.Duration(n) * time.Second)
	t := spans.Trace{Spans: []spans.Span{{
		TraceID: id, SpanID: trace.SpanID{1}, Kind: kind.Rollout, Name: "Deployment rollout", SpanKind: trace.SpanKindServer,
		Start: start, End: start.Add(time.Minute),
		Resource:   []attribute.KeyValue{semconv.K8SNamespaceName("shop"), semconv.K8SDeploymentName("web-" + strconv.Itoa(n))},
		Attributes: []attribute.KeyValue{attr.ChangeKey.String("rollout"), attr.OutcomeKey.String("complete")},
	}}}
	for i := range 20 {
		t.Spans = append(t.Spans, spans.Span{
			TraceID: id, SpanID: trace.SpanID{1, byte(i + 1)}, ParentID: trace.SpanID{1}, Kind: kind.PodStart, Name: "Pod start",
			SpanKind: trace.SpanKindInternal, Start: start, End: start.Add(time.Second), Service: "kubelet",
			Resource: []attribute.KeyValue{semconv.K8SPodName(fmt.Sprintf("web-%d-%x", n, (n+1)*(i+7)*2654435761))},
		})
	}
	return t
}

// holds checks that a Store has a change with each number, whole.
func holds(t *testing.T, store history.Store, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		want := numbered(n).Spans
		c, err := store.Change(t.Context(), history.ID{Trace: want[0].TraceID, Root: want[0].SpanID})
		if err != nil {
			t.Fatalf("change %d: %v", n, err)
		}
		same(t, n, want, c.Spans)
	}
}

// lostOf is how many of the changes from one number to before another a store does not have. The
// others are as they were told.
func lostOf(t *testing.T, store history.Store, from, to int) (lost int) {
	t.Helper()
	for n := from; n < to; n++ {
		want := numbered(n).Spans
		c, err := store.Change(t.Context(), history.ID{Trace: want[0].TraceID, Root: want[0].SpanID})
		if err != nil {
			lost++
			continue
		}
		same(t, n, want, c.Spans)
	}
	return lost
}

func same(t *testing.T, n int, want, got []spans.Span) {
	t.Helper()
	for i := range want {
		if len(got) != len(want) || !reflect.DeepEqual(inUTC(&want[i]), inUTC(&got[i])) {
			t.Fatalf("change %d was told as %+v, and is %+v", n, want, got)
		}
	}
}

// What was kept is there in the next process.
func TestTheNextProcess(t *testing.T) {
	dir := t.TempDir()
	first := onDisk(t, dir, history.Options{MaxAge: -1})
	for n := range 10 {
		first.Add(numbered(n))
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.List(t.Context(), history.Query{}); err == nil {
		t.Error("a Store that is closed answers")
	}
	second := closed(t, onDisk(t, dir, history.Options{MaxAge: -1}))
	holds(t, second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	if s := second.Stats(); s.Changes != 10 || !s.Oldest.Equal(noon.Add(time.Minute)) || s.Bytes == 0 {
		t.Errorf("the counters are %+v", s)
	}
}

// dirOfChild is set for a process of its own that keeps changes in a directory.
const dirOfChild = "ROLLSPAN_TEST_HISTORY"

// TestKilled kills a process that keeps one change after the other, whatever it is at. What it
// had kept is there, whole, and the next one goes on.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(dirOfChild); dir != "" {
		store := onDisk(t, dir, history.Options{MaxAge: -1})
		for n := int(store.Stats().Changes); ; n++ {
			store.Add(numbered(n))
			if n%3 > 0 {
				continue
			}
			if _, err := store.List(t.Context(), history.Query{Limit: 1}); err != nil { // up to here it is kept
				t.Fatal(err)
			}
			fmt.Println("kept", n)
		}
	}
	dir := t.TempDir()
	kept := -1
	for _, goOn := range []int{1, 5, 20, 2} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$") //nolint:gosec // The test itself.
		child.Env = append(os.Environ(), dirOfChild+"="+dir)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; i < goOn && lines.Scan(); i++ {
			if number, ok := strings.CutPrefix(lines.Text(), "kept "); ok {
				if kept, err = strconv.Atoi(number); err != nil {
					t.Fatal(err)
				}
			} else {
				t.Fatal(lines.Text())
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		next := onDisk(t, dir, history.Options{MaxAge: -1})
		for n := range kept + 1 {
			holds(t, next, n)
		}
		if got := next.Stats().Changes; got < int64(kept+1) || got != int64(len(everything(t, next, history.Filter{}))) {
			t.Errorf("%d are counted", got)
		}
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if kept < 30 {
		t.Errorf("only %d were kept", kept)
	}
}

// A Store takes no more than it may, and no change is older than it may be: what ended first goes
// first. The file is no larger, either.
func TestBounds(t *testing.T) {
	const most = 4 << 20
	forEachStore(t, func(t *testing.T, open opener) {
		store := open(history.Options{MaxAge: -1, MaxBytes: most})
		for n := range 1500 {
			store.Add(numbered(n))
		}
		list := everything(t, store, history.Filter{Kinds: []string{"Deployment"}})
		s := store.Stats()
		if s.Bytes > most || s.Bytes < most/3 || s.Changes != int64(len(list)) || s.Forgotten != 1500-s.Changes || s.Failed+s.Shed > 0 {
			t.Errorf("the counters are %+v", s)
		}
		for i, c := range list {
			if c.Name != "web-"+strconv.Itoa(1499-i) {
				t.Fatalf("%s is number %d", c.Name, i)
			}
		}
		holds(t, store, 1499, 1500-len(list))
	})
	t.Run("age", func(t *testing.T) {
		forEachStore(t, func(t *testing.T, open opener) {
			now := noon
			store := open(history.Options{MaxAge: time.Hour, Now: func() time.Time { return now }})
			store.Add(numbered(0)) // it ends a minute past noon
			holds(t, store, 0)
			now = noon.Add(61 * time.Minute)
			store.Add(numbered(1))
			holds(t, store, 0, 1)
			now = now.Add(1)
			store.Add(numbered(2))
			if got := everything(t, store, history.Filter{}); len(got) != 2 {
				t.Errorf("there are %+v", got)
			}
		})
	})
}

// The bound is less than it was: what ended first goes, and the file gets smaller.
func TestLessThanBefore(t *testing.T) {
	dir := t.TempDir()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "history.db"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, most := range []int64{2 << 20, 1 << 20, 1 << 20, 2 << 20} {
		store := onDisk(t, dir, history.Options{MaxAge: -1, MaxBytes: most})
		if most == 2<<20 {
			for n := range 600 {
				store.Add(numbered(n))
			}
		}
		holds(t, store, 599, 580)
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if size() > most {
			t.Errorf("of %d bytes the file has %d", most, size())
		}
	}
}

// A file that is damaged, wherever, costs what was kept until the damage is found, which may be
// at the first change that is told or at a later one. What is found in it is whole, and what is
// told from then on is kept.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history.db")
	store := onDisk(t, dir, history.Options{MaxAge: -1})
	for n := range 30 {
		store.Add(numbered(n))
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func([]byte) []byte{
		"cut in half":    func(b []byte) []byte { return b[:len(b)/2] },
		"cut in a page":  func(b []byte) []byte { return b[:len(b)/3+17] },
		"only its begin": func(b []byte) []byte { return b[:9000] },
		"something else": func([]byte) []byte { return []byte("a note to myself") },
		"nothing":        func([]byte) []byte { return nil },
	}
	for at := 2 * 4096; at < len(whole); at += 4096*(len(whole)/4096/24) + 3*4096 {
		damages[fmt.Sprintf("page %d", at/4096)] = func(b []byte) []byte {
			for i := range 4096 {
				b[at+i] ^= byte(i*7 + 1)
			}
			return b
		}
		damages[fmt.Sprintf("bit in page %d", at/4096)] = func(b []byte) []byte { b[at+1029] ^= 4; return b }
		damages[fmt.Sprintf("head of page %d", at/4096)] = func(b []byte) []byte { b[at+10] ^= 3; b[at+13] ^= 1; return b }
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "history.db"), damage(append([]byte(nil), whole...)), 0o600); err != nil {
				t.Fatal(err)
			}
			anew := make(begunAnew, 1)
			store := closed(t, onDisk(t, dir, history.Options{MaxAge: -1, Log: slog.New(slog.NewTextHandler(anew, nil))}))
			for n := range 30 {
				want := numbered(n).Spans
				c, err := store.Change(t.Context(), history.ID{Trace: want[0].TraceID, Root: want[0].SpanID})
				if err == nil {
					same(t, n, want, c.Spans)
				}
			}
			_, _ = store.List(t.Context(), history.Query{}) // it may be damaged
			for n, found := 100, false; n < 120; n += 5 {
				for of := range 5 {
					store.Add(numbered(n + of))
				}
				switch lost := lostOf(t, store, n, n+5); {
				case lost > 0 && found:
					t.Errorf("%d of 5 changes from %d are lost after the damage was found", lost, n)
				case lost > 0:
					found = true
					anew.wait(t, dir)
				}
			}
			if s := store.Stats(); s.Failed > 0 || s.Trouble != "" {
				t.Errorf("the counters are %+v", s)
			}
		})
	}
}

// begunAnew is where a Store logs to, and gets a value when that says that it begins anew. Whoever
// reads what is damaged only says so to the one who writes.
type begunAnew chan struct{}

func (b begunAnew) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("is damaged, and begins anew")) {
		select {
		case b <- struct{}{}:
		default: // it was said before
		}
	}
	return len(line), nil
}

// wait waits for that. Then the damaged file is set aside.
func (b begunAnew) wait(t *testing.T, dir string) {
	t.Helper()
	select {
	case <-b:
	case <-time.After(10 * time.Second):
		t.Fatal("changes are lost, and no damage was found")
	}
	if _, err := os.Stat(filepath.Join(dir, "history.db.corrupt")); err != nil {
		t.Error(err)
	}
}

// What a newer version has written is left alone.
func TestNewer(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "history.db")
	if err := onDisk(t, dir, history.Options{}).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte("\x83\xa5\x6a\x172")) // with its CRC32C
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var newer *history.NewerError
	if _, err := history.Open(dir, history.Options{}); !errors.As(err, &newer) || newer.Format != "2" {
		t.Errorf("it is opened with %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file is another, %v", err)
	}
	if _, err := os.Stat(path + ".corrupt"); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was set aside")
	}
}

// Whoever waits is told of what is added.
func TestWait(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		store := open(history.Options{MaxAge: -1})
		at := store.Wait(t.Context(), 0)
		told := make(chan uint64)
		go func() { told <- store.Wait(t.Context(), at) }()
		store.Add(numbered(1))
		if next := <-told; next == at {
			t.Error("nothing was added")
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		now := store.Wait(t.Context(), 0)
		if next := store.Wait(over, now); next != now {
			t.Errorf("%d is %d", now, next)
		}
	})
}

// The documentation has the bounds that there are by default.
func TestDocumentedBounds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/ui.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(doc)), " ")
	for _, want := range []string{
		fmt.Sprintf("for the page for %d days", history.DefaultMaxAge/(24*time.Hour)),
		fmt.Sprintf("and %d MiB, and else in memory, in %d MiB", history.DefaultDiskBytes>>20, history.DefaultMemoryBytes>>20),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/ui.md does not say %q", want)
		}
	}
}
