package causality

import "go.opentelemetry.io/otel/trace"

// maxIssued bounds how many trace IDs are remembered at the least.
const maxIssued = 1 << 15

// issued are the trace IDs that the engine gave of late. Whoever can see traces can
// write such an ID into an annotation of a workload of his own, and would have that
// workload's spans in somebody else's trace.
type issued struct {
	// recent are those of now, before the ones that recent was full of last.
	recent, before map[trace.TraceID]struct{}
}

func (s *issued) add(id trace.TraceID) {
	if _, ok := s.recent[id]; ok {
		return
	}
	if s.recent == nil || len(s.recent) >= maxIssued {
		s.recent, s.before = map[trace.TraceID]struct{}{}, s.recent
	}
	s.recent[id] = struct{}{}
}

func (s *issued) has(id trace.TraceID) bool {
	_, recent := s.recent[id]
	_, before := s.before[id]
	return recent || before
}
