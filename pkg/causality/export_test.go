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

// CompareAwakePlans has each plan that leaves out pods at rest compared with one of all pods,
// and what it says of the others, where that differs, reported. However few pods there are, those
// that can be are at rest.
func (e *Engine) CompareAwakePlans(differ func(string)) {
	e.fewPods = 0
	e.onAwakePlan = func(p *plans.Plan) {
		work := e.work
		all := e.plan(p.Workload)
		e.work = work
		open, _ := p.Workload.OpenAlone()
		for _, pod := range p.Pods {
			for what, at := range map[string][2]plans.Attribution{"start": {all.Starts[pod], p.Starts[pod]}, "stop": {all.Stops[pod], p.Stops[pod]}} {
				if at[0] != at[1] && (open == nil || at[0].Change != open || at[1].Change != open) {
					differ(fmt.Sprintf("the %s of %s of %s %s is planned as %+v, without those at rest as %+v", what, pod.Name, p.Workload.Kind, p.Workload.Name, at[0], at[1]))
				}
			}
			if p.ReplacedAt[pod] != all.ReplacedAt[pod] && all.Stops[pod].Change != open {
				differ(fmt.Sprintf("%s of %s %s is replaced at %s, without those at rest at %s", pod.Name, p.Workload.Kind, p.Workload.Name, all.ReplacedAt[pod], p.ReplacedAt[pod]))
			}
		}
		for _, pod := range all.Pods {
			if e.isAtRest(p.Workload, pod) == slices.Contains(p.Pods, pod) {
				differ(fmt.Sprintf("%s of %s %s is neither at rest nor awake, or both", pod.Name, p.Workload.Kind, p.Workload.Name))
			}
		}
	}
}

// AtRest is how many pods are at rest.
func (e *Engine) AtRest() (n int) {
	for _, rest := range e.resting {
		n += len(rest.pods)
	}
	return n
}

// WorkDone is how much work was done so far, in the units of evidence.Work, and how many
// objects were looked at. Of each observation one unit is that it was observed.
func (e *Engine) WorkDone() int { return e.worked }
