package causality

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// SetWorkBudget bounds how much work one object or workload may cause at once.
func (e *Engine) SetWorkBudget(steps int) { e.budget = steps }

// PlanInTurn plans workloads, each by its place in the order of their identities. It is an
// error if two plans of one workload differ.
func (e *Engine) PlanInTurn(turns []int) error {
	ds := make([]*workloads.Workload, 0, len(e.workloads))
	for _, w := range e.workloads {
		ds = append(ds, w)
	}
	if len(ds) == 0 {
		return nil
	}
	slices.SortFunc(ds, func(a, b *workloads.Workload) int { return a.Compare(b.ObjectID) })
	left := e.work.Left
	defer func() { e.work.Left = left }()
	plans := map[*workloads.Workload]*plans.Plan{}
	for _, i := range turns {
		w := ds[i%len(ds)]
		e.work.Left = e.budget
		p := e.plan(w)
		findAll(p)
		if before := plans[w]; before != nil && !reflect.DeepEqual(before, p) {
			return fmt.Errorf("two plans of %s %s differ", w.Kind, w.Name)
		}
		plans[w] = p
	}
	return nil
}

// findAll works out what a plan leaves for when it is asked for.
func findAll(p *plans.Plan) {
	build.Successors(p)
	for _, set := range p.Sets {
		for _, step := range set.Steps {
			p.Decided(set, step)
		}
	}
	for _, c := range p.Workload.Changes {
		p.StepsOf(c)
		p.StartOf(c)
		p.Settled(c)
		isJoinable(p, c)
	}
	for _, n := range p.Named() {
		p.Times(n, "SuccessfulCreate")
		p.Times(n, "SuccessfulDelete")
	}
}

// isJoinable asks for the trace that a change is to join, and does not decide it.
func isJoinable(p *plans.Plan, c *workloads.Change) bool { return p.Join(c).IsValid() }

// BuildAll builds all that there is to tell of every workload, and of every node, and
// forgets nothing of it.
func (e *Engine) BuildAll() {
	for _, w := range e.workloads {
		e.work.Left, e.plans = e.budget, nil
		r := &reviewer{plan: e.plan(w), engine: e, wanted: everything}
		r.scheduled()
		r.finished()
		r.recoveries()
		r.lateSpans()
		r.replacements()
		r.restarts()
		r.linkVictims()
		r.wanted = whatSettled
		r.inProgress()
	}
	for _, n := range e.nodes.ByID {
		e.work.Left, e.plans = e.budget, nil
		e.disruptionsOf(n, everything)
	}
	for _, obj := range e.objects {
		e.work.Left, e.plans = e.budget, nil
		e.activitiesOf(obj, everything)
	}
}
