package causality

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/rollspan/rollspan/pkg/spans"
)

// gate is something a controller waits for before it goes on: a pod that gets
// available, a pod that goes, the end of a pause.
type gate struct {
	span *spans.Span
	// open is when it let the controller go on; a pod that is Ready counts only
	// after minReadySeconds.
	open time.Time
}

// addCriticalPath works out what the change waited for, from its end back to
// its beginning: what completed it, what that had waited for, and so on.
func (b *changeBuilder) addCriticalPath() {
	if !b.change.ended {
		return
	}
	w := newCriticalPath(&b.builder, b.root)
	gates := b.gates()
	next := b.lastGate(gates)
	if next == nil {
		b.missing(w, gates)
		next = openedLast(gates, w.at)
	}
	for cause := b.root; next != nil; next = b.unblocker(gates, cause, w.at) {
		b.waitFor(w, *next, cause)
		w.descend(next.span)
		cause = next.span
		if step := w.byID[cause.ParentID]; step != nil && step != b.root {
			w.self(step, step.Start)
			cause = step
		}
	}
	b.change.phases = w.finish()
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
		gates = append(gates, gate{s, open})
	}
	if b.waitsForStops() {
		for _, s := range b.stopSpans {
			gates = append(gates, gate{s, s.End})
		}
	}
	for _, s := range b.spans {
		if s.Name == "paused" {
			gates = append(gates, gate{s, s.End})
		}
	}
	slices.SortFunc(gates, func(x, y gate) int {
		return cmp.Or(x.open.Compare(y.open), y.span.Start.Compare(x.span.Start), strings.Compare(x.span.Subject, y.span.Subject))
	})
	return gates
}

// waitsForStops reports whether the controller goes on only when a pod that it
// deleted is gone. A ReplicaSet does not count pods that are on their way out.
func (b *changeBuilder) waitsForStops() bool {
	switch {
	case b.change.kind == changeDelete:
		return true
	case b.kind == kindDeployment:
		return b.recreate && b.change.kind == changeRollout
	default:
		return b.kind == kindStatefulSet || b.kind == kindDaemonSet
	}
}

// openedLast is the gate that was opened last by a time.
func openedLast(gates []gate, at time.Time) *gate {
	for i := range slices.Backward(gates) {
		if g := &gates[i]; !g.open.After(at) && g.span.Start.Before(at) {
			return g
		}
	}
	return nil
}

// lastGate is what completed the change, or of one that did not complete what
// it was waiting for at its end, the longest.
func (b *changeBuilder) lastGate(gates []gate) *gate {
	end := b.root.End
	if b.change.outcome == outcomeComplete {
		// A pod's Ready is dated within its second, and so may seem to come
		// a little after what it led to.
		return openedLast(gates, end.Add(unblockSlack))
	}
	var longest *gate
	for i := range gates {
		g := &gates[i]
		if g.span.Start.Before(end) && !g.open.Before(end) && (longest == nil || g.span.Start.Before(longest.span.Start)) {
			longest = g
		}
	}
	return longest
}

// missing is for a change that ended while pods were not even created: that is
// what it waited for.
func (b *changeBuilder) missing(w *criticalPath, gates []gate) {
	if b.change.outcome == outcomeComplete {
		return
	}
	for _, s := range b.stepsOf(b.change) {
		step := b.spanOf[s.step]
		if !s.step.up() || step.End.Before(b.root.End) {
			continue
		}
		from := step.Start
		if g := openedLast(gates, w.at); g != nil {
			from = latest(from, g.open)
		}
		w.self(step, from)
		return
	}
}

// waitFor takes the time between the opening of a gate and what came next.
func (b *changeBuilder) waitFor(w *criticalPath, g gate, cause *spans.Span) {
	phase := phaseController
	if cause != b.root && b.change.kind == changeJob && g.span.Status == codes.Error {
		// The Job controller backs off before it makes another pod.
		phase = phaseBackOff
	}
	w.take(b.root, phase, phase, earliest(g.open, w.at))
	if !g.open.After(g.span.End) {
		return
	}
	waiting := b.root
	for _, s := range w.children[b.root.SpanID] {
		if s.Name == phaseMinReady && s.Start.Before(w.at) && !s.End.Before(w.at) {
			waiting = s
		}
	}
	w.take(waiting, phaseMinReady, phaseMinReady, g.span.End)
}

// unblocker is the gate that something waited for: the one it is linked to, or
// the one that opened last before it.
func (b *changeBuilder) unblocker(gates []gate, waited *spans.Span, at time.Time) *gate {
	last := openedLast(gates, at)
	for i := range gates {
		g := &gates[i]
		if !g.span.Start.Before(at) || !slices.ContainsFunc(waited.Links, func(l spans.Link) bool { return l.SpanID == g.span.SpanID }) {
			continue
		}
		if last == nil || last.span.Name != "paused" || last.open.Before(g.open) {
			return g
		}
	}
	return last
}

// addPath works out the critical path of a change whose spans below the root
// follow one after the other.
func (b *builder) addPath(root *spans.Span) {
	w := newCriticalPath(b, root)
	w.descend(root)
	w.finish()
}
