package preview

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Work is how much work all previews together may take, in the units of evidence.Work: some
// tenths of a second. What there is no time for has none.
const Work = 20_000_000

// Preview builds previews, of one workload after the other.
type Preview struct {
	now       time.Time
	issued    *ledger.Issued
	rehearsal ledger.Rehearsal
	traces    []spans.Trace
}

// New begins. Events are all that the engine knows: a trace may have those of any object.
func New(now time.Time, issued *ledger.Issued, events map[string]*podlife.Event) *Preview {
	v := &Preview{now: now, issued: issued.Over()}
	for _, ev := range events {
		ledger.Keep(&v.rehearsal, ev.Ledger)
	}
	return v
}

// Add builds the previews of a workload of which nothing else is planned with this plan.
func (v *Preview) Add(p *plans.Plan) {
	w := p.Workload
	ledger.Keep(&v.rehearsal, &w.Ledger)
	if w.CronJob != nil {
		ledger.Keep(&v.rehearsal, &w.CronJob.Ledger)
	}
	for _, c := range w.Changes {
		ledger.Keep(&v.rehearsal, &c.Ledger)
	}
	for _, set := range p.Sets {
		for _, step := range set.Steps {
			ledger.Keep(&v.rehearsal, &step.Ledger)
		}
	}
	for _, pod := range p.Pods {
		ledger.Keep(&v.rehearsal, &pod.Ledger)
	}
	if p.ChangedFrom != nil {
		ledger.Keep(&v.rehearsal, &p.ChangedFrom.Ledger)
	}
	p.Issued, p.Around = v.issued, apart{p.Around}
	for _, c := range w.Changes {
		if c.Ledger.Sent || p.Idle(c) || !w.MayBeTold(c) {
			continue
		}
		if t := build.PreviewTrace(p, c, v.now); len(t.Spans) > 0 {
			v.traces = append(v.traces, t)
		}
	}
}

// End has all be as before, and returns the previews in order of their begin.
func (v *Preview) End() []spans.Trace {
	v.rehearsal.End()
	slices.SortStableFunc(v.traces, func(a, b spans.Trace) int { return a.Root().Start.Compare(b.Root().Start) })
	return v.traces
}

// apart keeps from what others' traces have to agree with later.
type apart struct{ plans.Surroundings }

// CausesOfLoss are none: where they are told is decided when it is asked for.
func (apart) CausesOfLoss(*podlife.Pod, *nodes.Disruption) []ledger.Place { return nil }

// PlaceOfDisruption does not note that the place was given.
func (apart) PlaceOfDisruption(d *nodes.Disruption) ledger.Place { return d.Place() }
