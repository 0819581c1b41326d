package ledger

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A ledger is what was handed out of a record: which of its spans went out, where, and
// what later ones have to agree with. A record says what was observed and a plan what
// follows from that; neither changes when something is told. So a ledger knows no
// record. It is written by its own methods alone, and these are called by who hands
// out; who observes calls those that pass over what is old news.

// SentSpan is what is remembered of a span that was handed out.
type SentSpan struct {
	Place      Place
	SpanID     trace.SpanID
	Start, End time.Time
}

// Event is what was handed out of an Event.
type Event struct {
	// claimed says that a span has the Event, or that it was passed over as old news: it
	// appears once.
	Claimed bool
}

func (l *Event) Claim() { l.Claimed = true }

// Step is what was handed out of a step of a ReplicaSet.
type Step struct {
	// sentStart is the start of the step's span, once that was handed out.
	SentStart time.Time
	// filled counts the pods of the step that the engine has forgotten.
	Filled int32
}

// EmitFrom notes that the step's span was handed out, and when that starts.
func (l *Step) EmitFrom(start time.Time) { l.SentStart = start }

// Fill notes that one of the step's pods is about to be forgotten.
func (l *Step) Fill() { l.Filled++ }
