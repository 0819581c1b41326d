package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

const recordingsDir = "../../test/recordings"

// options are those of a live run.
var options = causality.Options{InProgressAfter: time.Minute}

// step is one thing that an engine is told: an observation, or else the time.
type step struct {
	observation stream.Observation
	now         time.Time
}

// load reads a recording as a live run sees it: where nothing happens time passes, second by
// second, and for some minutes after its end.
func load(t testing.TB, name string) []step {
	t.Helper()
	f, err := os.Open(filepath.Join(recordingsDir, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	var steps []step
	var now time.Time
	r := watcher.NewRecordingReader(f, name)
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for !now.IsZero() && o.Time.Sub(now) > time.Second {
			now = now.Add(time.Second)
			steps = append(steps, step{now: now})
		}
		now = o.Time
		steps = append(steps, step{observation: o})
	}
	for range 200 {
		now = now.Add(time.Second)
		steps = append(steps, step{now: now})
	}
	return steps
}

func recordings(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recordingsDir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".jsonl"))
	}
	return names
}

// told is what was handed out: of each span how often, and its bytes.
type told struct {
	t     testing.TB
	enc   *otlp.Encoder
	bytes map[journal.SpanKey][]byte
	name  map[journal.SpanKey]string
	times map[journal.SpanKey]int
}

func newTold(t testing.TB) *told {
	t.Helper()
	enc, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &told{t: t, enc: enc, bytes: map[journal.SpanKey][]byte{}, name: map[journal.SpanKey]string{}, times: map[journal.SpanKey]int{}}
}

// add takes traces, and fails where a span is told again in other words.
func (to *told) add(traces []spans.Trace) {
	to.t.Helper()
	items, err := to.enc.Pack(traces)
	if err != nil {
		to.t.Fatal(err)
	}
	i := 0
	for _, tr := range traces {
		for _, s := range tr.Spans {
			key := journal.SpanKey{TraceID: s.TraceID, SpanID: s.SpanID}
			wire := items[i].Wire
			i++
			if old, again := to.bytes[key]; again && !bytes.Equal(old, wire) {
				to.t.Errorf("%s %s is told again in other words", s.Name, s.Subject)
			}
			to.bytes[key], to.name[key] = wire, s.Name+" "+s.Subject
			to.times[key]++
		}
	}
}

// compare says in what got differs from want; since is when a span has to have begun to count.
func (to *told) compare(got *told, where string) {
	to.t.Helper()
	for key, wire := range to.bytes {
		switch other, ok := got.bytes[key]; {
		case !ok:
			to.t.Errorf("%s: %s is not told", where, to.name[key])
		case !bytes.Equal(wire, other):
			to.t.Errorf("%s: %s is told in other words", where, to.name[key])
		}
	}
	for key := range got.bytes {
		if _, ok := to.bytes[key]; !ok {
			to.t.Errorf("%s: %s did not happen", where, got.name[key])
		}
	}
}

// once fails where a span was told more than once.
func (to *told) once(where string) {
	to.t.Helper()
	for key, n := range to.times {
		if n != 1 {
			to.t.Errorf("%s: %s is told %d times", where, to.name[key], n)
		}
	}
}

// testLog is a log in which there may be news, and no errors.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(errorsOf{t}, &slog.HandlerOptions{Level: slog.LevelError}))
}

type errorsOf struct{ t testing.TB }

func (e errorsOf) Write(p []byte) (int, error) {
	e.t.Errorf("it said %s", p)
	return len(p), nil
}

func newEngine() journal.Engine {
	o := options
	o.OnFault = func(f causality.Fault) {
		panic(fmt.Sprintf("%s: %s for %s: %s at %s\n%s", f.Kind, f.Doing, f.Object, f.Reason, f.Place, f.Stack))
	}
	return causality.New(o)
}

// undisturbed is what an engine tells that nobody disturbs.
func undisturbed(t testing.TB, steps []step) *told {
	t.Helper()
	to := newTold(t)
	e := newEngine()
	for _, s := range steps {
		if s.observation.Object != nil {
			to.add(e.Observe(s.observation))
		} else {
			to.add(e.Advance(s.now))
		}
	}
	return to
}

// life is a process that has a journal.
type life struct {
	*journal.Keeper
	to  *told
	ack func() bool
}

// begin begins one, which recovers what the one before it has left.
func begin(t testing.TB, dir string, to *told, ack func() bool) *life {
	t.Helper()
	k, err := journal.Open(journal.Options{Dir: dir, New: newEngine, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{k, to, ack}
	k.Fill(64 << 10)
	if err := k.Recover(func(out []spans.Trace) error { l.hand(out); return nil }); err != nil {
		t.Fatal(err)
	}
	return l
}

// hand hands traces out, and has some of them acknowledged.
func (l *life) hand(out []spans.Trace) {
	l.to.add(out)
	if l.ack() {
		l.AcknowledgeAll(out)
	}
}

// taken is what a Keeper says of a step.
func taken(k *journal.Keeper, s step) []spans.Trace {
	if s.observation.Object != nil {
		return k.Observe(s.observation)
	}
	return k.Advance(s.now)
}

func (l *life) live(steps []step) {
	for i, s := range steps {
		l.hand(taken(l.Keeper, s))
		if i%7 == 0 {
			l.Tick()
		}
	}
}

func always() bool { return true }

// trials are how often something is tried, in a short run and in a long one.
func trials(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// TestKilledAnywhere kills rollspan anywhere, again and again, with the end of its journal torn
// off at any byte. What it tells in its lives is what it would have told in one, byte for byte;
// what the collector has acknowledged is not told again.
func TestKilledAnywhere(t *testing.T) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			steps := load(t, name)
			want := undisturbed(t, steps)
			for trial := range trials(4, 100) {
				r := rand.New(rand.NewPCG(uint64(trial), 0))
				dir, to := t.TempDir(), newTold(t)
				acknowledged := trial%2 == 0
				ack := always
				if !acknowledged {
					ack = func() bool { return r.IntN(2) == 0 }
				}
				from := 0
				for range 1 + r.IntN(4) {
					l := begin(t, dir, to, ack)
					from = l.Replayed()
					until := from + r.IntN(len(steps)-from+1)
					l.live(steps[from:until])
					l.Tick()
					paths := l.Segments()
					l.Kill()
					if n := len(paths); n > 0 {
						tear(t, r, paths[n-1])
					}
				}
				l := begin(t, dir, to, ack)
				l.live(steps[l.Replayed():])
				if err := errors.Join(l.Rest(), l.Close()); err != nil {
					t.Fatal(err)
				}
				where := fmt.Sprintf("trial %d", trial)
				want.compare(to, where)
				if acknowledged {
					to.once(where)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// tear cuts the end of a file off.
func tear(t *testing.T, r *rand.Rand, path string) {
	t.Helper()
	about, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, about.Size()-r.Int64N(about.Size()/4+1)); err != nil {
		t.Fatal(err)
	}
}

// nameOf is the name and the version of what an observation is of; empty for none.
func nameOf(o stream.Observation) string {
	m, ok := o.Object.(metav1.Object)
	if !ok {
		return ""
	}
	return m.GetNamespace() + "/" + m.GetName() + "/" + m.GetResourceVersion() + "."
}
