package causality

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// gate is something a controller waits for before it goes on: a pod that gets
// available, a pod that goes, the end of a pause.
type gate struct {
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
	pod     *pod  // nil of a pause
	run     *gate // of a pod of a Job that was deleted: what this put an end to
}

// addCriticalPath works out what the change waited for, from its end back to
// its beginning: what completed it, what that had waited for, and so on.
func (b *changeBuilder) addCriticalPath() {
	if !b.change.over() || b.podsUnknown() {
		return
	}
	later := b.stillGoingOn()
	w := newCriticalPath(slices.Concat(b.spans, later), b.root, b.plan.work)
	gates := b.gates()
	cause := b.root
	var next *gate
	switch {
	case b.change.kind == attr.ChangeJob:
		next = b.runEndedBy(w, gates)
	case b.change.how() == attr.OutcomeComplete:
		next = b.completer(gates)
	default:
		next = waitingAt(gates, b.root.End)
		if next != nil {
			break
		}
		if step := b.missing(); step != nil {
			w.self(step, step.Start)
			cause = step
		}
		next = b.unblocker(gates, cause, w.at)
	}
	for next != nil && w.advances(func() {
		b.waitFor(w, *next, cause)
		w.descend(next.span)
		cause = next.span
		if step := w.byID[cause.ParentID]; step != nil && step != b.root && !next.instead && !w.at.After(step.End) {
			w.self(step, step.Start)
			cause = step
		}
	}) {
		next = b.unblocker(gates, cause, w.at)
	}
	b.change.ledger.toldPath(w.finish())
	b.change.markLater(later)
	b.comparePrevious()
}

// gates are in order of their opening.
func (b *changeBuilder) gates() []gate {
	var gates []gate
	for q, s := range b.startSpans {
		open := s.End
		if _, ready := q.firstReady(); ready {
			open = b.available(q, s.End)
		}
		gates = append(gates, gate{span: s, open: open, instead: b.starts[q].lost != nil, coarse: true, pod: q})
	}
	if b.waitsForStops() {
		for q, s := range b.stopSpans {
			gates = append(gates, gate{span: s, open: b.outOfTheWay(q, s.End), pod: q})
		}
	}
	for _, s := range b.spans {
		if s.Kind == kind.Paused {
			gates = append(gates, gate{span: s, open: s.End})
		}
	}
	slices.SortFunc(gates, func(x, y gate) int {
		return cmp.Or(x.open.Compare(y.open), y.span.Start.Compare(x.span.Start), strings.Compare(x.span.Subject, y.span.Subject))
	})
	b.gateOf = make(map[trace.SpanID]*gate, len(gates))
	for i := range gates {
		b.gateOf[gates[i].span.SpanID] = &gates[i]
	}
	b.runGates()
	return gates
}

// waitsForStops reports whether the controller goes on only when a pod that it
// deleted is out of the way. A Deployment that rolls counts what its ReplicaSets
// are to have, and those do not count pods that are being deleted
// (NewRSNewReplicas and FilterActivePods of k8s.io/kubernetes/pkg/controller).
func (b *changeBuilder) waitsForStops() bool {
	return b.change.kind == attr.ChangeDelete || b.controller.goesPodByPod() || b.recreate && b.change.kind == attr.ChangeRollout
}

// openedLast is the gate that was opened last by a time.
func openedLast(gates []gate, at time.Time) *gate {
	later, _ := slices.BinarySearchFunc(gates, at, func(g gate, at time.Time) int {
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
	return b.controller.completeWhenReady && b.change.kind == attr.ChangeRollout
}

// completer is the gate that completed the change.
func (b *changeBuilder) completer(gates []gate) *gate {
	if b.completeWhenReady() && b.minReady > 0 {
		gates = slices.Clone(gates)
		for i := range gates {
			gates[i].open = earliest(gates[i].open, gates[i].span.End)
		}
		slices.SortStableFunc(gates, func(x, y gate) int { return x.open.Compare(y.open) })
	}
	return completedBy(gates, b.root.End)
}

// completedBy is the gate that was opened last by the end of a change, or a little
// after where that is not known better.
func completedBy(gates []gate, end time.Time) *gate {
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
func waitingAt(gates []gate, at time.Time) *gate {
	var longest *gate
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
	for _, s := range b.stepsOf(b.change) {
		made := s.step.ledger.filled
		for _, q := range b.startsOf[s.step] {
			if !q.createdAt().After(b.end) {
				made++
			}
		}
		if span := b.spanOf[s.step]; made < s.step.to-s.step.from && span.Start.Before(b.end) && !span.End.Before(b.end) {
			return span
		}
	}
	return nil
}

// waitFor takes the time between the opening of a gate and what came next.
func (b *changeBuilder) waitFor(w *criticalPath, g gate, cause *spans.Span) {
	phase := attr.PhaseController
	if b.backsOff(g, cause) {
		phase = attr.PhaseBackOff
	}
	w.take(b.root, phase, phase.String(), earliest(g.open, w.at))
	if !g.open.After(g.span.End) {
		return
	}
	waiting := b.root
	if s := b.minReadyWait; s != nil && s.Start.Before(w.at) && !s.End.Before(w.at) {
		waiting = s
	}
	w.take(waiting, attr.PhaseMinReadyWait, attr.PhaseMinReadyWait.String(), g.span.End)
}

// gatesAStep is how many gates are looked at in the time of a step, mostly.
const gatesAStep = 64

// unblocker is the gate that something waited for: the one it is linked to, or
// the one that opened last before it. A pause waited for nobody; what it came
// upon is what the change had been waiting for.
func (b *changeBuilder) unblocker(gates []gate, waited *spans.Span, at time.Time) *gate {
	b.builder.work.spend(1 + len(gates)/gatesAStep)
	last := openedLast(gates, at)
	if waited.Kind == kind.Paused {
		if g := waitingAt(gates, at); g != nil {
			return g
		}
		return last
	}
	if g := b.gateOf[waited.SpanID]; g != nil && g.run != nil && g.run.span.Start.Before(at) {
		return g.run
	}
	for _, l := range waited.Links {
		g := b.gateOf[l.SpanID]
		if g != nil && g.span.Start.Before(at) && (last == nil || last.span.Kind != kind.Paused || last.open.Before(g.open)) {
			return g
		}
	}
	return last
}

// addPath works out the critical path of a change whose spans below the root
// follow one after the other.
func (b *builder) addPath(root *spans.Span) {
	w := newCriticalPath(b.spans, root, b.work)
	w.descend(root)
	w.finish()
}
