package ledger

// Rehearsal has what was written in ledgers while nothing is handed out undone again: see Keep.
// The zero value is ready to use.
type Rehearsal struct{ undo []func() }

// Keep has a ledger written back as it is now when the rehearsal is over. What it points to is
// not kept: nothing that is there is written to, but only put in its place.
func Keep[L Change | Workload | Schedule | Step | Event | Pod](r *Rehearsal, l *L) {
	was := *l
	r.undo = append(r.undo, func() { *l = was })
}

// End writes back what was kept.
func (r *Rehearsal) End() {
	for _, undo := range r.undo {
		undo()
	}
	r.undo = nil
}

// Over returns an Issued that knows the trace IDs that this one does, and in which more can be
// noted that this one then does not know.
func (s *Issued) Over() *Issued { return &Issued{over: s} }
