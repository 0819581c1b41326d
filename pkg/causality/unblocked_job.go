package causality

import (
	"cmp"
	"slices"

	"github.com/rollspan/rollspan/pkg/spans"
)

// runEnd is the end of a pod of a Job, as the Job's controller takes it.
type runEnd struct {
	*pod
	by     stamp
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
	for _, q := range b.pods {
		start, stop := b.startSpans[q], b.stopSpans[q]
		switch {
		case start == nil:
		case q.finished.known():
			b.ends = append(b.ends, runEnd{q, q.finish, q.phase == podFailed, start})
		case !q.charged:
		case !b.change.waitsForEnd:
			b.ends = append(b.ends, runEnd{q, q.deletion, true, start})
		case stop != nil && q.ended.known():
			b.ends = append(b.ends, runEnd{q, q.endedBy, q.phase == podFailed, stop})
		}
	}
	slices.SortFunc(b.ends, func(x, y runEnd) int {
		return cmp.Or(compareStamps(x.by, y.by), cmp.Compare(x.name, y.name))
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
	made := slices.DeleteFunc(inOrderOfBirth(b.pods), func(q *pod) bool { return b.startSpans[q] == nil })
	ends := b.runEnds()
	var last *runEnd
	failed := map[string]*runEnd{} // the last of each index
	for _, q := range made {
		for ; len(ends) > 0 && ends[0].by.before(q.firstSeen); ends = ends[1:] {
			last = &ends[0]
			if last.failed {
				failed[last.index] = last
			}
		}
		waited := last
		if e := failed[q.index]; e != nil && b.change.retries(q, e) {
			waited = e
		}
		if waited != nil {
			linkUnblocked(b.startSpans[q], waited.span)
		}
	}
}

// retries reports whether a pod is another try at what had failed, so that it was
// held back by that alone.
func (c *change) retries(q *pod, e *runEnd) bool {
	return c.byIndex && e.failed && q.index == e.index
}
