package ledger

import (
	"go.opentelemetry.io/otel/trace"
)

// MaxHandedOut bounds how many spans are remembered as handed out, at the least.
const MaxHandedOut = 1 << 15

// HandedOut are the spans that were handed out of late. IDs are made of what objects state,
// and somebody may write an object that states what another one did; or what was known of an
// object was dropped after a fault.
type HandedOut struct {
	// recent has those that were handed out last. When it is full it becomes before, which
	// is forgotten.
	recent, before map[spanOf]struct{}
}

// spanOf is a span of a trace.
type spanOf struct {
	trace trace.TraceID
	span  trace.SpanID
}

// Add notes a span, and reports whether it is the first of its ID.
func (h *HandedOut) Add(in trace.TraceID, id trace.SpanID) bool {
	s := spanOf{in, id}
	_, recent := h.recent[s]
	_, before := h.before[s]
	if recent || before {
		return false
	}
	if h.recent == nil || len(h.recent) >= MaxHandedOut {
		h.recent, h.before = map[spanOf]struct{}{}, h.recent
	}
	h.recent[s] = struct{}{}
	return true
}
