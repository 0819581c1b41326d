package watcher

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// recordDelay is how much later than its Event a log record is handed out at most.
const recordDelay = 10 * time.Second

// logRecords tells log records from traces.
func logRecords(finished []spans.Trace) (records, traces []spans.Trace) {
	for _, t := range finished {
		if t.Record != nil {
			records = append(records, t)
		} else {
			traces = append(traces, t)
		}
	}
	return records, traces
}

// recordsSince leaves of log records that were made of a history those that the process before
// cannot have sent, which wrote its Lease last at a time. They name only what is told.
func recordsSince(records []spans.Trace, last time.Time, told []spans.Trace) (since []spans.Trace) {
	if last.IsZero() {
		return nil
	}
	known := map[trace.TraceID]bool{}
	for i := range told {
		known[told[i].Root().TraceID] = true
	}
	for _, t := range records {
		if !t.Record.Time.After(last.Add(-recordDelay)) {
			continue
		}
		if !known[t.Record.TraceID] {
			t.Record.TraceID, t.Record.SpanID = trace.TraceID{}, trace.SpanID{}
		}
		since = append(since, t)
	}
	return since
}
