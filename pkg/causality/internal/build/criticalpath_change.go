package build

import (
	"cmp"
	"maps"
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

// blocker is something that a controller waits for before it goes on: a pod that gets
// available, a pod that goes, the end of a pause. While pod web-1 is not available, the
// deployment controller does not scale the old ReplicaSet down.
type blocker struct {
	span *spans.Span
	// available is when it blocked no more; a pod that is Ready counts only after
	// minReadySeconds.
	available time.Time
	// open is when the controller could know that, and go on: the kubelet's report may have
	// come later.
	open time.Time
	// instead is set for a pod that was made in the place of a lost one, so not because of
	// the step below which its span is.
	instead bool
	// again is set for a pod that had been Ready, and was to get so again.
	again bool
	// coarse is set where open is known to the second only, and so may seem to
	// come a little after what it led to.
	coarse bool
	// failure is how a pod of a Job failed here, if it did: the controller backs
	// off before it makes another.
	failure *runEnd
	pod     *podlife.Pod // the pod that is waited for; nil of a pause
	run     *blocker     // of a pod of a Job that was deleted: what this put an end to
}

// addCriticalPath works out what the change waited for, from its end back to
// its beginning: what completed it, what that had waited for, and so on.
func (b *changeBuilder) addCriticalPath() {
	unknown := b.podsUnknown()
	if !b.change.Over() || unknown && b.plan.Workload.Inferred {
		return
	}
	if unknown {
		path := critpath.New(b.spans, b.root, b.plan.Work)
		b.own(path, attr.PhaseUnknown, b.root.Start)
		b.sayUnknown(path.Finish())
		return
	}
	later := b.stillGoingOn()
	path := critpath.New(slices.Concat(b.spans, later), b.root, b.plan.Work)
	path.Unseen = b.stepsUnseen()
	blockers := b.blockers()
	cause := b.root
	var next *blocker
	switch {
	case b.change.Kind == attr.ChangeJob:
		next = b.runEndedBy(path, blockers)
	case b.change.Outcome() == attr.OutcomeComplete:
		next = b.completer(blockers)
	default:
		next = b.waitingAt(blockers, b.root.End)
		if next != nil {
			break
		}
		if step := b.missing(); step != nil {
			path.Self(step, step.Start)
			cause = step
		}
		next = b.unblocker(blockers, cause, path.At)
	}
	for next != nil && path.Advances(func() {
		b.waitFor(path, *next, cause)
		path.Descend(next.span)
		cause = b.backBefore(path, next.span)
		again := b.attemptBefore[cause] != nil
		if step := path.ByID[cause.ParentID]; step != nil && step != b.root && !next.instead && !again && !path.At.After(step.End) {
			path.Self(step, step.Start)
			cause = step
		}
	}) {
		next = b.unblocker(blockers, cause, path.At)
	}
	b.idle(path, cause, b.root.Start)
	phases := path.Finish()
	b.sayUnknown(phases)
	b.change.Ledger.EmitPath(phases)
	markLater(b.change, later)
	b.comparePrevious()
}

// inOrder are the pods in a fixed order: those of one name would else block by chance.
func inOrder(of map[*podlife.Pod]*spans.Span) []*podlife.Pod {
	return slices.SortedFunc(maps.Keys(of), func(x, y *podlife.Pod) int { return x.Compare(y.ObjectID) })
}

// blockers are in the order in which they let the controller go on.
func (b *changeBuilder) blockers() []blocker {
	var blockers []blocker
	for _, pod := range inOrder(b.startSpans) {
		s := b.startSpans[pod]
		if len(b.attempts[pod]) > 0 {
			blockers = append(blockers, b.attemptBlockers(pod)...)
			continue
		}
		available := s.End
		if _, ready := pod.FirstReady(); ready {
			available = b.available(pod, s.End)
		}
		blockers = append(blockers, blocker{
			span: s, available: available, open: evidence.Latest(available, b.reported(pod)),
			instead: b.plan.Starts[pod].Lost != nil, coarse: true, pod: pod,
		})
	}
	if b.waitsForStops() {
		for _, pod := range inOrder(b.stopSpans) {
			s := b.stopSpans[pod]
			open := b.outOfTheWay(pod, s.End)
			blockers = append(blockers, blocker{span: s, available: open, open: open, pod: pod})
		}
	}
	for _, s := range b.spans {
		if s.Kind == kind.Paused {
			blockers = append(blockers, blocker{span: s, available: s.End, open: s.End})
		}
	}
	slices.SortStableFunc(blockers, func(x, y blocker) int {
		return cmp.Or(x.open.Compare(y.open), y.span.Start.Compare(x.span.Start), strings.Compare(x.span.Subject, y.span.Subject))
	})
	b.longest = longestOf(blockers)
	b.blockerOf = make(map[trace.SpanID]*blocker, len(blockers))
	for i := range blockers {
		b.blockerOf[blockers[i].span.SpanID] = &blockers[i]
	}
	for i := range blockers {
		// What is linked to the start of a pod waited for it to be available.
		if start := b.startSpans[blockers[i].pod]; start != nil && blockers[i].again && b.blockerOf[start.SpanID] == nil {
			b.blockerOf[start.SpanID] = &blockers[i]
		}
	}
	b.runBlockers()
	return blockers
}

// waitsForStops reports whether the controller goes on only when a pod that it
// deleted is out of the way. A Deployment that rolls counts what its ReplicaSets
// are to have, and those do not count pods that are being deleted
// (NewRSNewReplicas and FilterActivePods of k8s.io/kubernetes/pkg/controller).
func (b *changeBuilder) waitsForStops() bool {
	return b.recreates() || b.change.Kind == attr.ChangeDelete || b.plan.Workload.Controller.GoesPodByPod()
}

// openedLast is the blocker that was the last to let the controller go on by a time.
func (b *changeBuilder) openedLast(blockers []blocker, at time.Time) *blocker {
	later, _ := slices.BinarySearchFunc(blockers, at, func(block blocker, at time.Time) int {
		if block.open.After(at) {
			return 1
		}
		return -1
	})
	for i := range slices.Backward(blockers[:later]) {
		b.work.Spend(1)
		if block := &blockers[i]; block.span.Start.Before(at) {
			return block
		}
	}
	return nil
}

// unblocking are the blockers that may let the controller go on before the end. That of a
// ReplicaSet which nobody scales step by step makes all of its pods at once, and does not wait
// for one that is not Ready any more.
func (b *changeBuilder) unblocking(blockers []blocker) []blocker {
	if len(b.attempts) == 0 || !b.plan.Workload.Direct() || b.plan.Workload.Controller.GoesPodByPod() {
		return blockers
	}
	b.work.Spend(len(blockers))
	return slices.DeleteFunc(slices.Clone(blockers), func(block blocker) bool { return block.again })
}

// completeWhenReady reports whether the change is complete without its last pod
// having been ready for minReadySeconds.
func (b *changeBuilder) completeWhenReady() bool {
	return b.plan.Workload.Controller.CompleteWhenReady && b.change.Kind == attr.ChangeRollout
}

// completer is the blocker whose end completed the change.
func (b *changeBuilder) completer(blockers []blocker) *blocker {
	if b.completeWhenReady() && b.plan.Workload.MinReady > 0 {
		blockers = slices.Clone(blockers)
		for i := range blockers {
			block := &blockers[i]
			block.available = evidence.Earliest(block.available, block.span.End)
			block.open = evidence.Earliest(block.open, evidence.Latest(block.available, b.reported(block.pod)))
		}
		slices.SortStableFunc(blockers, func(x, y blocker) int { return x.open.Compare(y.open) })
	}
	return completedBy(blockers, b.root.End)
}

// completedBy is the blocker that was the last to let the controller go on by the end of a
// change, or a little after where that is not known better.
func completedBy(blockers []blocker, end time.Time) *blocker {
	for i := range slices.Backward(blockers) {
		block := &blockers[i]
		late := block.open.Sub(end)
		if block.span.Start.Before(end) && (late <= 0 || block.coarse && late < time.Second) {
			return block
		}
	}
	return nil
}

// waitingAt is the blocker that was waited for at a time, of several for the longest. The
// blockers are all there are, in their order: each step of the path asks.
func (b *changeBuilder) waitingAt(blockers []blocker, at time.Time) *blocker {
	i, _ := slices.BinarySearchFunc(blockers, at, func(block blocker, at time.Time) int { return block.open.Compare(at) })
	if i == len(blockers) || !blockers[b.longest[i]].span.Start.Before(at) {
		return nil
	}
	return &blockers[b.longest[i]]
}

// longestOf is, for each blocker, which of those that opened no earlier began first.
func longestOf(blockers []blocker) []int {
	longest := make([]int, len(blockers))
	for i := range slices.Backward(blockers) {
		longest[i] = i
		if i+1 < len(blockers) && blockers[longest[i+1]].span.Start.Before(blockers[i].span.Start) {
			longest[i] = longest[i+1]
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

// waitFor takes the time between the end of a blocker and what came next.
func (b *changeBuilder) waitFor(path *critpath.Path, block blocker, cause *spans.Span) {
	if b.backsOff(block, cause) {
		// It is counted from when the pod failed, whenever that was reported.
		b.own(path, attr.PhaseBackOff, evidence.Earliest(block.available, path.At))
	}
	if b.reportUnseen(block) && path.At.Sub(block.available) > reaction {
		b.own(path, attr.PhaseUnknown, block.available)
	}
	b.idle(path, cause, evidence.Earliest(block.open, path.At))
	b.statusLatency(path, block)
	if !block.available.After(block.span.End) {
		return
	}
	if a := b.attemptBy[block.span]; a != nil && !a.ready.Known() {
		path.Self(block.span, block.span.End)
		return
	}
	waiting := b.root
	if s := b.minReadyWait; s != nil && s.Start.Before(path.At) && !s.End.Before(path.At) {
		waiting = s
	}
	path.Take(waiting, attr.PhaseMinReadyWait, attr.PhaseMinReadyWait.String(), block.span.End)
}

// unblocker is the blocker that something waited for: the one it is linked to, or the one
// that ended last before it. A pause waited for nobody; what it came
// upon is what the change had been waiting for.
func (b *changeBuilder) unblocker(blockers []blocker, waited *spans.Span, at time.Time) *blocker {
	b.work.Spend(1)
	last := b.openedLast(b.unblocking(blockers), at)
	if b.attemptBefore[waited] != nil {
		// The pod had been available. Another one was waited for when it was so no more.
		if block := b.waitingAt(blockers, at); block != nil {
			return block
		}
	}
	if waited.Kind == kind.Paused {
		if block := completedBy(blockers, at); block != nil && b.plan.Workload.Composition != nil {
			return block // where nobody states a pause, it began when nothing was under way
		}
		if block := b.waitingAt(blockers, at); block != nil {
			return block
		}
		return last
	}
	if block := b.blockerOf[waited.SpanID]; block != nil && block.run != nil && block.run.span.Start.Before(at) {
		return block.run
	}
	for _, l := range waited.Links {
		block := b.blockerOf[l.SpanID]
		if block != nil && block.span.Start.Before(at) && (last == nil || last.span.Kind != kind.Paused || last.open.Before(block.open)) {
			last = block
			break
		}
	}
	if other := b.heldUp(blockers, waited, last, at); other != nil {
		return other
	}
	return last
}

// heldUp is the pod that the change was still waiting for at a time, where what let its
// controller go on before is too long ago; nil otherwise. Then something else led to what
// came next: a pod that was lost, say, has one made in its place.
func (b *changeBuilder) heldUp(blockers []blocker, waited *spans.Span, last *blocker, at time.Time) *blocker {
	free := b.root.Start
	if last != nil {
		free = last.open
	}
	if b.change.Kind != attr.ChangeRollout && b.change.Kind != attr.ChangeScale || at.Sub(free) <= reaction {
		return nil
	}
	if other := b.waitingAt(blockers, at); other != nil && other.span != waited && other.coarse {
		return other
	}
	return nil
}
