package build

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/schedules"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// buildRun builds the trace of a pod that no workload made: its root is the
// pod's own start or run.
func (b *changeBuilder) buildRun(now time.Time) spans.Trace {
	c := b.change
	for _, pod := range b.plan.Pods {
		cut := time.Time{}
		if !c.Over() {
			cut = now
		}
		b.podStart(trace.SpanID{}, pod, nil, time.Time{}, cut, c.Outcome() == attr.OutcomeFailed)
	}
	b.root = b.spans[0]
	b.staticStop()
	b.root.Attributes = append(b.root.Attributes, b.rootAttributes()...)
	linkContexts(c, b.root)
	if c.Over() && !b.podsUnknown() {
		critpath.Through(b.spans, b.root, b.work)
	}
	c.Ledger.Emit(b.remember(b.root))
	return b.done()
}

// staticStop adds the stop of what a static pod was before it was changed, with which the
// change begins. The API server has the mirror of it only until the kubelet has stopped it.
func (b *changeBuilder) staticStop() {
	before := b.plan.ChangedFrom
	if before == nil {
		return
	}
	asked, end := before.StopAsked(time.Time{}), before.Gone.At()
	if end.IsZero() || end.After(b.root.Start) {
		end = b.root.Start
	}
	b.root.Start = evidence.Earliest(b.root.Start, asked)
	b.podStoppingUntil(b.root.SpanID, before, nil, asked, b.root.Start, end).emit()
}

// ScheduleTrace builds the trace of the time of a CronJob's schedule that a Job is for.
func ScheduleTrace(p *plans.Plan) spans.Trace {
	c, cron := p.Workload.CronJob, p.CronJobOf()
	b := &builder{place: p.PlaceOfSchedule(), base: workloads.AttributesOf(cron), workload: p.Workload, app: p.Workload.App(nil)}
	made := c.Made
	var scheduled []*podlife.Event
	for _, ev := range cron.Untold() {
		if ev.Reason == schedules.CreatedJob && schedules.JobIn(ev.Message()) == p.Workload.Name {
			made = made.Told(ev.First())
			scheduled = append(scheduled, ev)
		}
	}
	told, run := Schedule{Cron: cron, At: c.At, Until: made.At(), How: attr.OutcomeComplete}, p.Workload.ScheduledRun()
	if run != nil && cron.Cron.Delayed(told.At, told.Until, run.Opened) {
		told.Cause = attr.CauseSuspended
	}
	root := b.addSchedule(told, p.Workload.Target(), scheduled)
	c.Ledger.Emit(b.remember(root))
	if run != nil {
		Link(root, p.PlaceOf(run), attr.LinkCauses)
	}
	return b.done()
}

// cronJobEvents puts what the CronJob controller says of the Job on its run.
func (b *changeBuilder) cronJobEvents(cron *podlife.Object) {
	if cron == nil {
		return
	}
	for _, ev := range cron.Untold() {
		if strings.Contains(ev.Message()+",", " "+b.plan.Workload.Name+",") {
			attach(b.root, ev, time.Time{})
		}
	}
}
