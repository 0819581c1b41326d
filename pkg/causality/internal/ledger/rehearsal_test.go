package ledger

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Whoever looks at what is in progress changes nothing of where the log records of an Event lead.
func TestRehearsalLeavesWhichSpanHasAnEvent(t *testing.T) {
	at := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	var ev Event
	ev.EmitRecord(1, at)
	ev.EmitOn(trace.TraceID{1}, trace.SpanID{1})
	ev.Claimed, ev.Count, ev.At = true, 1, at
	ev.EmitRecord(2, at.Add(time.Second))

	var r Rehearsal
	Keep(&r, &ev)
	ev.EmitOn(trace.TraceID{2}, trace.SpanID{2})
	ev.Count, ev.At = 2, at.Add(time.Second)
	r.End()

	if in, id, ok := ev.On(1, at); !ok || in != (trace.TraceID{1}) || id != (trace.SpanID{1}) {
		t.Errorf("the first time is on %s of %s, %t", id, in, ok)
	}
}
