package causality

import (
	"time"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// runGates notes at which gates pods of a Job failed, and adds the stops of those
// that are made up for only when they have ended.
func (b *changeBuilder) runGates() {
	if b.change.kind != attr.ChangeJob {
		return
	}
	ends := b.runEnds()
	for i := range ends {
		e := &ends[i]
		g := b.gateOf[e.span.SpanID]
		if g == nil {
			g = &gate{span: e.span, open: b.outOfTheWay(e.pod, e.span.End), pod: e.pod, run: b.gateOf[b.startSpans[e.pod].SpanID]}
			b.gateOf[e.span.SpanID] = g
		}
		if e.failed {
			g.failure = e
		}
	}
}

// backsOff reports whether the time between the opening of a gate and what it led
// to is the Job controller's back-off.
func (b *changeBuilder) backsOff(g gate, cause *spans.Span) bool {
	if g.failure == nil || cause == b.root {
		return false
	}
	next := b.gateOf[cause.SpanID]
	return !b.change.byIndex || next != nil && b.change.retries(next.pod, g.failure)
}

// runEndedBy is the gate by which the end of a Job's run was decided. If the
// controller then had pods to stop, the path is taken through that.
func (b *changeBuilder) runEndedBy(w *criticalPath, gates []gate) *gate {
	c := b.change
	at, by, stopped := w.at, c.endStamp, false
	if c.hasVerdict() {
		by = c.verdictBy
		at, stopped = b.stopped(w)
	}
	if c.failedByPod() || c.how() == attr.OutcomeComplete && stopped {
		if g := b.lastEnd(by, c.how() == attr.OutcomeFailed); g != nil {
			return g
		}
	}
	if c.how() == attr.OutcomeComplete {
		return completedBy(gates, at)
	}
	if g := waitingAt(gates, at); g != nil {
		return g
	}
	return openedLast(gates, at)
}

// lastEnd is the gate of the last pod that failed, or succeeded, before a write.
// The controller stops the others before it writes its verdict, so they are not
// among these.
func (b *changeBuilder) lastEnd(by stamp, failed bool) (last *gate) {
	for _, e := range b.runEnds() {
		if e.failed == failed && e.by.before(by) && (e.finished.known() || e.disruption != "") {
			last = b.gateOf[e.span.SpanID]
		}
	}
	return last
}

// stopped takes the path back through the pod that ended last of those that the
// controller stopped, and waited for, before it said that the run was over. It
// returns when the first of them was asked to stop, if there was any.
func (b *changeBuilder) stopped(w *criticalPath) (asked time.Time, found bool) {
	var last *spans.Span
	var open time.Time
	for _, q := range b.pods {
		stop := b.stopSpans[q]
		if stop == nil {
			continue
		}
		at := b.outOfTheWay(q, stop.End)
		if at.Before(b.change.verdict.lo) || at.Sub(w.at) >= time.Second {
			continue
		}
		asked = earliest(asked, stop.Start)
		if at.After(open) {
			last, open = stop, at
		}
	}
	if last == nil {
		return w.at, false
	}
	w.take(b.root, attr.PhaseController, attr.PhaseController.String(), earliest(open, w.at))
	w.descend(last)
	return earliest(asked, w.at), true
}
