package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// keepChanges is how many changes that were handed out are remembered, so that
// what comes late finds where it belongs.
const keepChanges = 8

// review looks at a workload and hands out what of it is finished, as far as
// wanted says.
func (e *Engine) review(w *workloads.Workload, wanted extent) []spans.Trace {
	again := e.takeNews(w, wanted)
	if w.ConfirmRollback(e.podsOf[w.ObjectID]) {
		e.numbered(w)
	}
	w.DateRun(e.podsOf[w.ObjectID])
	if c := w.Current(); c != nil && e.workloads[w.ObjectID] == w {
		e.issued.SetCurrent(&w.Ledger, c.Identity(w.Unique())) // sent or not: after a restart the engine before sent it
	}
	r := e.awakeReviewer(w, wanted)
	if r == nil {
		r = &reviewer{plan: e.plan(w), engine: e, wanted: wanted, nextReview: again}
	}
	e.planned(w, r.plan)
	if !r.plan.Awake() {
		r.scheduled()
		r.finished()
		r.recoveries() // before late spans, lest those take its pods when the stream ends
		r.lateSpans()
	}
	r.replacements()
	r.restarts()
	r.linkVictims()
	r.inProgress()
	r.forget()
	r.rest()
	w.RestAfter(e.now, e.rest(), r.over())
	if !r.nextReview.IsZero() && wanted == whatSettled {
		e.due.Set(w, evidence.Latest(r.nextReview, w.RestUntil))
	}
	e.noteOpen(w)
	return r.out
}

// reviewer hands out what is finished of one workload, in one look at it.
type reviewer struct {
	plan       *plans.Plan
	engine     *Engine
	wanted     extent
	out        []spans.Trace
	nextReview time.Time // when to review the workload again
}

// awakeReviewer looks at the pods of a workload that are not at rest. It is nil if all of them
// are to be looked at.
func (e *Engine) awakeReviewer(w *workloads.Workload, wanted extent) *reviewer {
	open, alone := w.OpenAlone()
	if wanted != whatSettled || !alone {
		return nil
	}
	p := e.awakePlan(w)
	if p == nil {
		return nil
	}
	r := &reviewer{plan: p, engine: e, wanted: wanted}
	if open != nil && r.tellsOfOpen() {
		if _, _, due := r.interval(open.Start, open.Ledger.InProgress); due {
			return nil
		}
	}
	for _, pod := range p.Pods {
		if r.startIsLate(pod, p.Starts[pod]) {
			if _, due := r.lateStartDue(pod); due {
				return nil
			}
		}
		if r.lateStopDue(pod, p.Stops[pod]) {
			return nil
		}
	}
	return r
}

// ready reports whether something that was complete as of seen has settled.
func (r *reviewer) ready(seen time.Time) bool {
	at := seen.Add(r.engine.settle())
	if r.wanted != whatSettled || !r.engine.now.Before(at) {
		return true
	}
	r.nextReview = evidence.Earliest(r.nextReview, at)
	return false
}

// finished hands out the changes that have ended and settled, or have waited
// for slow pods long enough.
func (r *reviewer) finished() {
	for _, c := range r.plan.Workload.Changes {
		if c.Ledger.Sent && (c.Ledger.Root != nil || r.plan.Idle(c)) || r.toldByNext(c) {
			continue // a pod may yet have come by what was passed over
		}
		seen, settled := r.plan.Settled(c)
		over := c.EndedBy.Arrival
		if c.Kind == attr.ChangeDelete {
			// It has no end of its own: it is over when its pods are gone.
			over = c.Opened.Arrival
			seen = evidence.Latest(seen, over)
		} else if !c.Over() && r.wanted != everything {
			continue
		}
		if r.wanted == whatIsOver && (r.foundAgain(c) || r.mayHaveOwner(c)) {
			continue
		}
		if !settled || r.engine.awaitsNode(r.plan, c) {
			seen = over.Add(r.engine.opts.Linger)
		}
		if !r.ready(seen) {
			continue
		}
		if c.Kind == attr.ChangeDelete && (settled || r.wanted != everything) {
			c.Ledger.EmitDeletion()
		}
		if r.plan.Idle(c) {
			c.Ledger.PassOver()
			continue
		}
		r.out = append(r.out, build.ChangeTrace(r.plan, c, r.engine.now))
	}
}

// toldByNext reports whether the deletion of a mirror pod is told, or will be, with the start
// of what its static pod was changed to.
func (r *reviewer) toldByNext(c *workloads.Change) bool {
	pod := r.engine.pods[r.plan.Workload.ObjectID]
	if c.Kind != attr.ChangeDelete || pod == nil {
		return false
	}
	if r.wanted == whatIsOver && pod.Mirrors != "" && pod.Gone.Known() && r.engine.now.Sub(pod.GoneSeen) < staticGap {
		return true // the next may be on its way
	}
	if pod.ChangedTo == "" {
		return false
	}
	if pod.Ledger.StopSent {
		c.Ledger.EmitDeletion()
		c.Ledger.Emit(pod.Ledger.StopSpan)
		return true
	}
	next := r.engine.workloads[pod.WithUID(pod.ChangedTo)]
	return next != nil && len(next.Changes) > 0 && !next.Changes[0].Ledger.Sent
}

// lateSpans hands out starts and stops of pods that were not over when their
// change was.
func (r *reviewer) lateSpans() {
	for _, pod := range r.plan.Pods {
		if at := r.plan.Starts[pod]; r.startIsLate(pod, at) {
			if build.StartUnknown(r.plan, pod) {
				pod.Ledger.PassOverStart()
			} else if done, now := r.lateStartDue(pod); now {
				r.out = append(r.out, build.LateStartTrace(r.plan, pod, at, r.cutAt(done)))
			}
		}
		if at := r.plan.Stops[pod]; r.lateStopDue(pod, at) {
			r.out = append(r.out, build.LateStopTrace(r.plan, pod, at, r.engine.now))
		}
	}
}

// startIsLate reports whether a pod's start is to be handed out after its change.
func (r *reviewer) startIsLate(pod *podlife.Pod, at plans.Attribution) bool {
	return at.Change != nil && at.Change.Ledger.Root != nil && !pod.Ledger.StartSent && !r.mayRecover(at.Change, pod)
}

// lateStartDue reports whether a late start is to be handed out now, and whether it is done.
func (r *reviewer) lateStartDue(pod *podlife.Pod) (done, now bool) {
	seen, done := pod.StartResolved()
	return done, r.wanted == everything || done && !r.plan.Workload.Awaits(pod.FirstSeen) && r.ready(seen)
}

// lateStopDue reports whether a pod's stop is to be handed out now, after its change.
func (r *reviewer) lateStopDue(pod *podlife.Pod, at plans.Attribution) bool {
	if at.Change == nil || at.Change.Ledger.Root == nil || pod.Ledger.StopSent || !pod.Leaving() {
		return false
	}
	return r.wanted == everything || pod.Gone.Known() && !r.plan.Workload.Awaits(pod.LostBy()) && r.ready(pod.GoneSeen)
}

// cutAt is where a start that is not done is cut: at the end of the stream.
func (r *reviewer) cutAt(done bool) time.Time {
	if done {
		return time.Time{}
	}
	return r.engine.now
}

// mayRecover reports whether a failed rollout that a pod is of can still complete: nothing
// has come after it.
func (r *reviewer) mayRecover(c *workloads.Change, pod *podlife.Pod) bool {
	return (c.CutsPods() || c.Retried(pod.FirstSeen)) && c == r.plan.Workload.Current() && !c.Ledger.RecoverySent && r.wanted != everything
}

// recoveries hands out what became of a failed rollout that completed after
// all: one more child of its root, from the failure to completion.
func (r *reviewer) recoveries() {
	for _, c := range r.plan.Workload.Changes {
		if !c.Ledger.Sent || !c.Recovered || c.Ledger.RecoverySent || !r.ready(c.RecoverySeen) {
			continue
		}
		r.out = append(r.out, build.RecoveryTrace(r.plan, c))
	}
}

// forget drops what is over and handed out, so that memory follows what is in the
// cluster and not what ever was.
func (r *reviewer) forget() {
	for len(r.plan.Workload.Changes) > keepChanges && r.plan.Workload.Changes[0].Ledger.Sent {
		r.plan.Workload.ForgetChange()
	}
	old := func(seen time.Time) bool {
		at := r.engine.forgottenAfter(seen)
		if r.engine.now.After(at) {
			return true
		}
		r.nextReview = evidence.Earliest(r.nextReview, at.Add(workloads.Together))
		return false
	}
	for _, pod := range r.plan.Pods {
		switch {
		case !pod.Gone.Known() || r.pending(pod) || !old(pod.Touched):
		case r.engine.unsettled.Has(pod.Object):
			// Its last Events are still to be handed out. Then the workload is looked at again.
		default:
			r.noteFilled(pod)
			r.engine.forgetPod(pod)
		}
	}
	r.forgetRevisions(old)
	for _, set := range r.plan.Sets {
		gone := set.Gone || set.Direct() && r.over()
		if gone && len(r.engine.podsOf[set.ObjectID]) == 0 && old(set.Touched) {
			r.engine.forgetPodSet(set)
		}
	}
	if r.over() && len(r.engine.setsOf[r.plan.Workload.ObjectID]) == 0 && old(r.plan.Workload.Touched) {
		r.engine.forgetWorkload(r.plan.Workload)
		delete(r.engine.revisions, r.plan.Workload.ObjectID)
		r.engine.forget(r.plan.Workload.Object)
	}
}

// forgottenAfter is until when what is gone, and was touched at a time, is remembered.
func (e *Engine) forgottenAfter(touched time.Time) time.Time {
	return touched.Add(e.opts.Linger + e.opts.Quiet)
}

// noteFilled notes what a pod that is about to be forgotten filled: its place in a step,
// or that of another pod.
func (r *reviewer) noteFilled(pod *podlife.Pod) {
	if step := r.plan.Starts[pod].Step; step != nil {
		step.Ledger.Fill()
	}
	if step := r.plan.Stops[pod].Step; step != nil {
		step.Ledger.Fill()
	}
	if lost := r.plan.Starts[pod].Lost; lost != nil {
		lost.Ledger.Fill(pod.CreatedAt())
	}
	if back := r.plan.Stops[pod].Returned; back != nil {
		back.Ledger.ForgetSurplus()
	}
}

// over reports whether the workload is gone and that was handed out. One that is deleted in
// the foreground, or that a finalizer holds, is there for as long as that takes.
func (r *reviewer) over() bool {
	return r.plan.Workload.Deleted && r.isGone() && r.plan.Workload.Current().Ledger.Sent
}

// pending reports whether a trace that is still to come tells of the pod.
func (r *reviewer) pending(pod *podlife.Pod) bool {
	start, stop := r.plan.Starts[pod], r.plan.Stops[pod]
	return !pod.Ledger.StartSent && (start.Change != nil || start.Lost != nil) ||
		pod.Lost() && !pod.Ledger.StopSent && (stop.Change != nil || stop.Lost != nil)
}

func (e *Engine) forgetPod(pod *podlife.Pod) {
	delete(e.pods, pod.ObjectID)
	e.claims.Drop(pod)
	e.dropMirror(pod)
	e.nominate(pod, "")
	e.releasePod(pod)
	e.lost.forget(pod)
	e.forget(pod.Object)
}

func (e *Engine) forgetPodSet(set *workloads.PodSet) {
	delete(e.sets, set.ObjectID)
	e.releaseSet(set)
	e.forget(set.Object)
}
