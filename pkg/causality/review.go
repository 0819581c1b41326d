package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// keepChanges is how many changes that were handed out are remembered, so that
// what comes late finds where it belongs.
const keepChanges = 8

// review looks at a workload and hands out what of it is finished, as far as
// wanted says.
func (e *Engine) review(d *workload, wanted extent) []spans.Trace {
	again := e.takeNews(d, wanted)
	p := e.plan(d)
	if c := d.current(); c != nil && e.workloads[d.objectID] == d {
		e.issued.setCurrent(&d.ledger, c.identity(d.unique())) // told or not: after a restart it was told before
	}
	e.planned(d, p)
	r := &reviewer{plan: p, engine: e, wanted: wanted, again: again}
	r.scheduled()
	r.finished()
	r.recoveries() // before late spans, lest those take its pods when the stream ends
	r.lateSpans()
	r.replacements()
	r.restarts()
	r.linkVictims()
	r.inProgress()
	r.forget()
	d.rested = e.now.Add(e.rest())
	if !r.again.IsZero() && wanted == whatSettled {
		e.schedule(d, latest(r.again, d.rested))
	}
	return r.out
}

type reviewer struct {
	*plan
	engine *Engine
	wanted extent
	out    []spans.Trace
	again  time.Time // when to look again
}

// ready reports whether something that was complete as of seen has settled.
func (r *reviewer) ready(seen time.Time) bool {
	at := seen.Add(r.engine.settle())
	if r.wanted != whatSettled || !r.engine.now.Before(at) {
		return true
	}
	r.again = earliest(r.again, at)
	return false
}

// finished hands out the changes that have ended and settled, or have waited
// for slow pods long enough.
func (r *reviewer) finished() {
	for _, c := range r.plan.changes {
		if c.ledger.sent {
			continue
		}
		seen, settled := r.settled(c)
		over := c.endStamp.arrival
		if c.kind == attr.ChangeDelete {
			// It has no end of its own: it is over when its pods are gone.
			over = c.opened.arrival
			seen = latest(seen, over)
		} else if !c.over() && r.wanted != everything {
			continue
		}
		if r.wanted == whatIsOver && r.foundAgain(c) {
			continue
		}
		if !settled {
			seen = over.Add(r.engine.opts.Linger)
		}
		if !r.ready(seen) {
			continue
		}
		if c.kind == attr.ChangeDelete && (settled || r.wanted != everything) {
			c.ledger.toldDeletion()
		}
		r.out = append(r.out, r.buildChange(c, r.engine.now))
	}
}

// lateSpans hands out starts and stops of pods that were not over when their
// change was.
func (r *reviewer) lateSpans() {
	for _, q := range r.pods {
		if s := r.starts[q]; s.change != nil && s.change.ledger.sent && !q.ledger.startSent && !r.mayRecover(s.change) {
			if seen, done := q.startResolved(); r.wanted == everything || done && !r.awaits(q.firstSeen) && r.ready(seen) {
				r.out = append(r.out, r.buildLateStart(q, s, r.cutAt(done)))
			}
		}
		if s := r.stops[q]; s.change != nil && s.change.ledger.sent && !q.ledger.stopSent && q.leaving() {
			if r.wanted == everything || q.gone.known() && !r.awaits(q.lostStamp()) && r.ready(q.goneSeen) {
				r.out = append(r.out, r.buildLateStop(q, s, r.engine.now))
			}
		}
	}
}

// cutAt is where a start that is not done is cut: at the end of the stream.
func (r *reviewer) cutAt(done bool) time.Time {
	if done {
		return time.Time{}
	}
	return r.engine.now
}

// buildLateStart builds the start of a pod that was not over when its change was; it is
// cut where it is not over yet.
func (p *plan) buildLateStart(q *pod, s slot, cut time.Time) spans.Trace {
	b := p.lateBuilder(s.change)
	parent, cause := p.lateParent(b, s)
	b.podStart(parent, q, s.rs.attributes(), cause, cut, false)
	b.markCritical(s.change)
	return b.done()
}

// buildLateStop builds the stop of a pod that was not gone when its change was over.
func (p *plan) buildLateStop(q *pod, s slot, now time.Time) spans.Trace {
	b := p.lateBuilder(s.change)
	parent, cause := p.lateParent(b, s)
	p.linkStop(b.podStop(parent, q, s.rs.attributes(), p.stopAsked(q), cause, now), s)
	b.markCritical(s.change)
	return b.done()
}

// lateBuilder collects spans of a change that come after its root.
func (p *plan) lateBuilder(c *change) *builder {
	return &builder{place: p.placeOf(c), base: p.workload.attributes(), late: true, work: p.work}
}

// lateParent is the span, handed out before, that caused a pod's start or stop,
// and when that began.
func (p *plan) lateParent(b *builder, s slot) (trace.SpanID, time.Time) {
	if s.step != nil && !s.step.ledger.sentStart.IsZero() && p.changeAt(s.step.stamp) == s.change {
		return b.place.spanID(stepIdentity(s.rs, s.step)...), s.step.ledger.sentStart
	}
	return b.place.rootID(), s.change.ledger.root.start
}

// mayRecover reports whether a failed rollout can still complete: nothing has
// come after it.
func (r *reviewer) mayRecover(c *change) bool {
	return c.cutsPods() && c == r.current() && !c.ledger.recoverySent && r.wanted != everything
}

// recoveries hands out what became of a failed rollout that completed after
// all: one more child of its root, from the failure to completion.
func (r *reviewer) recoveries() {
	for _, c := range r.plan.changes {
		if !c.ledger.sent || !c.recovered || c.ledger.recoverySent || !r.ready(c.recoverySeen) {
			continue
		}
		r.out = append(r.out, r.buildRecovery(c))
	}
}

// buildRecovery builds what became of a failed rollout that completed after all.
func (p *plan) buildRecovery(c *change) spans.Trace {
	c.ledger.toldRecovery()
	b := p.lateBuilder(c)
	failed := c.end.at()
	end := latest(c.recovery.at(), failed)
	span := b.add(node{
		parent: b.place.rootID(), id: []string{kind.Recovery.ID()},
		kind: kind.Recovery, object: p.kind, service: p.service(), subject: p.subject(),
		start: failed, end: end,
	})
	for _, q := range p.pods {
		s := p.starts[q]
		tr, ok := q.firstReady()
		if s.change != c || !ok || !tr.at.at().After(failed) {
			continue
		}
		if !q.ledger.startSent {
			b.podStart(span.SpanID, q, s.rs.attributes(), failed, time.Time{}, false)
			continue
		}
		pod := b.add(node{
			parent: span.SpanID, id: []string{kind.PodRecovery.ID(), string(q.uid)},
			kind: kind.PodRecovery, subject: q.subject(),
			start: failed, end: tr.at.at(), attrs: slices.Concat(s.rs.attributes(), q.attributes()),
		})
		attachDuring(pod, q.events)
	}
	for _, rs := range p.sets {
		for _, ev := range rs.events {
			if _, s, ok := p.podInMessage(rs, ev); ok && s.change == c && !ev.first().Before(failed) {
				attach(span, ev, end)
			}
		}
	}
	attachDuring(span, p.events)
	return b.done()
}

// forget drops what is over and told, so that memory follows what is in the
// cluster and not what ever was.
func (r *reviewer) forget() {
	for len(r.plan.changes) > keepChanges && r.plan.changes[0].ledger.sent {
		r.forgetChange()
	}
	old := func(seen time.Time) bool {
		at := seen.Add(r.engine.opts.Linger + r.engine.opts.Quiet)
		if r.engine.now.After(at) {
			return true
		}
		r.again = earliest(r.again, at.Add(time.Second))
		return false
	}
	for _, q := range r.pods {
		switch {
		case !q.gone.known() || r.pending(q) || !old(q.touched):
		case r.engine.unsettled[q.object] && r.wanted != everything:
			// Its last Events are still to be told, when this look is over.
			r.again = earliest(r.again, r.engine.now.Add(r.engine.opts.Settle))
		default:
			r.noteFilled(q)
			r.engine.forgetPod(q)
		}
	}
	r.forgetRevisions(old)
	for _, rs := range r.sets {
		gone := rs.gone || rs.direct() && r.over()
		if gone && len(r.engine.podsOf[rs.objectID]) == 0 && old(rs.touched) {
			r.engine.forgetPodSet(rs)
		}
	}
	if r.over() && len(r.engine.setsOf[r.objectID]) == 0 && old(r.touched) {
		r.engine.issued.forgetCurrent(&r.workload.ledger)
		delete(r.engine.workloads, r.objectID)
		delete(r.engine.revisions, r.objectID)
		r.engine.forget(r.workload.object)
	}
}

// noteFilled notes what a pod that is about to be forgotten filled: its place in a step,
// or that of another pod.
func (r *reviewer) noteFilled(q *pod) {
	if s := r.starts[q].step; s != nil {
		s.ledger.fill()
	}
	if s := r.stops[q].step; s != nil {
		s.ledger.fill()
	}
	if lost := r.starts[q].lost; lost != nil {
		lost.ledger.fill(q.createdAt())
	}
	if back := r.stops[q].returned; back != nil {
		back.ledger.even()
	}
}

// over reports whether the workload is gone and that was told. One that is deleted in
// the foreground, or that a finalizer holds, is there for as long as that takes.
func (r *reviewer) over() bool { return r.deleted && r.isGone() && r.current().ledger.sent }

// pending reports whether a trace that is still to come tells of the pod.
func (r *reviewer) pending(q *pod) bool {
	start, stop := r.starts[q], r.stops[q]
	return !q.ledger.startSent && (start.change != nil || start.lost != nil) ||
		q.lost() && !q.ledger.stopSent && (stop.change != nil || stop.lost != nil)
}

func (e *Engine) forgetPod(q *pod) {
	delete(e.pods, q.objectID)
	e.claims.drop(q)
	e.dropMirror(q)
	e.nominate(q, "")
	e.unfile(q)
	e.forget(q.object)
}

func (e *Engine) forgetPodSet(rs *podSet) {
	delete(e.sets, rs.objectID)
	e.leave(rs)
	e.forget(rs.object)
}
