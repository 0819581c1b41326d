package causality

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// maxNumbers bounds what is kept of a ControllerRevision that is rolled back
// to again and again.
const maxNumbers = 32

// controllerRevision is what the engine keeps of a ControllerRevision, which
// numbers the rollouts of StatefulSets and DaemonSets. One that is rolled back
// to gets a new number
// (k8s.io/kubernetes/pkg/controller/history, UpdateControllerRevision).
type controllerRevision struct {
	name    string
	numbers []revisionNumber
	deleted time.Time // when that was seen, zero while it is there
}

type revisionNumber struct {
	revision int64
	before   int64 // the number that it replaced, 0 if it is the first
	stamp    stamp
}

// numbered looks up the numbers of a StatefulSet's or DaemonSet's rollouts: the
// highest that was given by the time the controller took the rollout up. It is done
// whenever the workload or one of its ControllerRevisions, which are a stream of their
// own, has been observed, until the rollout is handed out. So whoever links to a
// rollout, of whose trace's ID the number is a part, finds it numbered. It returns the
// workload, which may be nil.
func (e *Engine) numbered(d *workload) *workload {
	if d == nil || !d.controller.numbers.byControllerRevision() {
		return d
	}
	told := d.forgotten
	for _, c := range d.changes {
		if c.kind == attr.ChangeDelete && !c.ledger.sent {
			c.revision = told
		}
		if c.kind != attr.ChangeRollout || c == d.pending {
			continue
		}
		if !c.ledger.sent && c.ledger.inProgress.IsZero() {
			n := e.numberOf(d, c)
			if n.revision <= told && c.cause != attr.CausePartition {
				// Numbers only grow: its own was not seen.
				n = revisionNumber{}
			}
			c.revision, c.rollbackTo = n.revision, n.before
		}
		told = max(told, c.revision)
	}
	d.revision = max(d.revision, told)
	return d
}

// numberOf returns the number of a rollout; zero if there is none.
func (e *Engine) numberOf(d *workload, c *change) revisionNumber {
	var found revisionNumber
	e.work.spend(stepsALookup * len(e.revisions[d.objectID]))
	for _, r := range e.revisions[d.objectID] {
		if c.revisionName != "" && c.revisionName != r.name {
			continue
		}
		for i, n := range r.numbers {
			// A StatefulSet names none that is not there, however late its
			// news comes.
			there := i == 0 && c.revisionName != "" || !c.numbered.before(n.stamp)
			if there && n.revision > found.revision {
				found = n
			}
		}
	}
	return found
}

func (e *Engine) observeControllerRevision(o Observation, in *appsv1.ControllerRevision) *workload {
	id := builtIn(kindControllerRevision, in)
	var owner objectID
	ref := controllerRef(in)
	if k := owningController(ref); k != nil && k.numbers.byControllerRevision() {
		owner = newOwnerRef(ref).in(in.Namespace)
	}
	if was := e.revisionOf[id]; was != owner {
		d := e.releaseRevision(id, o.Time)
		if owner.uid == "" {
			return d // orphaned; the workload that takes it in gives it a number
		}
	}
	if owner.uid == "" {
		return nil
	}
	if o.Type == watch.Deleted {
		return e.releaseRevision(id, o.Time)
	}
	e.revisionOf[id] = owner
	revisions := e.revisions[owner]
	r := revisions[in.UID]
	if r == nil {
		r = &controllerRevision{name: in.Name}
		if revisions == nil {
			revisions = map[types.UID]*controllerRevision{}
			e.revisions[owner] = revisions
		}
		revisions[in.UID] = r
	}
	r.deleted = time.Time{}
	s := newStamp(in.ResourceVersion, o)
	if o.Initial {
		s = stamp{arrival: in.CreationTimestamp.Time}
	}
	var last int64
	if n := len(r.numbers); n > 0 {
		last = r.numbers[n-1].revision
	}
	if in.Revision > last {
		r.numbers = append(r.numbers, revisionNumber{revision: in.Revision, before: last, stamp: s})
		if len(r.numbers) > maxNumbers {
			r.numbers = r.numbers[1:]
		}
	}
	return e.workloads[owner]
}

// releaseRevision notes that a ControllerRevision is its workload's no more, and returns
// that. The controller has dropped an old one; or it went with its workload, of which
// the last rollout may still have to be told.
func (e *Engine) releaseRevision(id objectID, seen time.Time) *workload {
	owner, known := e.revisionOf[id]
	if !known {
		return nil
	}
	delete(e.revisionOf, id)
	d, revisions := e.workloads[owner], e.revisions[owner]
	switch r := revisions[id.uid]; {
	case r == nil:
	case d != nil:
		r.deleted = seen
	default:
		delete(revisions, id.uid)
		if len(revisions) == 0 {
			delete(e.revisions, owner)
		}
	}
	return d
}

// forgetRevisions drops the ControllerRevisions that have been gone for a while,
// once no rollout waits for its number.
func (r *reviewer) forgetRevisions(old func(seen time.Time) bool) {
	revisions := r.engine.revisions[r.objectID]
	for uid, rev := range revisions {
		if !rev.deleted.IsZero() && !r.numbersNeeded() && old(rev.deleted) {
			delete(revisions, uid)
		}
	}
	if len(revisions) == 0 {
		delete(r.engine.revisions, r.objectID)
	}
}

// numbersNeeded reports whether a rollout is not told yet.
func (r *reviewer) numbersNeeded() bool {
	return slices.ContainsFunc(r.plan.changes, func(c *change) bool { return c.kind == attr.ChangeRollout && !c.ledger.sent })
}
