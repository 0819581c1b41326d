package build

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// addUnblocked links what a controller did to what it waited for: a step to the
// pod that became available before it; of a workload that goes pod by pod, a
// pod to the one before; a pod that takes another's place to the end of that
// one; and a Job's pod to the one whose end made room for it.
func (b *changeBuilder) addUnblocked() {
	switch b.change.Kind {
	case attr.ChangeRollout, attr.ChangeScale:
		b.unblockedSteps()
		b.unblockedPods()
	case attr.ChangeJob:
		b.unblockedRuns()
	}
}

func (b *changeBuilder) unblockedSteps() {
	for i, at := range b.plan.StepsOf(b.change) {
		switch step := b.spanOf[at.Step]; {
		case i == 0 || at.Step.Initial:
		case b.plan.Workload.Recreate && at.Step.Up():
			b.unblockedByStops(step)
		default:
			b.unblockedBy(step, nil, at.Step.Write)
		}
	}
}

func (b *changeBuilder) unblockedPods() {
	if !b.plan.Workload.Controller.GoesPodByPod() {
		return
	}
	for _, pod := range b.plan.Pods {
		if stop := b.stopSpans[pod]; stop != nil && !b.plan.Workload.OnDelete {
			b.unblockedStop(stop, pod)
		}
		start := b.startSpans[pod]
		if start == nil {
			continue
		}
		if before := b.stopSpans[b.plan.Starts[pod].Lost]; before == nil {
			if b.makesInTurn() {
				b.unblockedBy(start, pod, pod.FirstSeen)
			}
		} else if !b.plan.Workload.InOrder || !b.predecessor(start, pod, b.outOfTheWay(b.plan.Starts[pod].Lost, before.End)) {
			linkUnblocked(start, before)
		}
	}
}

// makesInTurn reports whether the controller waits for other pods to be ready before it
// makes one that takes no other's place: that of a StatefulSet does, but not if that is
// managed in parallel; that of a DaemonSet only where an update surges.
func (b *changeBuilder) makesInTurn() bool {
	if b.plan.Workload.Controller.Replaces != workloads.ReplacedOnNode {
		return b.plan.Workload.InOrder
	}
	return b.change.Kind == attr.ChangeRollout && b.change.Cause != attr.CauseCreate
}

// readyPod is a pod of the change that became available, and when.
type readyPod struct {
	*podlife.Pod
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
	for _, pod := range b.plan.Pods {
		start := b.startSpans[pod]
		if _, ready := pod.FirstReady(); start != nil && ready {
			b.ready = append(b.ready, readyPod{pod, start, b.available(pod, start.End)})
		}
	}
	slices.SortStableFunc(b.ready, func(x, y readyPod) int { return y.at.Compare(x.at) })
	return b.ready
}

// unblockedBy links a span to the pod of this change, other than its own, that
// became available last before the write which the span begins with.
func (b *changeBuilder) unblockedBy(s *spans.Span, own *podlife.Pod, write evidence.Write) {
	for _, r := range b.becameReady() {
		if r.start.Start.Before(s.Start) && r.Pod != own && b.availableBefore(r.Pod, s.Start, write) {
			linkUnblocked(s, r.start)
			return
		}
	}
}

// unblockedStop links the stop of a pod to the pod before it: the one that became
// available, or the one that went, of a StatefulSet which removes one after the other.
func (b *changeBuilder) unblockedStop(stop *spans.Span, pod *podlife.Pod) {
	var last *spans.Span
	var free time.Time
	if b.plan.Workload.InOrder {
		if last = b.wentBefore(stop); last != nil {
			free = last.End
		}
	}
	for _, r := range b.becameReady() {
		if r.at.After(free) && r.start.Start.Before(stop.Start) && r.Pod != pod && b.availableBefore(r.Pod, stop.Start, pod.LostBy()) {
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
		for _, pod := range b.plan.Pods {
			if s := b.stopSpans[pod]; s != nil && pod.Gone.Known() {
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
func (b *changeBuilder) predecessor(start *spans.Span, pod *podlife.Pod, free time.Time) bool {
	for _, r := range b.becameReady() {
		if !r.at.After(free) {
			break
		}
		if r.start.Start.Before(start.Start) && workloads.Ordinal(r.Pod) < workloads.Ordinal(pod) && b.availableBefore(r.Pod, start.Start, pod.FirstSeen) {
			linkUnblocked(start, r.start)
			return true
		}
	}
	return false
}

// availableBefore reports whether a pod can have counted as available when a
// write was made at about a time. Ready is dated within its second; which of two
// writes came first is told by their versions.
func (b *changeBuilder) availableBefore(pod *podlife.Pod, at time.Time, write evidence.Write) bool {
	tr, ready := pod.FirstReady()
	switch {
	case !ready:
		return false
	case b.plan.Workload.MinReady == 0 && pod.ReadyBy.Version != 0 && write.Version != 0:
		return pod.ReadyBy.Before(write)
	case tr.At.Earliest.IsZero():
		return !tr.At.At().After(at)
	default:
		return !tr.At.Earliest.Add(b.plan.Workload.MinReady).After(at)
	}
}

// unblockedByStops links a step to the old pod that was out of the way last.
func (b *changeBuilder) unblockedByStops(step *spans.Span) {
	var last *spans.Span
	var lastAt time.Time
	for _, pod := range b.plan.Pods {
		stop := b.stopSpans[pod]
		if stop == nil || !stop.Start.Before(step.Start) {
			continue
		}
		if at := b.outOfTheWay(pod, stop.End); at.After(lastAt) {
			last, lastAt = stop, at
		}
	}
	if last != nil {
		linkUnblocked(step, last)
	}
}

// outOfTheWay is when a pod that was deleted, and gone at a time, no longer kept
// its controller from going on. Deployments that recreate, DaemonSets and Jobs do
// as soon as the pod has ended (oldPodsRunning, getNodesToDaemonPods and
// CountTerminatingPods of k8s.io/kubernetes/pkg/controller); the others when its
// name is free.
func (b *changeBuilder) outOfTheWay(pod *podlife.Pod, gone time.Time) time.Time {
	if b.change.Kind != attr.ChangeDelete && b.plan.Workload.Controller.FreedBy == workloads.FreedWhenEnded {
		return evidence.Earliest(pod.Ended.At(), gone)
	}
	return gone
}
