package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// replacements hands out the pods that were lost while their Deployment was
// settled, each with the pod that came in its place.
func (r *reviewer) replacements() {
	successor := r.successors()
	for _, lost := range r.pods {
		s := r.stops[lost]
		if s.lost == nil || s.change != nil || lost.ledger.stopSent {
			continue
		}
		if lost.ledger.replaced != nil {
			r.lateStop(lost, s)
			continue
		}
		next := successor[lost]
		how, seen, done := r.replaced(lost, next)
		if r.wanted != everything && (!done || r.awaits(lost.lostStamp()) || !r.ready(seen)) {
			continue
		}
		if !done {
			how = attr.OutcomeOpen
		}
		t, on := r.buildReplacement(lost, next, how, extentEnd{r.engine.now, r.wanted == everything})
		r.engine.noteConsequence(lost, on)
		r.out = append(r.out, t)
	}
}

// lateStop hands out the stop of a pod that was not gone when its replacement
// was told: the pod stops slowly, or nobody answers on its node.
func (r *reviewer) lateStop(lost *pod, s slot) {
	if r.wanted == everything || lost.gone.known() && r.ready(lost.goneSeen) {
		r.out = append(r.out, r.buildStopOfReplaced(lost, s.rs, r.engine.now))
	}
}

// successors are the pods that came in the place of lost ones while no change
// was open, by the lost ones.
func (p *plan) successors() map[*pod]*pod {
	if p.successor != nil {
		return p.successor
	}
	p.successor = map[*pod]*pod{}
	for _, q := range p.pods {
		if s := p.starts[q]; s.change == nil && s.lost != nil {
			p.successor[s.lost] = q
		}
	}
	return p.successor
}

// replaced tells how a replacement went, and when that became known. Once the new
// pod is there, it waits for the old one to be gone no longer than a change does.
func (r *reviewer) replaced(lost, next *pod) (how attr.Outcome, seen time.Time, done bool) {
	seen = latest(lost.goneSeen, lost.lostStamp().arrival)
	stopped := lost.gone.known() || !lost.leaving()
	if next == nil {
		// Nobody replaces it once the Deployment wants something else.
		if rs := r.stops[lost].rs; rs.gone && rs.orphanedAt(lost.lostStamp()) {
			return attr.OutcomeDeleted, latest(seen, rs.deleted.arrival), stopped
		}
		if r.controller.replaces == replacedOnNode && stopped && r.engine.nodeGone(lost.node) {
			return attr.OutcomeDeleted, seen, true
		}
		if r.direct() && lost.gone.known() && r.scaled && lost.lostStamp().before(r.stated) {
			// It has all it wants. If its controller is slow it may yet say otherwise.
			at := latest(seen, r.stated.arrival).Add(r.engine.opts.Linger)
			return attr.OutcomeSuperseded, at, r.wanted != whatIsOver || !r.engine.now.Before(at)
		}
		c := r.changeAfter(lost.lostStamp())
		if c == nil || !c.over() && c.kind != attr.ChangeDelete {
			return attr.OutcomeOpen, seen, false
		}
		how = attr.OutcomeSuperseded
		if c.kind == attr.ChangeDelete {
			how = attr.OutcomeDeleted
		}
		return how, latest(seen, c.opened.arrival, c.endStamp.arrival), stopped
	}
	at, over := next.startResolved()
	how = attr.OutcomeComplete
	if _, ok := next.firstReady(); !ok {
		how = attr.OutcomeFailed
		if next.leaving() {
			how = attr.OutcomeSuperseded
		}
	}
	seen = latest(seen, at)
	if !stopped {
		seen = seen.Add(r.engine.opts.Linger)
	}
	return how, seen, over
}

// revisionAt is the number of the rollout that was the latest when s was written, 0
// if it is not known.
func (p *plan) revisionAt(s stamp) int64 {
	revision := p.revision
	for _, c := range slices.Backward(p.changes) {
		if c.kind != attr.ChangeRollout || c.revision == 0 {
			continue
		}
		if !s.before(c.opened) {
			return c.revision
		}
		revision = 0 // another came before
	}
	return revision
}

// lossCause says who took a pod away, as far as it can be told.
func lossCause(p *pod) string {
	switch {
	case p.disruption != "":
		return p.disruption // EvictionByEvictionAPI, PreemptionByScheduler, …
	case p.failed.known() && p.reason != "":
		return p.reason // Evicted, NodeLost, …
	case p.failed.known():
		return attr.CauseFailed
	default:
		return attr.CauseDelete
	}
}

func placeOfReplacement(lost *pod) place {
	return ownPlace(lost.unique(), string(attr.ChangeReplacement))
}

// replacementBuilder collects spans of the trace of a lost pod's replacement.
func (p *plan) replacementBuilder(lost *pod, late bool) *builder {
	return &builder{
		place: p.issued.give(placeOfReplacement(lost)),
		base:  p.workload.attributes(),
		late:  late,
		work:  p.work,
	}
}

// buildStopOfReplaced builds the stop of a pod that was not gone when its replacement was
// told.
func (p *plan) buildStopOfReplaced(lost *pod, rs *podSet, now time.Time) spans.Trace {
	b := p.replacementBuilder(lost, true)
	b.podStop(lost.ledger.replaced.spanID, lost, rs.attributes(), p.stopAsked(lost), lost.ledger.replaced.start, now)
	return b.done()
}

// extentEnd is where what is open is cut.
type extentEnd struct {
	now  time.Time
	last bool // nothing comes later: the stream ends
}

// buildReplacement builds the trace of a lost pod and of the one in its place, if there
// is one. It returns the disruption of the node that led to the loss, too.
func (p *plan) buildReplacement(lost, next *pod, how attr.Outcome, cut extentEnd) (spans.Trace, *disruption) {
	b := p.replacementBuilder(lost, false)
	start := p.lossBegan(lost)
	end := replacedAt(lost, next, how, start, cut.now)
	disrupted := p.around.nodeCause(lost, end)
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeReplacement)),
		attr.OutcomeKey.String(string(how)),
		attr.CauseKey.String(lossCauseOn(lost, disrupted)),
	}
	if revision := p.revisionAt(lost.lostStamp()); revision > 0 {
		attrs = append(attrs, attr.RevisionKey.Int64(revision))
	}
	rs := p.stops[lost].rs
	rollout := p.broughtBy(lost)
	attrs = append(attrs, rollout.attributesAfter(start)...)
	root := b.add(node{
		kind: kind.PodReplacement, service: rs.service(p.workload), subject: lost.subject(),
		start: start, end: end, attrs: append(attrs, rs.attributes()...),
	})
	if rollout != nil {
		link(root, p.placeOf(rollout), attr.LinkRollout)
	}
	linkLoss(root, p.around.causesOfLoss(lost, disrupted))
	lost.ledger.toldReplacement(b.remember(root))
	switch {
	case !lost.leaving():
		lost.ledger.passOverStop() // it stays, as what is left of a pod
	case lost.gone.known() || cut.last:
		b.podStop(root.SpanID, lost, rs.attributes(), p.stopAsked(lost), start, cut.now)
	}
	if next != nil {
		at := cut.now
		if how != attr.OutcomeOpen {
			at = time.Time{}
		}
		b.podStart(root.SpanID, next, rs.attributes(), start, at, how == attr.OutcomeFailed)
		if how == attr.OutcomeFailed {
			f, _ := next.trouble(next.timeline(end), end)
			fail(root, f)
		}
	}
	p.attachLoss(root, rs, lost, next)
	if how != attr.OutcomeOpen {
		b.addPath(root)
	}
	return b.done(), disrupted
}

// lossBegan is when the loss of a pod began: when its deletion was asked for, it failed,
// or its node says that it evicted the pod.
func (p *plan) lossBegan(lost *pod) time.Time {
	began := lost.lostAt().before(p.missed[lost]).at()
	if lost.leaving() && !lost.failed.known() {
		began = p.stopAsked(lost)
	}
	for _, ev := range lost.events {
		if ev.reason == lost.reason && ev.first().After(began.Add(-arrivalSlack)) {
			began = earliest(began, ev.first())
		}
	}
	return began
}

// replacedAt is when a replacement that began at start was over: when the next pod was
// ready or lost, or, where none came, the lost one was gone.
func replacedAt(lost, next *pod, how attr.Outcome, start, now time.Time) time.Time {
	switch {
	case how == attr.OutcomeOpen:
		return now
	case next == nil:
		return latest(lost.gone.at(), start)
	}
	if ready := next.timeline(time.Time{}).ready; !ready.IsZero() {
		return ready
	}
	return next.lostAt().at()
}

// attachLoss puts on a replacement what its set says of the two pods, and what led to
// the loss: an eviction, a taint, a failed node. Later Events about the lost pod wait for
// its stop, if that is still to come.
func (p *plan) attachLoss(root *spans.Span, rs *podSet, lost, next *pod) {
	for _, ev := range rs.events {
		if q, _, ok := p.podInMessage(rs, ev); ok && (q == lost || q == next) {
			attach(root, ev, root.End)
		}
	}
	for _, ev := range lost.events {
		led := lost.ledger.stopSent || ev.first().Before(p.stopAsked(lost).Add(-arrivalSlack))
		if led && ev.first().After(root.Start.Add(-time.Second)) {
			attach(root, ev, root.End)
		}
	}
}
