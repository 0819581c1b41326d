package workloads

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Outline is all that a plan depends on but pods. While it is the same, so is what a plan says
// of pods that are the same.
type Outline struct {
	pending  *Change
	opened   evidence.Write // of the pending one
	revision int64
	changes  []changeOutline
	sets     []setOutline
}

type changeOutline struct {
	change                     *Change
	opened, ended, retried     evidence.Write
	outcome                    attr.Outcome
	fewer                      int32
	over, sent, told, recovery bool
}

type setOutline struct {
	set               *PodSet
	first             *Step // steps that are added leave those before as they are
	revision          int64
	listed            int32
	gone              bool
	released, deleted evidence.Write
}

// Outline is what the workload, whose sets are given, is like now.
func (w *Workload) Outline(sets []*PodSet) Outline {
	o := Outline{pending: w.Pending, revision: w.Revision}
	if w.Pending != nil {
		o.opened = w.Pending.Opened
	}
	for _, c := range w.Changes {
		o.changes = append(o.changes, changeOutline{
			change: c, opened: c.Opened, ended: c.EndedBy, retried: c.RetriedBy, outcome: c.Outcome(), fewer: c.Fewer,
			over: c.Over(), sent: c.Ledger.Sent, told: c.Ledger.Root != nil, recovery: c.Recovered,
		})
	}
	for _, set := range sets {
		s := setOutline{set: set, revision: set.Revision, listed: set.Listed, gone: set.Gone, released: set.ReleasedBy, deleted: set.DeletedBy}
		if len(set.Steps) > 0 {
			s.first = set.Steps[0]
		}
		o.sets = append(o.sets, s)
	}
	return o
}

// Equal reports whether a plan says the same of pods that are the same.
func (o *Outline) Equal(other Outline) bool {
	return o.pending == other.pending && o.opened == other.opened && o.revision == other.revision &&
		slices.Equal(o.changes, other.changes) && slices.Equal(o.sets, other.sets)
}

// OpenAlone is the change that is open while all before it were handed out; ok is false where
// others are still to be, or more is to be told of one that was.
func (w *Workload) OpenAlone() (open *Change, ok bool) {
	for _, c := range w.Changes {
		switch {
		case c.Ledger.Sent && c.Ledger.Root != nil && !c.BeingRetried() && (!c.Recovered || c.Ledger.RecoverySent):
		case c == w.Current() && !c.Ledger.Sent && !c.Over() && c.Kind != attr.ChangeDelete && !c.BeingRetried():
			open = c
		default:
			return nil, false
		}
	}
	return open, true
}

// IsOpen reports whether something of the workload's changes is still to be handed out, by which
// Events about what belongs to it may be told.
func (w *Workload) IsOpen() bool {
	c := w.Current()
	return w.Unsent() > 0 || c != nil && c.BeingRetried() || w.toResume && !w.Deleted
}

// Unsent is how many of the workload's changes are still to be handed out.
func (w *Workload) Unsent() (n int) {
	for _, c := range w.Changes {
		if !c.Ledger.Sent {
			n++
		}
	}
	return n
}
