package build

import (
	"cmp"
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// runBlockers notes at which blockers pods of a Job failed, and adds the stops of those
// that are made up for only when they have ended.
func (b *changeBuilder) runBlockers() {
	if b.change.Kind != attr.ChangeJob {
		return
	}
	ends := b.runEnds()
	for i := range ends {
		e := &ends[i]
		block := b.blockerOf[e.span.SpanID]
		if block == nil {
			open := b.outOfTheWay(e.Pod, e.span.End)
			block = &blocker{span: e.span, available: open, open: open, pod: e.Pod, run: b.blockerOf[b.startSpans[e.Pod].SpanID]}
			b.blockerOf[e.span.SpanID] = block
		}
		if e.failed {
			block.failure = e
		}
	}
}

// backsOff reports whether the time between the end of a blocker and what it led to is the
// Job controller's back-off.
func (b *changeBuilder) backsOff(block blocker, cause *spans.Span) bool {
	if block.failure == nil || cause == b.root {
		return false
	}
	next := b.blockerOf[cause.SpanID]
	return !b.change.ByIndex || next != nil && retries(b.change, next.pod, block.failure)
}

// runEndedBy is the blocker by which the end of a Job's run was decided. If the
// controller then had pods to stop, the path is taken through that.
func (b *changeBuilder) runEndedBy(path *critpath.Path, blockers []blocker) *blocker {
	c := b.change
	at, by, stopped := path.At, c.EndedBy, false
	if c.HasVerdict() {
		by = c.VerdictBy
	}
	if c.Outcome() == attr.OutcomeFailed || c.HasVerdict() {
		at, stopped = b.stopped(path)
	}
	if c.FailedByPod() || c.Outcome() == attr.OutcomeComplete && stopped {
		if block := b.lastEnd(by, c.Outcome() == attr.OutcomeFailed); block != nil {
			return block
		}
	}
	if c.Outcome() == attr.OutcomeComplete {
		return cmp.Or(completedBy(b.ended(blockers), at), completedBy(blockers, at))
	}
	if block := b.waitingAt(blockers, at); block != nil {
		return block
	}
	return b.openedLast(blockers, at)
}

// ended are the blockers without the pods that were removed before they had ended: these complete no Job.
func (b *changeBuilder) ended(blockers []blocker) []blocker {
	b.work.Spend(len(blockers))
	return slices.DeleteFunc(slices.Clone(blockers), func(block blocker) bool { return block.pod != nil && !block.pod.Finished.Known() })
}

// lastEnd is the blocker of the last pod that failed, or succeeded, before a write.
// The controller stops the others before it writes its verdict, so they are not
// among these. One that was made when the failure before it was known is: the controller had gone
// on after that, and somebody else deleted the pod.
func (b *changeBuilder) lastEnd(by evidence.Write, failed bool) *blocker {
	var last *runEnd
	ends := b.runEnds()
	for i := range ends {
		e := &ends[i]
		switch {
		case e.failed != failed || !e.by.Before(by):
		case e.Finished.Known() || e.Disruption != "", last != nil && e.CreatedAt().Sub(last.by.Arrival) >= time.Second:
			last = e
		}
	}
	if last == nil {
		return nil
	}
	return b.blockerOf[last.span.SpanID]
}

// stopped takes the path back through the pod that ended last of those that the
// controller stopped, and waited for, before it said that the run was over. It
// returns when the first of them was asked to stop, if there was any.
func (b *changeBuilder) stopped(path *critpath.Path) (asked time.Time, found bool) {
	var last *spans.Span
	var open time.Time
	for _, pod := range b.plan.Pods {
		stop := b.stopSpans[pod]
		if stop == nil {
			continue
		}
		at := b.outOfTheWay(pod, stop.End)
		if at.Before(b.change.Verdict.Earliest) || at.Sub(path.At) >= time.Second {
			continue
		}
		asked = evidence.Earliest(asked, stop.Start)
		if at.After(open) {
			last, open = stop, at
		}
	}
	if last == nil {
		return path.At, false
	}
	phase := attr.PhaseController
	if path.At.Sub(open) > reaction && b.mayStillStop(b.root, open, path.At) {
		phase = attr.PhaseUnknown
	}
	b.own(path, phase, evidence.Earliest(open, path.At))
	path.Descend(last)
	return evidence.Earliest(asked, path.At), true
}
