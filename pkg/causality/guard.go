package causality

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/faults"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Whatever is read of one object, and whatever is built for one workload, is done
// inside a boundary: a fault in it, be it a mistake of the engine's or an input that
// nobody thought of, costs what it is about and nothing else.

// Fault is something that went wrong inside the engine and was contained: what was
// known of the objects it is about was dropped, and is read anew as of the next
// observation of each, as if the watch had begun then.
type Fault struct {
	// Kind says what went wrong.
	Kind FaultKind
	// Doing is what the engine was doing: "observe", "review", "disruption",
	// "activity", "record", "sweep" or "drop".
	Doing string
	// Object is what it was doing that for, as Kind namespace/name. It is empty
	// where that is nothing in particular.
	Object string
	// Reason is the panic's text, or how much work was too much.
	Reason string
	// Place is the file and line, and Stack the goroutine's, where it happened.
	Place, Stack string
}

// FaultKind is a kind of Fault.
type FaultKind string

const (
	// FaultPanic is a mistake in the engine.
	FaultPanic FaultKind = "panic"
	// FaultWork is more work than one workload may cause.
	FaultWork FaultKind = "work"
)

// workBudget is how much work one object or workload may cause at once, in the units of
// evidence.Work. A unit takes some ten nanoseconds. A Deployment's rollout of 10,000 pods
// takes a hundred thousand of them, a StatefulSet's of as many, whose pods come one after
// the other, seven million.
const workBudget = 200_000_000

// restPerUnit is how long a workload is left alone for each unit of work of its last
// review: ten times what the unit took. So what costs much is not done for each of
// thousands of changes that get ready one after the other.
const restPerUnit = 100 * time.Nanosecond

// rest is how long to leave alone what was done inside the boundary.
func (e *Engine) rest() time.Duration {
	return max(time.Nanosecond, time.Duration(e.budget-e.work.Left)*restPerUnit)
}

// guard does something inside the boundary. It returns what went wrong, nil if nothing
// did.
func (e *Engine) guard(do func()) (f *Fault) {
	e.work.Left, e.plans = e.budget, nil
	defer func() {
		if cause := recover(); cause != nil {
			f = e.faultOf(cause)
		}
		e.worked += e.budget - e.work.Left
	}()
	do()
	return nil
}

// faultOf is what was recovered.
func (e *Engine) faultOf(cause any) *Fault {
	f := &Fault{Kind: FaultPanic, Reason: fmt.Sprint(cause)}
	if _, ok := cause.(evidence.Exhausted); ok {
		f.Kind, f.Reason = FaultWork, "it takes more than "+strconv.Itoa(e.budget)+" steps"
	}
	f.Place, f.Stack = faults.Where()
	return f
}

// contain counts a fault and reports it.
func (e *Engine) contain(f *Fault, doing string, id kube.ObjectID, name string) {
	f.Doing = doing
	if id.Kind != "" {
		f.Object = id.Kind + " " + strings.TrimPrefix(id.Namespace+"/"+name, "/")
	}
	e.stats.Faults[f.Kind]++
	if e.opts.OnFault != nil {
		e.opts.OnFault(*f)
	}
}

// reviewGuarded is review inside the boundary: what fails costs the workload's trace.
func (e *Engine) reviewGuarded(w *workloads.Workload, wanted extent) (out []spans.Trace) {
	if f := e.guard(func() { out = e.review(w, wanted) }); f != nil {
		e.contain(f, "review", w.ObjectID, w.Name)
		e.dropWorkload(w)
		return nil
	}
	return out
}

// takeLastNews takes in what waits to be put together, before the last look at the workloads:
// whichever of them comes first may link to another.
func (e *Engine) takeLastNews(wanted extent) {
	for _, w := range e.dueWorkloads(wanted) {
		if w.Composition == nil || !e.due.Has(w) {
			continue
		}
		if f := e.guard(func() { e.takeNews(w, wanted) }); f != nil {
			e.contain(f, "review", w.ObjectID, w.Name)
			e.dropWorkload(w)
		}
	}
}

// planOf is the plan of a workload, for what is told of another one that has to do with
// it. Its budget is its own: nobody's trace is given up for what others ask for. It is
// made once for all that is done inside one boundary; nil if it could not be.
func (e *Engine) planOf(w *workloads.Workload) *plans.Plan {
	return e.planFor(w, false)
}

// planOfAll is planOf where pods may be asked for that are at rest.
func (e *Engine) planOfAll(w *workloads.Workload) *plans.Plan {
	return e.planFor(w, true)
}

func (e *Engine) planFor(w *workloads.Workload, all bool) *plans.Plan {
	if p, known := e.plans[w]; known && (p == nil || !all || !p.Awake()) {
		return p
	}
	left, known := e.work.Left, e.plans
	var p *plans.Plan
	if f := e.guard(func() {
		if !all {
			p = e.awakePlan(w)
		}
		if p == nil {
			p = e.plan(w)
		}
	}); f != nil {
		p = nil
		e.contain(f, "review", w.ObjectID, w.Name)
		e.dropWorkload(w)
	}
	e.work.Left, e.plans = left, known
	e.planned(w, p)
	return p
}

// planned notes the plan of a workload for planOf.
func (e *Engine) planned(w *workloads.Workload, p *plans.Plan) {
	if e.plans == nil {
		e.plans = map[*workloads.Workload]*plans.Plan{}
	}
	e.plans[w] = p
}

// dropWorkload forgets all that is known of a workload, as parts of it may be half
// written. What of it is still there is read anew as of its next observation.
func (e *Engine) dropWorkload(w *workloads.Workload) {
	for _, set := range slices.Clone(e.setsOf[w.ObjectID]) {
		for _, pod := range slices.Clone(e.podsOf[set.ObjectID]) {
			e.drop(pod.ObjectID)
		}
		e.drop(set.ObjectID)
		delete(e.podsOf, set.ObjectID)
	}
	delete(e.setsOf, w.ObjectID)
	e.drop(w.ObjectID)
	e.due.Remove(w)
}

// dropObserved forgets the object that an observation is of, and its workload's.
func (e *Engine) dropObserved(id kube.ObjectID) {
	if obj := e.objects[id]; obj != nil {
		if w := e.workloadOf(obj); w != nil {
			e.dropWorkload(w)
		}
	}
	e.drop(id)
}

// drop forgets one object, inside the boundary: should that fail, the others of its
// workload are dropped all the same.
func (e *Engine) drop(id kube.ObjectID) {
	name := ""
	if obj := e.objects[id]; obj != nil {
		name = obj.Name
	}
	if f := e.guard(func() { e.dropRecord(id) }); f != nil {
		e.contain(f, "drop", id, name)
		delete(e.objects, id)
	}
}

// dropRecord forgets one object, whatever it is. Unlike the orderly ways to forget one
// it relies on little that its record says.
func (e *Engine) dropRecord(id kube.ObjectID) {
	if e.mayComeAgain(id) {
		e.reread[id] = true
	}
	if pod := e.pods[id]; pod != nil {
		e.claims.Drop(pod)
		e.dropMirror(pod)
		e.nominate(pod, "")
		e.releasePod(pod)
		e.lost.forget(pod)
		delete(e.pods, id)
	}
	if set := e.sets[id]; set != nil {
		e.releaseSet(set)
		delete(e.sets, id)
	}
	e.forgetUnseen(id)
	if n := e.nodes.ByID[id]; n != nil {
		e.forgetNode(n)
	}
	e.claims.Forget(id)
	if w := e.workloads[id]; w != nil {
		e.forgetWorkload(w)
	}
	if obj := e.objects[id]; obj != nil {
		e.orphans.Remove(obj)
		e.settled(obj)
		e.forget(obj)
	}
}

// mayComeAgain reports whether more will be observed of an object than its end.
func (e *Engine) mayComeAgain(id kube.ObjectID) bool {
	if pod := e.pods[id]; pod != nil {
		return !pod.Gone.Known()
	}
	if w := e.workloads[id]; w != nil {
		return !w.Deleted
	}
	if set := e.sets[id]; set != nil {
		return !set.Gone
	}
	if n := e.nodes.ByID[id]; n != nil {
		return !n.Gone
	}
	obj := e.objects[id]
	return obj == nil && id.UID != "" || obj != nil && obj.Proven
}
