package causality

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// numbered looks up the numbers of a StatefulSet's or DaemonSet's rollouts: the
// highest that was given by the time the controller took the rollout up. It is done
// whenever the workload or one of its ControllerRevisions, which are a stream of their
// own, has been observed, until the rollout is handed out. So whoever links to a
// rollout, of whose trace's ID the number is a part, finds it numbered. It returns the
// workload, which may be nil.
func (e *Engine) numbered(w *workloads.Workload) *workloads.Workload {
	if w == nil || !w.Controller.Numbers.ByControllerRevision() {
		return w
	}
	highest := w.Forgotten
	for _, c := range w.Changes {
		if c.Kind == attr.ChangeDelete && !c.Ledger.Sent {
			c.Revision = highest
		}
		if c.Kind != attr.ChangeRollout || c == w.Pending {
			continue
		}
		if !c.Ledger.Sent && c.Ledger.InProgress.IsZero() {
			n := e.numberOf(w, c)
			if n.Revision <= highest && c.Cause != attr.CausePartition {
				// Numbers only grow: its own was not seen.
				n = workloads.RevisionNumber{}
			}
			c.Revision, c.RollbackTo = n.Revision, n.Before
		}
		highest = max(highest, c.Revision)
	}
	w.Revision = max(w.Revision, highest)
	return w
}

// numberOf returns the number of a rollout; zero if there is none.
func (e *Engine) numberOf(w *workloads.Workload, c *workloads.Change) workloads.RevisionNumber {
	var found workloads.RevisionNumber
	e.work.Spend(plans.WorkPerLookup * len(e.revisions[w.ObjectID]))
	for _, r := range e.revisions[w.ObjectID] {
		if c.RevisionName != "" && c.RevisionName != r.Name {
			continue
		}
		for i, n := range r.Numbers {
			// A StatefulSet names none that is not there, however late its
			// news comes.
			there := i == 0 && c.RevisionName != "" || !c.Numbered.Before(n.Write)
			if there && n.Revision > found.Revision {
				found = n
			}
		}
	}
	return found
}

func (e *Engine) observeControllerRevision(o Observation, in *appsv1.ControllerRevision) *workloads.Workload {
	id := kube.BuiltIn(kube.KindControllerRevision, in)
	var owner kube.ObjectID
	ref := kube.ControllerRef(in)
	if k := workloads.OwningController(ref); k != nil && k.Numbers.ByControllerRevision() {
		owner = kube.NewOwnerRef(ref).In(in.Namespace)
	}
	if was := e.revisionOf[id]; was != owner {
		w := e.releaseRevision(id, o.Time)
		if owner.UID == "" {
			return w // orphaned; the workload that takes it in gives it a number
		}
	}
	if owner.UID == "" {
		return nil
	}
	if o.Type == watch.Deleted {
		return e.releaseRevision(id, o.Time)
	}
	e.revisionOf[id] = owner
	revisions := e.revisions[owner]
	r := revisions[in.UID]
	if r == nil {
		r = &workloads.ControllerRevision{Name: in.Name}
		if revisions == nil {
			revisions = map[types.UID]*workloads.ControllerRevision{}
			e.revisions[owner] = revisions
		}
		revisions[in.UID] = r
	}
	r.Deleted = time.Time{}
	write := evidence.NewWrite(in.ResourceVersion, o)
	if o.Initial {
		write = evidence.Write{Arrival: in.CreationTimestamp.Time}
	}
	var last int64
	if n := len(r.Numbers); n > 0 {
		last = r.Numbers[n-1].Revision
	}
	if in.Revision > last {
		r.Numbers = append(r.Numbers, workloads.RevisionNumber{Revision: in.Revision, Before: last, Write: write})
		if len(r.Numbers) > workloads.MaxNumbers {
			r.Numbers = r.Numbers[1:]
		}
	}
	return e.workloads[owner]
}

// releaseRevision notes that a ControllerRevision is its workload's no more, and returns
// that. The controller has dropped an old one; or it went with its workload, of which
// the last rollout may still have to be told.
func (e *Engine) releaseRevision(id kube.ObjectID, seen time.Time) *workloads.Workload {
	owner, known := e.revisionOf[id]
	if !known {
		return nil
	}
	delete(e.revisionOf, id)
	w, revisions := e.workloads[owner], e.revisions[owner]
	switch r := revisions[id.UID]; {
	case r == nil:
	case w != nil:
		r.Deleted = seen
	default:
		delete(revisions, id.UID)
		if len(revisions) == 0 {
			delete(e.revisions, owner)
		}
	}
	return w
}

// forgetRevisions drops the ControllerRevisions that have been gone for a while,
// once no rollout waits for its number.
func (r *reviewer) forgetRevisions(old func(seen time.Time) bool) {
	revisions := r.engine.revisions[r.plan.Workload.ObjectID]
	for uid, rev := range revisions {
		if !rev.Deleted.IsZero() && !r.numbersNeeded() && old(rev.Deleted) {
			delete(revisions, uid)
		}
	}
	if len(revisions) == 0 {
		delete(r.engine.revisions, r.plan.Workload.ObjectID)
	}
}

// numbersNeeded reports whether a rollout is not told yet.
func (r *reviewer) numbersNeeded() bool {
	return slices.ContainsFunc(r.plan.Workload.Changes, func(c *workloads.Change) bool { return c.Kind == attr.ChangeRollout && !c.Ledger.Sent })
}
