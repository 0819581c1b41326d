package causality

import (
	"fmt"
	"reflect"
	"slices"
)

// SetWorkBudget bounds how much work one object or workload may cause at once.
func (e *Engine) SetWorkBudget(steps int) { e.budget = steps }

// PlanInTurn plans workloads, each by its place in the order of their identities. It is an
// error if two plans of one workload differ.
func (e *Engine) PlanInTurn(turns []int) error {
	ds := make([]*workload, 0, len(e.workloads))
	for _, d := range e.workloads {
		ds = append(ds, d)
	}
	if len(ds) == 0 {
		return nil
	}
	slices.SortFunc(ds, func(a, b *workload) int { return a.compare(b.objectID) })
	left := e.work.left
	defer func() { e.work.left = left }()
	plans := map[*workload]*plan{}
	for _, i := range turns {
		d := ds[i%len(ds)]
		e.work.left = e.budget
		p := e.plan(d)
		p.findAll()
		if before := plans[d]; before != nil && !reflect.DeepEqual(before, p) {
			return fmt.Errorf("two plans of %s %s differ", d.kind, d.name)
		}
		plans[d] = p
	}
	return nil
}

// findAll works out what a plan leaves for when it is asked for.
func (p *plan) findAll() {
	p.successors()
	for _, rs := range p.sets {
		for _, s := range rs.steps {
			p.decided(rs, s)
		}
	}
	for _, c := range p.changes {
		p.stepsOf(c)
		p.startOf(c)
		p.settled(c)
		p.isJoinable(c)
	}
	for _, n := range p.named {
		p.times(n, "SuccessfulCreate")
		p.times(n, "SuccessfulDelete")
	}
}

// isJoinable asks for the trace that a change is to join, and does not decide it.
func (p *plan) isJoinable(c *change) bool { return p.join(c).IsValid() }

// BuildAll builds all that there is to tell of every workload, and of every node, and
// forgets nothing of it.
func (e *Engine) BuildAll() {
	for _, d := range e.workloads {
		e.work.left, e.plans = e.budget, nil
		r := &reviewer{plan: e.plan(d), engine: e, wanted: everything}
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
	for _, n := range e.nodes.byID {
		e.work.left, e.plans = e.budget, nil
		e.disruptionsOf(n, everything)
	}
	for _, obj := range e.objects {
		e.work.left, e.plans = e.budget, nil
		e.activitiesOf(obj, everything)
	}
}
