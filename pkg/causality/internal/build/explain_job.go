package build

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
)

// explainJob says why a Job failed: what its pods died of, or else what kept them
// from it, and the controller's reason for giving up.
func (b *changeBuilder) explainJob() evidence.Failure {
	why := b.change.Failure
	failed, waiting := map[evidence.Failure]int{}, map[evidence.Failure]int{}
	total := 0
	for pod, at := range b.plan.Starts {
		if at.Change != b.change {
			continue
		}
		total++
		if f, self, ok := b.blamed(pod); self {
			failed[f]++
		} else if ok {
			waiting[f]++
		}
	}
	given := " (" + strings.TrimSpace(why.Reason) + ")"
	if why.Reason == "" {
		why.Reason, given = "JobFailed", ""
	}
	for _, count := range []map[evidence.Failure]int{failed, waiting} {
		if worst, n := commonest(count); n > 0 {
			return evidence.Failure{Reason: why.Reason, Message: fmt.Sprintf("%d of %d pods: %s%s", n, total, worst.Sentence(), given)}
		}
	}
	if f := waits.CreateFailure(b.plan, b.change, b.end); f.Reason != "" {
		return evidence.Failure{Reason: why.Reason, Message: "pods not created: " + f.Sentence() + given}
	}
	if why.Message == "" {
		why.Message = "the Job failed"
	}
	return evidence.Failure{Reason: why.Reason, Message: why.Message + given}
}

// blamed says what a pod has to do with the failure of its Job, and whether the
// pod, or a container of it, had failed rather than not been done yet. One that
// ran until the controller stopped it has nothing to do with it, however it
// answered to that; unless the controller gave up because of its restarts. One
// that was disrupted, as by a drain, has failed by that.
func (b *changeBuilder) blamed(pod *podlife.Pod) (f evidence.Failure, self, ok bool) {
	at := b.end
	if pod.Leaving() {
		at = pod.Unstopped(evidence.Earliest(at, b.plan.StopAsked(pod)))
	}
	if pod.Finished.Known() && pod.Phase != podlife.PodFailed {
		return evidence.Failure{}, false, false
	}
	f, self = pod.Trouble(pod.Timeline(at), at)
	if self || !pod.RunsAt(at) {
		return f, self, true
	}
	if pod.Charged && pod.Disruption != "" && b.change.FailedByPod() {
		return evidence.Failure{Reason: pod.Disruption, Message: ""}, true, true
	}
	if b.change.Failure.Reason == batchv1.JobReasonBackoffLimitExceeded {
		if f, ok := restartedFor(pod, at); ok {
			return f, true, true
		}
	}
	return evidence.Failure{}, false, false
}

// blame marks the run of a pod because of which the Job failed, if nothing of it
// is marked yet: it was running again.
func (b *changeBuilder) blame(pod *podlife.Pod) {
	if f, self, _ := b.blamed(pod); self && b.startSpans[pod].Status != codes.Error {
		fail(b.startSpans[pod], f)
	}
}

// restartedFor says why a container that ran at a time had failed before.
func restartedFor(pod *podlife.Pod, at time.Time) (evidence.Failure, bool) {
	for _, container := range pod.Containers {
		for _, r := range slices.Backward(container.Runs) {
			if r.Over() && r.ExitCode != 0 && !r.Finished.At().After(at) && !pod.Ordered(container, r) {
				return pod.Of(container, pod.WhyEnded(container, r)), true
			}
		}
	}
	return evidence.Failure{}, false
}
