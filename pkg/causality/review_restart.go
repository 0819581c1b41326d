package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/schedules"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// restarts hands out the restarts of containers of pods that have started.
func (r *reviewer) restarts() {
	for _, pod := range r.plan.Pods {
		over, ok := r.startOver(pod)
		if !ok {
			continue
		}
		for _, container := range pod.Containers {
			for i, ended := range container.Runs {
				if !pod.MayRestart(container, i, over) {
					continue
				}
				restart, done := build.RestartOf(r.plan, pod, container, i)
				if restart == nil {
					continue // it was stopped with its pod
				}
				if r.wanted != everything && (!done || !r.ready(restart.Seen)) {
					if !done {
						r.restartInProgress(restart)
					}
					break
				}
				if !done {
					restart.How, restart.Until = attr.OutcomeOpen, r.engine.now
				}
				pod.Ledger.EmitRestart(container.Name, ended.Restart)
				if container.Ledger.MayEmit(restart.From) {
					r.out = append(r.out, build.RestartTrace(r.plan, restart, r.engine.nodeCauseOfRestart(restart)))
				}
			}
		}
	}
}

// startOver is when a pod's start was over, once what tells of the start is handed out.
func (r *reviewer) startOver(pod *podlife.Pod) (time.Time, bool) {
	at, ok := r.plan.StartOver(pod)
	return at, ok && (pod.Ledger.StartSent || r.plan.Starts[pod].Change == nil)
}

// scheduled hands out the times of a CronJob's schedule, from the time that was
// asked for to the creation of the Job: what the controller was late.
func (r *reviewer) scheduled() {
	c := r.plan.Workload.CronJob
	if c == nil || c.Ledger.Sent || c.At.IsZero() || !r.ready(c.Made.At()) {
		return
	}
	if run := r.plan.Workload.ScheduledRun(); r.wanted == whatIsOver && run != nil && r.foundAgain(run) {
		return // with the run
	}
	if r.plan.Cron != nil && r.toldByEvent(r.plan.Cron) {
		c.Ledger.PassOver()
		return
	}
	r.out = append(r.out, build.ScheduleTrace(r.plan))
}

// toldByEvent reports whether the time that the Job is for was handed out before the Job was
// seen, as an Event told of it.
func (r *reviewer) toldByEvent(cron *podlife.Object) bool {
	return slices.ContainsFunc(cron.Events, func(ev *podlife.Event) bool {
		_, listed := ev.Listed()
		return ev.Reason == schedules.CreatedJob && schedules.JobIn(ev.Message()) == r.plan.Workload.Name && ev.Told() && !listed
	})
}
