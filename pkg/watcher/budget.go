package watcher

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/budget"
)

// budgeted is an engine whose traces keep to a budget. It is what the journal is replayed
// into, so that the budget is given again what it was given before, and says the same.
type budgeted struct {
	engine
	budget *budget.Budget
}

// budgeted gives an engine the budget of the run, if there is one.
func (l *Live) budgeted(e engine, clusterUID string) engine {
	if l.options.Budget == nil {
		return e
	}
	of := l.options.Budget(clusterUID)
	if of == nil {
		return e
	}
	return budgeted{e, of}
}

func (b budgeted) Observe(o causality.Observation) []spans.Trace {
	return b.budget.Apply(o.Time, b.engine.Observe(o))
}

func (b budgeted) Advance(now time.Time) []spans.Trace {
	return b.budget.Apply(now, b.engine.Advance(now))
}

// Close is the engine's, and sums up what was left out.
func (b budgeted) Close() []spans.Trace {
	return append(b.budget.Apply(time.Time{}, b.engine.Close()), b.budget.Flush()...)
}

// Unsettled are the engine's, and what is still to be summed up.
func (b budgeted) Unsettled() []types.UID {
	out := b.engine.Unsettled()
	for _, uid := range b.budget.Unsettled() {
		out = append(out, types.UID(uid))
	}
	return out
}
