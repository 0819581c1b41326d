package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// addUnblocked links what a controller did to what it waited for: a step to the
// pod that became available before it; of a workload that goes pod by pod, a
// pod to the one before; a pod that takes another's place to the end of that
// one; and a Job's pod to the one whose end made room for it.
func (b *changeBuilder) addUnblocked() {
	switch b.change.kind {
	case attr.ChangeRollout, attr.ChangeScale:
		b.unblockedSteps()
		b.unblockedPods()
	case attr.ChangeJob:
		b.unblockedRuns()
	}
}

func (b *changeBuilder) unblockedSteps() {
	for i, s := range b.stepsOf(b.change) {
		switch step := b.spanOf[s.step]; {
		case i == 0 || s.step.initial:
		case b.recreate && s.step.up():
			b.unblockedByStops(step)
		default:
			b.unblockedBy(step, nil, s.step.stamp)
		}
	}
}

func (b *changeBuilder) unblockedPods() {
	if !b.controller.goesPodByPod() {
		return
	}
	for _, q := range b.pods {
		if stop := b.stopSpans[q]; stop != nil && !b.onDelete {
			b.unblockedStop(stop, q)
		}
		start := b.startSpans[q]
		if start == nil {
			continue
		}
		if before := b.stopSpans[b.starts[q].lost]; before == nil {
			if b.makesInTurn() {
				b.unblockedBy(start, q, q.firstSeen)
			}
		} else if !b.inOrder || !b.predecessor(start, q, b.outOfTheWay(b.starts[q].lost, before.End)) {
			linkUnblocked(start, before)
		}
	}
}

// makesInTurn reports whether the controller waits for other pods to be ready before it
// makes one that takes no other's place: that of a StatefulSet does, but not if that is
// managed in parallel; that of a DaemonSet only where an update surges.
func (b *changeBuilder) makesInTurn() bool {
	if b.controller.replaces != replacedOnNode {
		return b.inOrder
	}
	return b.change.kind == attr.ChangeRollout && b.change.cause != attr.CauseCreate
}

// readyPod is a pod of the change that became available, and when.
type readyPod struct {
	*pod
	start *spans.Span
	at    time.Time
}

// becameReady are the pods of the change that became available, the last one
// first. Whatever asks for the pod before it looks from there.
func (b *changeBuilder) becameReady() []readyPod {
	if b.ready != nil {
		return b.ready
	}
	b.ready = []readyPod{}
	for _, q := range b.pods {
		start := b.startSpans[q]
		if _, ready := q.firstReady(); start != nil && ready {
			b.ready = append(b.ready, readyPod{q, start, b.available(q, start.End)})
		}
	}
	slices.SortStableFunc(b.ready, func(x, y readyPod) int { return y.at.Compare(x.at) })
	return b.ready
}

// unblockedBy links a span to the pod of this change, other than its own, that
// became available last before the write which the span begins with.
func (b *changeBuilder) unblockedBy(s *spans.Span, own *pod, write stamp) {
	for _, r := range b.becameReady() {
		if r.start.Start.Before(s.Start) && r.pod != own && b.availableBefore(r.pod, s.Start, write) {
			linkUnblocked(s, r.start)
			return
		}
	}
}

// unblockedStop links the stop of a pod to the pod before it: the one that became
// available, or the one that went, of a StatefulSet which removes one after the other.
func (b *changeBuilder) unblockedStop(stop *spans.Span, q *pod) {
	var last *spans.Span
	var free time.Time
	if b.inOrder {
		if last = b.wentBefore(stop); last != nil {
			free = last.End
		}
	}
	for _, r := range b.becameReady() {
		if r.at.After(free) && r.start.Start.Before(stop.Start) && r.pod != q && b.availableBefore(r.pod, stop.Start, q.lostStamp()) {
			last = r.start
			break
		}
	}
	if last != nil {
		linkUnblocked(stop, last)
	}
}

// wentBefore is the stop that had ended last when another one began, nil if none had.
func (b *changeBuilder) wentBefore(stop *spans.Span) *spans.Span {
	if b.went == nil {
		b.went = []*spans.Span{}
		for _, q := range b.pods {
			if s := b.stopSpans[q]; s != nil && q.gone.known() {
				b.went = append(b.went, s)
			}
		}
		slices.SortStableFunc(b.went, func(x, y *spans.Span) int { return y.End.Compare(x.End) })
	}
	i, _ := slices.BinarySearchFunc(b.went, stop.Start, func(s *spans.Span, t time.Time) int { return t.Compare(s.End) })
	for _, s := range b.went[i:] {
		if s != stop {
			return s
		}
	}
	return nil
}

// predecessor links the start of a pod to one with a lower number that the
// StatefulSet waited for, after the pod's name was free. It reports whether there is
// one.
func (b *changeBuilder) predecessor(start *spans.Span, q *pod, free time.Time) bool {
	for _, r := range b.becameReady() {
		if !r.at.After(free) {
			break
		}
		if r.start.Start.Before(start.Start) && r.ordinal() < q.ordinal() && b.availableBefore(r.pod, start.Start, q.firstSeen) {
			linkUnblocked(start, r.start)
			return true
		}
	}
	return false
}

// availableBefore reports whether a pod can have counted as available when a
// write was made at about a time. Ready is dated within its second; which of two
// writes came first is told by their versions.
func (b *changeBuilder) availableBefore(q *pod, at time.Time, write stamp) bool {
	tr, ready := q.firstReady()
	switch {
	case !ready:
		return false
	case b.minReady == 0 && q.readyBy.version != 0 && write.version != 0:
		return q.readyBy.before(write)
	case tr.at.lo.IsZero():
		return !tr.at.at().After(at)
	default:
		return !tr.at.lo.Add(b.minReady).After(at)
	}
}

// unblockedByStops links a step to the old pod that was out of the way last.
func (b *changeBuilder) unblockedByStops(step *spans.Span) {
	var last *spans.Span
	var lastAt time.Time
	for _, q := range b.pods {
		stop := b.stopSpans[q]
		if stop == nil || !stop.Start.Before(step.Start) {
			continue
		}
		if at := b.outOfTheWay(q, stop.End); at.After(lastAt) {
			last, lastAt = stop, at
		}
	}
	if last != nil {
		linkUnblocked(step, last)
	}
}

// observeMilestones notes the writes that controllers act upon.
func (p *pod) observeMilestones(o Observation, in *corev1.Pod) {
	if _, ready := p.firstReady(); ready && p.readyBy.arrival.IsZero() {
		p.readyBy = newStamp(in.ResourceVersion, o)
	}
	if p.leaving() && !p.ended.known() && (p.phase == podFailed || p.phase == corev1.PodSucceeded) {
		p.ended = arrived(o.Time)
	}
}

// outOfTheWay is when a pod that was deleted, and gone at a time, no longer kept
// its controller from going on. Deployments that recreate, DaemonSets and Jobs do
// as soon as the pod has ended (oldPodsRunning, getNodesToDaemonPods and
// CountTerminatingPods of k8s.io/kubernetes/pkg/controller); the others when its
// name is free.
func (b *changeBuilder) outOfTheWay(q *pod, gone time.Time) time.Time {
	if b.change.kind != attr.ChangeDelete && b.controller.freedBy == freedWhenEnded {
		return earliest(q.ended.at(), gone)
	}
	return gone
}

// linkUnblocked links a span to what it could begin because of, once.
func linkUnblocked(from, to *spans.Span) {
	if !slices.ContainsFunc(from.Links, func(l spans.Link) bool { return l.SpanID == to.SpanID }) {
		from.Links = append(from.Links, spans.Link{
			TraceID: to.TraceID, SpanID: to.SpanID,
			Attributes: []attribute.KeyValue{attr.LinkKey.String(string(attr.LinkUnblockedBy))},
		})
	}
}
