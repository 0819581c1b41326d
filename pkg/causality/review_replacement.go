package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// replacements hands out the pods that were lost while their workload was
// settled, each with the pod that came in its place.
func (r *reviewer) replacements() {
	successor := build.Successors(r.plan)
	for _, lost := range r.plan.Pods {
		at := r.plan.Stops[lost]
		if at.Lost == nil || at.Change != nil || lost.Ledger.StopSent {
			continue
		}
		if lost.Ledger.Replaced != nil {
			r.lateStop(lost, at)
			continue
		}
		next := successor[lost]
		if next == nil && r.plan.ReplacementUnknown(lost, r.engine.now) {
			continue
		}
		how, seen, done := r.replaced(lost, next)
		if r.wanted != everything && (!done || r.plan.Workload.Awaits(lost.LostBy()) || !r.ready(seen)) {
			continue
		}
		if r.wanted == whatSettled && r.engine.awaitsPreemptor(lost) {
			r.nextReview = evidence.Earliest(r.nextReview, r.engine.now.Add(time.Second))
			continue
		}
		if !done {
			how = attr.OutcomeOpen
		}
		t, on := build.ReplacementTrace(r.plan, lost, next, how, build.CutOff{Now: r.engine.now, Last: r.wanted == everything})
		r.engine.noteConsequence(lost, on)
		r.out = append(r.out, t)
	}
}

// lateStop hands out the stop of a pod that was not gone when its replacement
// was told: the pod stops slowly, or nobody answers on its node.
func (r *reviewer) lateStop(lost *podlife.Pod, at plans.Attribution) {
	if r.wanted == everything || lost.Gone.Known() && r.ready(lost.GoneSeen) {
		r.out = append(r.out, build.StopOfReplacedTrace(r.plan, lost, at.Set, r.engine.now))
	}
}

// replaced tells how a replacement went, and when that became known. Once the new
// pod is there, it waits for the old one to be gone no longer than a change does.
func (r *reviewer) replaced(lost, next *podlife.Pod) (how attr.Outcome, seen time.Time, done bool) {
	seen = evidence.Latest(lost.GoneSeen, lost.LostBy().Arrival)
	stopped := lost.Gone.Known() || !lost.Leaving()
	if next == nil {
		return r.unreplaced(lost, seen, stopped)
	}
	at, over := next.StartResolved()
	how = attr.OutcomeComplete
	if _, ok := next.FirstReady(); !ok {
		how = attr.OutcomeFailed
		if next.CutBy() == attr.CutRemoved {
			how = attr.OutcomeSuperseded
		}
	}
	seen = evidence.Latest(seen, at)
	if !stopped {
		seen = seen.Add(r.engine.opts.Linger)
	}
	return how, seen, over
}

// unreplaced is replaced of a pod in whose place there is none, or none yet. It is known of
// since seen, and has stopped or not.
func (r *reviewer) unreplaced(lost *podlife.Pod, seen time.Time, stopped bool) (how attr.Outcome, at time.Time, done bool) {
	if build.NeverReplaced(r.plan, lost) {
		return attr.OutcomeFailed, seen, true
	}
	// Nobody replaces it once the workload wants something else.
	if set := r.plan.Stops[lost].Set; set.Gone && plans.OrphanedAt(set, lost.LostBy()) {
		return attr.OutcomeDeleted, evidence.Latest(seen, set.DeletedBy.Arrival), stopped
	}
	if r.plan.Workload.Controller.Replaces == workloads.ReplacedOnNode && stopped && r.engine.nodeGone(lost.Node) {
		return attr.OutcomeDeleted, seen, true
	}
	if r.plan.Workload.Direct() && lost.Gone.Known() && r.plan.Workload.Scaled && lost.LostBy().Before(r.plan.Workload.Stated) {
		// It has all it wants. If its controller is slow it may yet say otherwise.
		at = evidence.Latest(seen, r.plan.Workload.Stated.Arrival).Add(r.engine.opts.Linger)
		return attr.OutcomeSuperseded, at, r.wanted != whatIsOver || !r.engine.now.Before(at)
	}
	c := r.plan.Workload.ChangeAfter(lost.LostBy())
	if c == nil || !c.Over() && c.Kind != attr.ChangeDelete {
		return attr.OutcomeOpen, seen, false
	}
	how = attr.OutcomeSuperseded
	if c.Kind == attr.ChangeDelete {
		how = attr.OutcomeDeleted
	}
	return how, evidence.Latest(seen, c.Opened.Arrival, c.EndedBy.Arrival), stopped
}
