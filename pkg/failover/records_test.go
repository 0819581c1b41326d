package failover

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// The leader hands log records out at once. Who takes its Lease hands out those that came since
// it was written last, and those before have been.
func TestRecordsAtATakeover(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	var told, taken []string
	names := map[journal.SpanKey]string{}
	record := func(name string) []spans.Trace {
		r := &spans.Record{UID: spans.NewTraceID(name), Message: name}
		in, id := r.Key()
		names[journal.SpanKey{TraceID: in, SpanID: id}] = name
		return []spans.Trace{{Record: r}}
	}
	o := NewOutbox(Options{
		Deliver: func(tr spans.Trace) error { told = append(told, tr.Record.Message); return nil },
		Taken: func(keys ...journal.SpanKey) {
			for _, key := range keys {
				taken = append(taken, names[key])
			}
		},
		Now: func() time.Time { return now },
	})
	at := func(second int, name string) {
		now = time.Date(2026, 1, 2, 10, 0, second, 0, time.UTC)
		o.PutRecords(record(name))
		o.stepRecords()
	}
	at(0, "long told")
	now = now.Add(12 * time.Second)
	o.renewed(now.Add(-2 * time.Second))
	at(28, "told")
	at(29, "at the last write")
	at(33, "since")
	o.renewed(time.Date(2026, 1, 2, 10, 0, 30, 0, time.UTC))
	if len(told) > 0 || !slices.Equal(taken, []string{"long told"}) {
		t.Fatalf("a standby has handed out %q, and given up %q", told, taken)
	}
	term := o.lead(func(context.Context) error { return nil })
	at(45, "own")
	if want := []string{"told", "at the last write", "since", "own"}; !slices.Equal(told, want) {
		t.Errorf("handed out %q, want %q", told, want)
	}
	o.resign(term)
	at(46, "of the next")
	if len(told) != 4 {
		t.Errorf("handed out after the Lease was lost: %q", told[4:])
	}
}

// A leader whose clock is ahead has not handed out what came after its last write was seen.
func TestRecordsAtATakeoverFromAClockThatIsAhead(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	var told []string
	o := NewOutbox(Options{
		Deliver: func(tr spans.Trace) error { told = append(told, tr.Record.Message); return nil },
		Taken:   func(...journal.SpanKey) {},
		Now:     func() time.Time { return now },
	})
	began, ahead := now, 10*time.Minute
	for second := range 20 { // the leader writes every two seconds, and dies after ten
		now = began.Add(time.Duration(second) * time.Second)
		o.renewed(began.Add(time.Duration(min(second, 10)/2*2)*time.Second + ahead))
		o.PutRecords([]spans.Trace{{Record: &spans.Record{UID: spans.NewTraceID(now.String()), Message: now.Format("05")}}})
		o.stepRecords()
	}
	o.lead(func(context.Context) error { return nil })
	o.stepRecords()
	if want := []string{"08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19"}; !slices.Equal(told, want) {
		t.Errorf("handed out %q, want %q", told, want)
	}
}

// A process goes on with a data directory, while the Lease is still held for the one before, which is
// dead: however long that takes, nobody else has handed out what the journal says is to be sent.
func TestRecordsOfAJournalWaitForTheLease(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	var told []string
	o := NewOutbox(Options{
		Deliver: func(tr spans.Trace) error { told = append(told, tr.Record.Message); return nil },
		Taken: func(keys ...journal.SpanKey) {
			if len(keys) > 0 {
				t.Errorf("of what nobody has handed out %d are given up", len(keys))
			}
		},
		Now: func() time.Time { return now },
	})
	put := func(what string) {
		o.PutRecords([]spans.Trace{{Record: &spans.Record{UID: spans.NewTraceID(what), Message: what}}})
	}
	o.renewed(now.Add(-time.Second)) // by the one before
	put("of the journal")
	now = now.Add(LeaseDuration + 10*time.Second) // of a busy machine
	put("seen since")
	o.lead(func(context.Context) error { return nil })
	o.stepRecords()
	if want := []string{"of the journal", "seen since"}; !slices.Equal(told, want) {
		t.Errorf("handed out %q, want %q", told, want)
	}
}

// What waits in a standby is bounded.
func TestRecordsOfAStandbyAreBounded(t *testing.T) {
	taken := 0
	o := NewOutbox(Options{
		Deliver: func(spans.Trace) error { t.Error("a standby hands out"); return nil },
		Taken:   func(keys ...journal.SpanKey) { taken += len(keys) },
	})
	for range mostRecords + 7 {
		o.PutRecords([]spans.Trace{{Record: &spans.Record{UID: [16]byte{1}}}})
	}
	if len(o.records) != mostRecords || taken != 7 {
		t.Errorf("%d wait, and %d were given up", len(o.records), taken)
	}
}
