package causality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	batchv1 "k8s.io/api/batch/v1"
)

// explainJob says why a Job failed: what its pods died of, or else what kept them
// from it, and the controller's reason for giving up.
func (b *changeBuilder) explainJob() failure {
	why := b.change.failure
	failed, waiting := map[failure]int{}, map[failure]int{}
	total := 0
	for q, s := range b.starts {
		if s.change != b.change {
			continue
		}
		total++
		if f, self, ok := b.blamed(q); self {
			failed[f]++
		} else if ok {
			waiting[f]++
		}
	}
	given := " (" + strings.TrimSpace(why.reason) + ")"
	if why.reason == "" {
		why.reason, given = "JobFailed", ""
	}
	for _, count := range []map[failure]int{failed, waiting} {
		if worst, n := commonest(count); n > 0 {
			return failure{why.reason, fmt.Sprintf("%d of %d pods: %s%s", n, total, worst.sentence(), given)}
		}
	}
	n := b.census(b.change, b.end)
	if f := b.createFailure(b.change, &n); f.reason != "" {
		f.message = shortForbidden(f.message)
		return failure{why.reason, "pods not created: " + f.sentence() + given}
	}
	if why.message == "" {
		why.message = "the Job failed"
	}
	return failure{why.reason, why.message + given}
}

// blamed says what a pod has to do with the failure of its Job, and whether the
// pod, or a container of it, had failed rather than not been done yet. One that
// ran until the controller stopped it has nothing to do with it, however it
// answered to that; unless the controller gave up because of its restarts. One
// that was disrupted, as by a drain, has failed by that.
func (b *changeBuilder) blamed(q *pod) (f failure, self, ok bool) {
	at := b.end
	if q.leaving() {
		at = q.unstopped(earliest(at, b.stopAsked(q)))
	}
	if q.finished.known() && q.phase != podFailed {
		return failure{}, false, false
	}
	f, self = q.trouble(q.timeline(at), at)
	if self || !q.runsAt(at) {
		return f, self, true
	}
	if q.charged && q.disruption != "" && b.change.failedByPod() {
		return failure{q.disruption, ""}, true, true
	}
	if b.change.failure.reason == batchv1.JobReasonBackoffLimitExceeded {
		if f, ok := q.restartedFor(at); ok {
			return f, true, true
		}
	}
	return failure{}, false, false
}

// blame marks the run of a pod because of which the Job failed, if nothing of it
// is marked yet: it was running again.
func (b *changeBuilder) blame(q *pod) {
	if f, self, _ := b.blamed(q); self && b.startSpans[q].Status != codes.Error {
		fail(b.startSpans[q], f)
	}
}

// restartedFor says why a container that ran at a time had failed before.
func (p *pod) restartedFor(at time.Time) (failure, bool) {
	for _, c := range p.containers {
		for _, r := range slices.Backward(c.runs) {
			if r.over() && r.exitCode != 0 && !r.finished.at().After(at) {
				return p.whyEnded(c, r), true
			}
		}
	}
	return failure{}, false
}
