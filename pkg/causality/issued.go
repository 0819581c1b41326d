package causality

import "go.opentelemetry.io/otel/trace"

// maxIssued bounds how many trace IDs are remembered at the least.
const maxIssued = 1 << 15

// issued are the trace IDs that the engine gave of late: of traces that it handed out,
// and of those to come that others of it lead to. Whoever can see traces can write such
// an ID into an annotation of a workload of his own, and would have that workload's
// spans in somebody else's trace.
type issued struct {
	// recent are those of now, before the ones that recent was full of last.
	recent, before map[trace.TraceID]struct{}
	// current are those of the workloads' current changes. However many others were
	// given since, these are remembered.
	current map[trace.TraceID]bool
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
	return recent || before || s.current[id]
}

// setCurrent notes the trace ID of a workload's current change.
func (s *issued) setCurrent(l *workloadLedger, id trace.TraceID) {
	if l.given == id {
		return
	}
	s.forgetCurrent(l)
	if s.current == nil {
		s.current = map[trace.TraceID]bool{}
	}
	l.given, s.current[id] = id, true
}

// forgetCurrent notes that a workload has no current change any more.
func (s *issued) forgetCurrent(l *workloadLedger) {
	if l.given.IsValid() {
		delete(s.current, l.given)
		s.add(l.given)
		l.given = trace.TraceID{}
	}
}

// give notes that something that is handed out is at a place, or leads to it.
func (s *issued) give(p place) place {
	s.add(p.own)
	return p
}
