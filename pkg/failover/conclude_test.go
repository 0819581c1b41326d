package failover

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// What is recorded in the Lease is handed out before Flush returns: who waits for that closes
// what it is handed out to, and nobody sends it again.
func TestFlushWaitsForWhatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delivering, goOn := make(chan struct{}), make(chan struct{})
		delivered := 0
		b := NewOutbox(Options{Log: slog.New(slog.DiscardHandler), Deliver: func(spans.Trace) error {
			if delivered++; delivered == 1 {
				close(delivering)
				<-goOn
			}
			return nil
		}})
		b.lead(func(context.Context) error { return nil })
		if err := b.Put([]spans.Trace{traceOf(1, 1, recorded), traceOf(2, 1, recorded)}); err != nil {
			t.Fatal(err)
		}
		go b.step(t.Context())
		<-delivering
		flushed := make(chan struct{})
		over, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			defer close(flushed)
			if err := b.Flush(over); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(2 * time.Second) // of the bubble's clock: it gives up what waits, and not that
		select {
		case <-flushed:
			t.Error("it does not wait for what was recorded to be handed out")
		default:
		}
		close(goOn)
		<-flushed
		if delivered != 2 {
			t.Errorf("%d traces were handed out", delivered)
		}
	})
}

// When Flush has given up, nothing is recorded as handed out any more, be it that the collector
// has taken what was before it, or that a write that was under way has come to its end.
func TestNothingIsHandedOutAfterFlush(t *testing.T) {
	b, sent := box("leader")
	record := ""
	over, cancel := context.WithCancel(t.Context())
	cancel()
	b.lead(func(context.Context) error {
		record = b.content()
		return b.Flush(over)
	})
	last := traceOf(1, 1, recorded)
	if err := b.Put([]spans.Trace{last}); err != nil {
		t.Fatal(err)
	}
	for b.step(t.Context()) {
	}
	if r, err := decodeRecord(record); err != nil || len(r.Entries) != 1 {
		t.Fatalf("%d traces were written: %v", len(r.Entries), err)
	}
	if r, _ := decodeRecord(b.content()); len(r.Entries) != 0 || len(*sent) != 0 {
		t.Errorf("%d traces are recorded, and %d handed out", len(r.Entries), len(*sent))
	}
	if got := b.Stats().Waiting; got != 1 {
		t.Errorf("%d spans wait", got)
	}
}

// Of a trace that is over its budget others have handed out a part: that is not sent again.
func TestBudgetedTraceInParts(t *testing.T) {
	before, _ := box("before")
	all := traceOf(1, 4, recorded)
	before.committed([]item{{Trace: spans.Trace{Spans: all.Spans[:3]}}}) // knows what is open
	before.record.Entries = []Entry{entryOf(&spans.Trace{Spans: all.Spans[:3]})}

	var sent []spans.Trace
	b := NewOutbox(Options{Log: slog.New(slog.DiscardHandler), Writer: "next", Deliver: func(t spans.Trace) error {
		sent = append(sent, t.Sent())
		return nil
	}})
	b.Absorb(before.content())
	b.lead(func(context.Context) error { return nil })
	all.Spans[3].End = recorded.Add(time.Minute)
	all.Selection = &spans.Selection{Spans: slices.Clone(all.Spans), LeftOut: 7}
	if err := b.Put([]spans.Trace{all}); err != nil {
		t.Fatal(err)
	}
	for b.step(t.Context()) {
	}
	if len(sent) != 1 || len(sent[0].Spans) != 1 || sent[0].Spans[0].SpanID != all.Spans[3].SpanID || !sent[0].Late {
		t.Fatalf("sent is %v", sent)
	}
	b.Acknowledge(journal.KeysOf(&sent[0])...)
	if len(b.open) != 0 {
		t.Errorf("%d spans are open", len(b.open))
	}
}

// Of a trace that is over its budget all is handed out to who shows and counts it here, and only what
// is sent is recorded. Where much waits it is the root, and what is sent.
func TestBudgetedTraceIsSeenWhole(t *testing.T) {
	var handed []spans.Trace
	b := NewOutbox(Options{Log: slog.New(slog.DiscardHandler), Writer: "leader", Deliver: func(t spans.Trace) error {
		handed = append(handed, t)
		return nil
	}})
	recordedSpans := 0 // in all
	b.lead(func(context.Context) error {
		r, err := decodeRecord(b.content())
		recordedSpans = 0
		for _, e := range r.Entries {
			recordedSpans += len(e.Spans)
		}
		return err
	})
	budgeted := func(n, size int, sent ...int) spans.Trace {
		tr := traceOf(n, size, recorded)
		tr.Selection = &spans.Selection{LeftOut: size - len(sent)}
		for _, i := range sent {
			tr.Selection.Spans = append(tr.Selection.Spans, tr.Spans[i])
		}
		return tr
	}
	put := func(traces ...spans.Trace) {
		t.Helper()
		handed = nil
		b.saved = time.Time{}
		if err := b.Put(traces); err != nil {
			t.Fatal(err)
		}
		for b.step(t.Context()) {
		}
		for i := range handed {
			sent := handed[i].Sent()
			b.Acknowledge(journal.KeysOf(&sent)...)
		}
		if b.spans != 0 || b.beside != 0 || len(b.open) != 0 {
			t.Errorf("%d spans wait, and %d beside them; %d are open", b.spans, b.beside, len(b.open))
		}
	}
	put(budgeted(1, 9, 0, 3))
	if len(handed) != 1 || len(handed[0].Spans) != 9 || len(handed[0].Sent().Spans) != 2 || recordedSpans != 2 {
		t.Errorf("handed out are %v, and %d spans recorded", handed, recordedSpans)
	}
	put(budgeted(2, 9)) // nothing of it has room
	if len(handed) != 1 || len(handed[0].Spans) != 9 || len(handed[0].Sent().Spans) != 0 || recordedSpans != 2 {
		t.Errorf("handed out are %v, and %d spans recorded", handed, recordedSpans)
	}
	large := mostBeside + 1
	put(budgeted(3, large, 0, 3), budgeted(4, large, 5), budgeted(5, large, 1))
	for i, want := range []int{2, 2, large} { // of the second the root besides
		if len(handed) != 3 || len(handed[i].Spans) != want || handed[i].Late || handed[i].Selection.LeftOut != large-len(handed[i].Sent().Spans) {
			t.Errorf("the trace %d has %d spans, want %d, late %t", i, len(handed[i].Spans), want, handed[i].Late)
		}
	}
	if recordedSpans != 6 {
		t.Errorf("%d spans are recorded, want the 6 that are sent", recordedSpans)
	}
}

// Who is told nothing else any more is told at the end what the delivery has failed with.
func TestFlushTellsOfFailure(t *testing.T) {
	full := errors.New("no space left on device")
	b := NewOutbox(Options{Log: slog.New(slog.DiscardHandler), Deliver: func(spans.Trace) error { return full }})
	b.LeadAlone()
	if err := b.Put([]spans.Trace{traceOf(1, 1, recorded)}); err != nil {
		t.Fatal(err)
	}
	b.step(t.Context())
	if err := b.Flush(t.Context()); !errors.Is(err, full) {
		t.Errorf("it ends with %v", err)
	}
}
