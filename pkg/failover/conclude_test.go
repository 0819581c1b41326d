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
