package ledger

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Place is where the spans of a change are: in a trace of its own, or in that
// of who deployed it.
//
// The IDs of spans are made of the change's identity in either case. So
// changes that join one trace, as those of one `kubectl apply` do, keep apart in
// it, and a span's ID does not depend on whether its change joined one.
type Place struct {
	// Own is the identity of the change, hashed. It is the ID of its trace if the change
	// joined none.
	Own trace.TraceID
	// Joined is the span that the change's root is a child of, if there is one.
	Joined trace.SpanContext
}

// OwnPlace is the place of a change that never joins another's trace.
func OwnPlace(identity ...string) Place { return Place{Own: spans.NewTraceID(identity...)} }

// TraceID is the trace that the spans are in.
func (p Place) TraceID() trace.TraceID {
	if p.Joined.IsValid() {
		return p.Joined.TraceID()
	}
	return p.Own
}

// RootID is the ID of the change's own span.
func (p Place) RootID() trace.SpanID { return p.SpanID("root") }

// SpanID is the ID of the span that has this identity among the change's.
func (p Place) SpanID(identity ...string) trace.SpanID { return spans.NewSpanID(p.Own, identity...) }
