package causality

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// place is where the spans of a change are: in a trace of its own, or in that
// of who deployed it.
//
// The IDs of spans are made of the change's identity in either case. So
// changes that join one trace, as those of one `kubectl apply` do, keep apart in
// it, and a span's ID does not depend on whether its change joined one.
type place struct {
	// own is the change's identity, hashed: the ID of its trace if it joined
	// none.
	own trace.TraceID
	// joined is the span that the change's root is a child of, if there is one.
	joined trace.SpanContext
}

// ownPlace is the place of a change that never joins another's trace.
func ownPlace(identity ...string) place { return place{own: spans.NewTraceID(identity...)} }

// traceID is the trace that the spans are in.
func (p place) traceID() trace.TraceID {
	if p.joined.IsValid() {
		return p.joined.TraceID()
	}
	return p.own
}

// rootID is the ID of the change's own span.
func (p place) rootID() trace.SpanID { return p.spanID("root") }

// spanID is the ID of the span that has this identity among the change's.
func (p place) spanID(identity ...string) trace.SpanID { return spans.NewSpanID(p.own, identity...) }
