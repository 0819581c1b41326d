package ledger

import (
	"go.opentelemetry.io/otel/trace"
)

// MaxIssued bounds how many trace IDs are remembered at the least.
const MaxIssued = 1 << 15

// Issued are the trace IDs that the engine gave of late: of traces that it handed out,
// and of those to come that others of it lead to. Whoever can see traces can write such
// an ID into an annotation of a workload of his own, and would have that workload's
// spans in somebody else's trace.
type Issued struct {
	// recent has the IDs that were given last. When it is full it becomes before, whose
	// IDs are forgotten.
	recent, before map[trace.TraceID]struct{}
	// Current are the IDs of the workloads' current changes. However many others were
	// given since, these are remembered.
	Current map[trace.TraceID]bool
	over    *Issued // see Over
}

// Add remembers a trace ID.
func (s *Issued) Add(id trace.TraceID) {
	if _, ok := s.recent[id]; ok {
		return
	}
	if s.recent == nil || len(s.recent) >= MaxIssued {
		s.recent, s.before = map[trace.TraceID]struct{}{}, s.recent
	}
	s.recent[id] = struct{}{}
}

// Has reports whether a trace ID is remembered.
func (s *Issued) Has(id trace.TraceID) bool {
	_, recent := s.recent[id]
	_, before := s.before[id]
	return recent || before || s.Current[id] || s.over != nil && s.over.Has(id)
}

// SetCurrent notes the trace ID of a workload's current change.
func (s *Issued) SetCurrent(l *Workload, id trace.TraceID) {
	if l.given == id {
		return
	}
	s.ForgetCurrent(l)
	if s.Current == nil {
		s.Current = map[trace.TraceID]bool{}
	}
	l.given, s.Current[id] = id, true
}

// ForgetCurrent notes that a workload has no current change any more.
func (s *Issued) ForgetCurrent(l *Workload) {
	if l.given.IsValid() {
		delete(s.Current, l.given)
		s.Add(l.given)
		l.given = trace.TraceID{}
	}
}

// Give notes that something that is handed out is at a place, or leads to it.
func (s *Issued) Give(p Place) Place {
	s.Add(p.Own)
	return p
}
