package causality

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// jobRun is what a change that is a Job's run has of its own.
type jobRun struct {
	// succeeded and failed are how many of the Job's pods did, in its latest
	// state while the run was on.
	succeeded, failed int32
	// workQueue is set if no number of pods is to succeed.
	workQueue bool
	// byIndex is set if each index has failures and back-offs of its own
	// (backoffLimitPerIndex).
	byIndex bool
	// waitsForEnd is set if a pod that somebody deletes is made up for when it
	// has ended, rather than at once.
	waitsForEnd bool
	// noPods is set if none are to run (parallelism 0); runner is who runs the
	// Job, if it is not the Job controller (managedBy).
	noPods bool
	runner string
	// verdict is when the controller knew how the run would end. Then it stops
	// the pods that are left, and says that the run has ended when they have.
	verdict   moment
	verdictBy stamp
}

// observeRun notes what a Job says while its run is on.
func (c *change) observeRun(in *batchv1.Job, s stamp, arrival, seen time.Time) {
	c.succeeded, c.failed = in.Status.Succeeded, in.Status.Failed
	c.wanted, c.workQueue = 0, in.Spec.Completions == nil
	if !c.workQueue {
		c.wanted = *in.Spec.Completions
	}
	c.byIndex = in.Spec.BackoffLimitPerIndex != nil
	// As onlyReplaceFailedPods of k8s.io/kubernetes/pkg/controller/job has it.
	policy := in.Spec.PodReplacementPolicy
	c.waitsForEnd = policy != nil && *policy == batchv1.Failed || in.Spec.PodFailurePolicy != nil
	c.noPods = in.Spec.Parallelism != nil && *in.Spec.Parallelism == 0
	c.runner = ""
	if by := in.Spec.ManagedBy; by != nil && *by != batchv1.JobControllerName {
		c.runner = *by
	}
	if c.verdict.known() {
		return
	}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget} {
		if said := condition(in, kind); said != nil && said.Status == corev1.ConditionTrue {
			c.verdict, c.verdictBy = inSecond(said.LastTransitionTime.Time, arrival), s
			if said.LastTransitionTime.IsZero() {
				c.verdict = arrived(seen)
			}
		}
	}
}

// jobAttributes say how far the run is.
func (c *change) jobAttributes() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if !c.workQueue {
		attrs = append(attrs, attr.JobCompletionsKey.Int(int(c.wanted)))
	}
	return append(attrs, attr.JobSucceededKey.Int(int(c.succeeded)), attr.JobFailedKey.Int(int(c.failed)))
}

// jobProgress says it in words: "1 of 2 succeeded, 1 failed".
func (c *change) jobProgress() string {
	progress := fmt.Sprintf("%d of %d succeeded", c.succeeded, c.wanted)
	if c.workQueue {
		progress = fmt.Sprintf("%d succeeded", c.succeeded)
	}
	if c.failed > 0 {
		progress += fmt.Sprintf(", %d failed", c.failed)
	}
	return progress
}

// hasVerdict reports whether the controller gave its verdict before the run ended.
func (c *change) hasVerdict() bool { return c.verdict.known() && c.verdictBy.before(c.endStamp) }

// failedByPod reports whether the run failed because of the pod that failed last.
func (c *change) failedByPod() bool {
	switch c.failure.reason {
	case batchv1.JobReasonBackoffLimitExceeded, batchv1.JobReasonMaxFailedIndexesExceeded, batchv1.JobReasonPodFailurePolicy:
		return c.how() == attr.OutcomeFailed
	default:
		return false
	}
}
