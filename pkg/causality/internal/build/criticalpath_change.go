package build

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/critpath"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// blocker is something a controller waits for before it goes on: a pod that gets
// available, a pod that goes, the end of a pause.
type blocker struct {
	span *spans.Span
	// open is when it let the controller go on; a pod that is Ready counts only
	// after minReadySeconds.
	open time.Time
	// instead is set for a pod that was made in the place of a lost one, so not
	// because of the step that it is below.
	instead bool
	// coarse is set where open is known to the second only, and so may seem to
	// come a little after what it led to.
	coarse bool
	// failure is how a pod of a Job failed here, if it did: the controller backs
	// off before it makes another.
	failure *runEnd
	pod     *podlife.Pod // nil of a pause
	run     *blocker     // of a pod of a Job that was deleted: what this put an end to
}

// addCriticalPath works out what the change waited for, from its end back to
// its beginning: what completed it, what that had waited for, and so on.
func (b *changeBuilder) addCriticalPath() {
	if !b.change.Over() || b.podsUnknown() {
		return
	}
	later := b.stillGoingOn()
	w := critpath.NewCriticalPath(slices.Concat(b.spans, later), b.root, b.plan.Work)
	gates := b.blockers()
	cause := b.root
	var next *blocker
	switch {
	case b.change.Kind == attr.ChangeJob:
		next = b.runEndedBy(w, gates)
	case b.change.How() == attr.OutcomeComplete:
		next = b.completer(gates)
	default:
		next = waitingAt(gates, b.root.End)
		if next != nil {
			break
		}
		if step := b.missing(); step != nil {
			w.Self(step, step.Start)
			cause = step
		}
		next = b.unblocker(gates, cause, w.At)
	}
	for next != nil && w.Advances(func() {
		b.waitFor(w, *next, cause)
		w.Descend(next.span)
		cause = next.span
		if step := w.ByID[cause.ParentID]; step != nil && step != b.root && !next.instead && !w.At.After(step.End) {
			w.Self(step, step.Start)
			cause = step
		}
	}) {
		next = b.unblocker(gates, cause, w.At)
	}
	b.change.Ledger.EmitPath(w.Finish())
	markLater(b.change, later)
	b.comparePrevious()
}

// blockers are in order of their opening.
func (b *changeBuilder) blockers() []blocker {
	var gates []blocker
	for pod, s := range b.startSpans {
		open := s.End
		if _, ready := pod.FirstReady(); ready {
			open = b.available(pod, s.End)
		}
		gates = append(gates, blocker{span: s, open: open, instead: b.plan.Starts[pod].Lost != nil, coarse: true, pod: pod})
	}
	if b.waitsForStops() {
		for pod, s := range b.stopSpans {
			gates = append(gates, blocker{span: s, open: b.outOfTheWay(pod, s.End), pod: pod})
		}
	}
	for _, s := range b.spans {
		if s.Kind == kind.Paused {
			gates = append(gates, blocker{span: s, open: s.End})
		}
	}
	slices.SortFunc(gates, func(x, y blocker) int {
		return cmp.Or(x.open.Compare(y.open), y.span.Start.Compare(x.span.Start), strings.Compare(x.span.Subject, y.span.Subject))
	})
	b.blockerOf = make(map[trace.SpanID]*blocker, len(gates))
	for i := range gates {
		b.blockerOf[gates[i].span.SpanID] = &gates[i]
	}
	b.runBlockers()
	return gates
}

// waitsForStops reports whether the controller goes on only when a pod that it
// deleted is out of the way. A Deployment that rolls counts what its ReplicaSets
// are to have, and those do not count pods that are being deleted
// (NewRSNewReplicas and FilterActivePods of k8s.io/kubernetes/pkg/controller).
func (b *changeBuilder) waitsForStops() bool {
	return b.change.Kind == attr.ChangeDelete || b.plan.Workload.Controller.GoesPodByPod() || b.plan.Workload.Recreate && b.change.Kind == attr.ChangeRollout
}

// openedLast is the gate that was opened last by a time.
func openedLast(gates []blocker, at time.Time) *blocker {
	later, _ := slices.BinarySearchFunc(gates, at, func(g blocker, at time.Time) int {
		if g.open.After(at) {
			return 1
		}
		return -1
	})
	for i := range slices.Backward(gates[:later]) {
		if g := &gates[i]; g.span.Start.Before(at) {
			return g
		}
	}
	return nil
}

// completeWhenReady reports whether the change is complete without its last pod
// having been ready for minReadySeconds.
func (b *changeBuilder) completeWhenReady() bool {
	return b.plan.Workload.Controller.CompleteWhenReady && b.change.Kind == attr.ChangeRollout
}

// completer is the gate that completed the change.
func (b *changeBuilder) completer(gates []blocker) *blocker {
	if b.completeWhenReady() && b.plan.Workload.MinReady > 0 {
		gates = slices.Clone(gates)
		for i := range gates {
			gates[i].open = evidence.Earliest(gates[i].open, gates[i].span.End)
		}
		slices.SortStableFunc(gates, func(x, y blocker) int { return x.open.Compare(y.open) })
	}
	return completedBy(gates, b.root.End)
}

// completedBy is the gate that was opened last by the end of a change, or a little
// after where that is not known better.
func completedBy(gates []blocker, end time.Time) *blocker {
	for i := range slices.Backward(gates) {
		g := &gates[i]
		late := g.open.Sub(end)
		if g.span.Start.Before(end) && (late <= 0 || g.coarse && late < time.Second) {
			return g
		}
	}
	return nil
}

// waitingAt is the gate that was waited for at a time, the longest.
func waitingAt(gates []blocker, at time.Time) *blocker {
	var longest *blocker
	for i := range gates {
		g := &gates[i]
		if g.span.Start.Before(at) && !g.open.Before(at) && (longest == nil || g.span.Start.Before(longest.span.Start)) {
			longest = g
		}
	}
	return longest
}

// missing is the first step whose pods were not even made when the change
// ended, nil if there is none.
func (b *changeBuilder) missing() *spans.Span {
	for _, at := range b.plan.StepsOf(b.change) {
		made := at.Step.Ledger.Filled
		for _, pod := range b.plan.StartsOf[at.Step] {
			if !pod.CreatedAt().After(b.end) {
				made++
			}
		}
		if span := b.spanOf[at.Step]; made < at.Step.To-at.Step.From && span.Start.Before(b.end) && !span.End.Before(b.end) {
			return span
		}
	}
	return nil
}

// waitFor takes the time between the opening of a gate and what came next.
func (b *changeBuilder) waitFor(w *critpath.CriticalPath, g blocker, cause *spans.Span) {
	phase := attr.PhaseController
	if b.backsOff(g, cause) {
		phase = attr.PhaseBackOff
	}
	w.Take(b.root, phase, phase.String(), evidence.Earliest(g.open, w.At))
	if !g.open.After(g.span.End) {
		return
	}
	waiting := b.root
	if s := b.minReadyWait; s != nil && s.Start.Before(w.At) && !s.End.Before(w.At) {
		waiting = s
	}
	w.Take(waiting, attr.PhaseMinReadyWait, attr.PhaseMinReadyWait.String(), g.span.End)
}

// gatesAStep is how many gates are looked at in the time of a step, mostly.
const gatesAStep = 64

// unblocker is the gate that something waited for: the one it is linked to, or
// the one that opened last before it. A pause waited for nobody; what it came
// upon is what the change had been waiting for.
func (b *changeBuilder) unblocker(gates []blocker, waited *spans.Span, at time.Time) *blocker {
	b.builder.work.Spend(1 + len(gates)/gatesAStep)
	last := openedLast(gates, at)
	if waited.Kind == kind.Paused {
		if g := waitingAt(gates, at); g != nil {
			return g
		}
		return last
	}
	if g := b.blockerOf[waited.SpanID]; g != nil && g.run != nil && g.run.span.Start.Before(at) {
		return g.run
	}
	for _, l := range waited.Links {
		g := b.blockerOf[l.SpanID]
		if g != nil && g.span.Start.Before(at) && (last == nil || last.span.Kind != kind.Paused || last.open.Before(g.open)) {
			return g
		}
	}
	return last
}

// addPath works out the critical path of a change whose spans below the root
// follow one after the other.
func (b *builder) addPath(root *spans.Span) {
	w := critpath.NewCriticalPath(b.spans, root, b.work)
	w.Descend(root)
	w.Finish()
}
