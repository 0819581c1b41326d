package ledger

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// SentSpan is what is remembered of a span that was handed out.
type SentSpan struct {
	Place      Place
	SpanID     trace.SpanID
	Service    string // the component that did the work: "kubelet"
	Start, End time.Time
}

// Event is what was handed out of a Kubernetes Event.
type Event struct {
	// Claimed says that a span has the Event, or that it was passed over as old news: each
	// of its repetitions appears once.
	Claimed bool
	// Count is how often it had happened, and At when it did last, as far as that was
	// handed out. What came after that is still to be.
	Count int32
	At    time.Time
	// Records are what log records know of the Event; nil where there are none.
	Records *EventRecords
}

// EventRecords is what was handed out of a Kubernetes Event as log records.
type EventRecords struct {
	// Count and At are how often it had happened when the last record was made of it, and when
	// it did last.
	Count int32
	At    time.Time
	// TraceID and SpanID are the span that took the Event last, and before what others had of
	// it when that did.
	TraceID trace.TraceID
	SpanID  trace.SpanID
	before  struct {
		count int32
		at    time.Time
	}
}

// EmitRecord notes that a log record is made of the time at which the Event happened so often.
func (l *Event) EmitRecord(count int32, at time.Time) {
	if l.Records == nil {
		l.Records = &EventRecords{}
	}
	l.Records.Count, l.Records.At = count, at
}

// EmitOn notes the span that is about to take what others have not. What was noted before is not
// written to, as a Rehearsal puts it back.
func (l *Event) EmitOn(in trace.TraceID, id trace.SpanID) {
	if l.Records != nil {
		r := *l.Records
		r.TraceID, r.SpanID = in, id
		r.before.count, r.before.at = l.Count, l.At
		l.Records = &r
	}
}

// On is the span that has the time at which the Event happened so often; ok is false if none
// has, or it is not known which.
func (l *Event) On(count int32, at time.Time) (in trace.TraceID, id trace.SpanID, ok bool) {
	r := l.Records
	if r == nil || !r.SpanID.IsValid() || !l.Has(count, at) {
		return in, id, false
	}
	others := Event{Claimed: !r.before.at.IsZero(), Count: r.before.count, At: r.before.at}
	return r.TraceID, r.SpanID, !others.Has(count, at)
}

// Claim notes that a span has the Event up to the time at which it happened so often.
func (l *Event) Claim(count int32, at time.Time) { l.Claimed, l.Count, l.At = true, count, at }

// PassOver notes that the Event is old news up to the time at which it had happened so
// often.
func (l *Event) PassOver(count int32, at time.Time) { l.Claim(count, at) }

// Has reports whether the time at which the Event happened so often was handed out.
func (l *Event) Has(count int32, at time.Time) bool {
	return l.Claimed && (at.Before(l.At) || at.Equal(l.At) && count <= l.Count)
}

// Step is what was handed out of a step of a ReplicaSet.
type Step struct {
	// SentStart is the start of the step's span, once that was handed out.
	SentStart time.Time
	// Filled counts the pods of the step that the engine has forgotten. Of a step from 0 to
	// 10 whose first three pods are gone, and told, it is 3, and 7 places are left.
	Filled int32
}

// EmitFrom notes that the step's span is handed out, and when that starts.
func (l *Step) EmitFrom(start time.Time) { l.SentStart = start }

// Fill notes that one of the step's pods is about to be forgotten.
func (l *Step) Fill() { l.Filled++ }
