package watcher

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/budget"
)

// budgetRun is runs with one journal whose traces may take little, and what they send.
type budgetRun struct {
	t     *testing.T
	acks  bool // the collector takes all at once
	dir   string
	sizes *otlp.Sizes
	k     *journal.Keeper
	sent  map[journal.SpanKey]string
	// leftOut is how many spans were not sent, and again how many of these were handed out
	// more than once.
	leftOut map[journal.SpanKey]bool
	again   int
}

// begin is a process that comes up.
func (r *budgetRun) begin() {
	r.t.Helper()
	l := newTestLive(r.t)
	l.options.Budget = func(string) *budget.Budget { return budget.New(budget.Options{MaxSpans: budget.MinSpans}, r.sizes) }
	k, err := journal.Open(journal.Options{Dir: r.dir, Log: l.options.Log, New: func() journal.Engine {
		return l.budgeted(causality.New(causality.Options{InProgressAfter: 10 * time.Second}), "")
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.k = k
	if err := k.Recover(func(again []spans.Trace) error { r.deliver(again); return nil }); err != nil {
		r.t.Fatal(err)
	}
}

// deliver does as a Live with an exporter.
func (r *budgetRun) deliver(traces []spans.Trace) {
	r.t.Helper()
	for _, t := range traces {
		sent := t.Sent()
		there := map[journal.SpanKey]bool{}
		for i := range sent.Spans {
			s := &sent.Spans[i]
			key := journal.SpanKey{TraceID: s.TraceID, SpanID: s.SpanID}
			text := fmt.Sprintf("%+v", *s)
			if before, has := r.sent[key]; has && before != text {
				r.t.Fatalf("a span is sent again with other words:\n%s\n%s", before, text)
			}
			r.sent[key], there[key] = text, true
			if r.acks {
				r.k.Acknowledge(key)
			}
		}
		for i := range t.Spans {
			if key := (journal.SpanKey{TraceID: t.Spans[i].TraceID, SpanID: t.Spans[i].SpanID}); !there[key] {
				if r.leftOut[key] {
					r.again++
				}
				r.leftOut[key] = true
			}
		}
		r.k.AcknowledgeLeftOut(&t)
	}
}

// all is what is sent of a recording, and some minutes after it, if the process dies after each
// so many steps; 0 for never.
func (r *budgetRun) all(observations []causality.Observation, after int) map[journal.SpanKey]string {
	r.t.Helper()
	r.dir, r.sent, r.leftOut = r.t.TempDir(), map[journal.SpanKey]string{}, map[journal.SpanKey]bool{}
	r.begin()
	steps := 0
	step := func() {
		if steps++; after > 0 && steps%after == 0 {
			r.k.Tick()
			r.begin()
		}
	}
	var now time.Time
	for _, o := range observations {
		for !now.IsZero() && o.Time.Sub(now) > time.Second {
			now = now.Add(time.Second)
			r.deliver(r.k.Advance(now))
			step()
		}
		now = o.Time
		r.deliver(r.k.Observe(o))
		step()
	}
	for range 900 {
		now = now.Add(time.Second)
		r.deliver(r.k.Advance(now))
		step()
	}
	return r.sent
}

// TestBudgetIsReplayed: whenever the process dies, the next one selects of a trace what the one
// before did, byte for byte, and hands out nothing again of what that had left out.
func TestBudgetIsReplayed(t *testing.T) {
	encoder, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rolling-update-undo-scale-restart.jsonl", "superseded-rollouts.jsonl"} {
		r := &budgetRun{t: t, sizes: encoder.Sizes()}
		observations := recorded(t, name)
		want := r.all(observations, 0)
		if len(r.leftOut) == 0 || len(want) == 0 {
			t.Fatalf("%s: %d spans are sent, and %d left out", name, len(want), len(r.leftOut))
		}
		for _, acks := range []bool{false, true} {
			r.acks, r.again = acks, 0
			got := r.all(observations, 100)
			if !maps.Equal(got, want) {
				t.Errorf("%s, acknowledged %t: %d spans are sent, and %d if the process does not die", name, acks, len(got), len(want))
			}
			told := map[trace.TraceID]int{}
			for key := range got {
				if told[key.TraceID]++; told[key.TraceID] == budget.MinSpans+1 {
					t.Errorf("%s: the trace %s has more spans than its budget, over all processes", name, key.TraceID)
				}
			}
			if acks && r.again > 0 {
				t.Errorf("%s: %d spans that were left out were handed out again", name, r.again)
			}
		}
	}
}
