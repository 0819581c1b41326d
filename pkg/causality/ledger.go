package causality

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A ledger is what was handed out of a record: which of its spans went out, where, and
// what later ones have to agree with. A record says what was observed and a plan what
// follows from that; neither changes when something is told. So a ledger knows no
// record. It is written by its own methods alone, and these are called by who hands
// out; who observes calls those that pass over what is old news.

// sentSpan is what is remembered of a span that was handed out.
type sentSpan struct {
	place      place
	spanID     trace.SpanID
	start, end time.Time
}

// eventLedger is what was handed out of an Event.
type eventLedger struct {
	// claimed says that a span has the Event, or that it was passed over as old news: it
	// appears once.
	claimed bool
}

func (l *eventLedger) claim() { l.claimed = true }

// stepLedger is what was handed out of a step of a ReplicaSet.
type stepLedger struct {
	// sentStart is the start of the step's span, once that was handed out.
	sentStart time.Time
	// filled counts the pods of the step that the engine has forgotten.
	filled int32
}

// toldFrom notes that the step's span was handed out, and when that starts.
func (l *stepLedger) toldFrom(start time.Time) { l.sentStart = start }

// fill notes that one of the step's pods is about to be forgotten.
func (l *stepLedger) fill() { l.filled++ }
