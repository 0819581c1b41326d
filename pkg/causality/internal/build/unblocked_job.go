package build

import (
	"cmp"
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// runEnd is the end of a pod of a Job, as the Job's controller takes it.
type runEnd struct {
	*podlife.Pod
	by     evidence.Write
	failed bool
	span   *spans.Span // what ended
}

// runEnds are in order. A pod that somebody deletes has failed at once, or, with
// podReplacementPolicy Failed, when it has ended (isPodFailed of
// k8s.io/kubernetes/pkg/controller/job).
func (b *changeBuilder) runEnds() []runEnd {
	if b.ends != nil {
		return b.ends
	}
	b.ends = []runEnd{}
	for _, pod := range b.plan.Pods {
		start, stop := b.startSpans[pod], b.stopSpans[pod]
		switch {
		case start == nil:
		case pod.Finished.Known():
			b.ends = append(b.ends, runEnd{pod, pod.FinishedBy, pod.Phase == podlife.PodFailed, start})
		case !pod.Charged:
		case !b.change.WaitsForEnd:
			b.ends = append(b.ends, runEnd{pod, pod.DeleteAskedBy, true, start})
		case stop != nil && pod.Ended.Known():
			b.ends = append(b.ends, runEnd{pod, pod.EndedBy, pod.Phase == podlife.PodFailed, stop})
		}
	}
	slices.SortFunc(b.ends, func(x, y runEnd) int {
		return cmp.Or(evidence.CompareWrites(x.by, y.by), cmp.Compare(x.Name, y.Name))
	})
	return b.ends
}

// unblockedRuns links the pods of a Job that were not made at its beginning.
//
// After a failure the Job controller makes no pod until its back-off is over, or
// another pod has succeeded, which ends it (newBackoffRecord of
// k8s.io/kubernetes/pkg/controller/job). So what ended last is what was waited
// for, unless each index has a back-off of its own.
func (b *changeBuilder) unblockedRuns() {
	made := slices.DeleteFunc(plans.InOrderOfBirth(b.plan.Pods), func(pod *podlife.Pod) bool { return b.startSpans[pod] == nil })
	ends := b.runEnds()
	var last *runEnd
	failed := map[string]*runEnd{} // the last of each index
	for _, pod := range made {
		for ; len(ends) > 0 && ends[0].by.Before(pod.FirstSeen); ends = ends[1:] {
			last = &ends[0]
			if last.failed {
				failed[last.Index] = last
			}
		}
		waited := last
		if e := failed[pod.Index]; e != nil && retries(b.change, pod, e) {
			waited = e
		}
		if waited != nil {
			linkUnblocked(b.startSpans[pod], waited.span)
		}
	}
}

// retries reports whether a pod is another try at what had failed, so that it was
// held back by that alone.
func retries(c *workloads.Change, pod *podlife.Pod, e *runEnd) bool {
	return c.ByIndex && e.failed && pod.Index == e.Index
}
