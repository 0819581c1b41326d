package budget

import (
	"go.opentelemetry.io/otel/trace"
)

// What is remembered of traces is bounded, as is what the engine remembers of their IDs: at
// least so many traces, and so many spans that were left out.
const (
	maxTraces  = 1 << 15
	maxLeftOut = 1 << 17
)

// state is what is remembered of a trace.
type state struct {
	used amount
	// cut is there if something of the trace was left out.
	cut *cut
}

// cut is what is remembered of a trace of which something was left out.
type cut struct {
	// leftOut are the spans that others may lead to, with the nearest span above each that
	// was kept.
	leftOut map[trace.SpanID]trace.SpanID
	// reasons are those of the failures that were kept.
	reasons map[string]bool
	// wait is how long what is left out waits for more, in minutes.
	wait int
}

// maxReasons is how many reasons are remembered of a trace.
const maxReasons = 64

// states are what is remembered of traces, in two generations.
type states struct {
	// recent has the traces of late. When it is full it becomes before, which is forgotten.
	recent, before map[trace.TraceID]state
	// leftOut is how many spans the cuts of recent have, and any that there are cuts at all.
	leftOut int
	any     bool
}

func (s *states) get(id trace.TraceID) state {
	if st, ok := s.recent[id]; ok {
		return st
	}
	return s.before[id]
}

func (s *states) put(id trace.TraceID, st state) {
	if _, ok := s.recent[id]; !ok {
		if s.recent == nil || len(s.recent) >= maxTraces || s.leftOut >= maxLeftOut {
			s.recent, s.before, s.leftOut = map[trace.TraceID]state{}, s.recent, 0
		}
		if st.cut != nil {
			s.leftOut += len(st.cut.leftOut)
		}
	}
	s.recent[id] = st
	s.any = s.any || st.cut != nil
}

// leave notes that a span was left out, and which one above it was kept. The trace must have
// been put.
func (s *states) leave(c *cut, id, above trace.SpanID) {
	if len(c.leftOut) < maxLeftOut {
		c.leftOut[id] = above
		s.leftOut++
	}
}

// keptFor is the span that stands for one that was left out; ok is false for one that was
// not, or is forgotten.
func (s *states) keptFor(in trace.TraceID, id trace.SpanID) (above trace.SpanID, ok bool) {
	if !s.any {
		return trace.SpanID{}, false
	}
	if st := s.get(in); st.cut != nil {
		above, ok = st.cut.leftOut[id]
	}
	return above, ok
}
