package workloads

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// jobRun is what a change that is a Job's run has of its own.
type jobRun struct {
	// succeeded and failed are how many of the Job's pods did, in its latest
	// state while the run was on.
	succeeded, failed int32
	// before is how many had succeeded when the run began, as far as that was seen: a Job that was
	// suspended goes on counting.
	before int32
	// workQueue is set if no number of pods is to succeed.
	workQueue bool
	// ByIndex is set if each index has failures and back-offs of its own
	// (backoffLimitPerIndex).
	ByIndex bool
	// WaitsForEnd is set if a pod that somebody deletes is made up for when it
	// has ended, rather than at once.
	WaitsForEnd bool
	// NoPods is set if none are to run (parallelism 0); Runner is who runs the
	// Job, if it is not the Job controller (managedBy).
	NoPods bool
	Runner string
	// Verdict is when the controller knew how the run would end. Then it stops
	// the pods that are left, and says that the run has ended when they have.
	Verdict   evidence.Moment
	VerdictBy evidence.Write
}

// ObserveRun notes what a Job says while its run is on.
func (c *Change) ObserveRun(in *batchv1.Job, write evidence.Write, arrival, seen time.Time) {
	c.succeeded, c.failed = in.Status.Succeeded, in.Status.Failed
	c.Wanted, c.workQueue = 0, in.Spec.Completions == nil
	if !c.workQueue {
		c.Wanted = *in.Spec.Completions
	}
	c.ByIndex = in.Spec.BackoffLimitPerIndex != nil
	// As onlyReplaceFailedPods of k8s.io/kubernetes/pkg/controller/job has it.
	policy := in.Spec.PodReplacementPolicy
	c.WaitsForEnd = policy != nil && *policy == batchv1.Failed || in.Spec.PodFailurePolicy != nil
	c.NoPods = in.Spec.Parallelism != nil && *in.Spec.Parallelism == 0
	c.Runner = ""
	if by := in.Spec.ManagedBy; by != nil && *by != batchv1.JobControllerName {
		c.Runner = *by
	}
	if c.Verdict.Known() {
		return
	}
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget} {
		if said := JobCondition(in, kind); said != nil && said.Status == corev1.ConditionTrue {
			c.Verdict, c.VerdictBy = evidence.InSecond(said.LastTransitionTime.Time, arrival), write
			if said.LastTransitionTime.IsZero() {
				c.Verdict = evidence.Arrived(seen)
			}
		}
	}
}

// DateRun has a run begin with the first of its pods, where nothing but the controller says when it resumed the
// Job. The controller makes pods first, and says so then. A pod of the runs before had ended by that time, or was
// being deleted.
func (w *Workload) DateRun(pods []*podlife.Pod) {
	c := w.datedLate
	switch {
	case c == nil:
		return
	case c.Ledger.Sent || !c.Ledger.InProgress.IsZero():
		w.datedLate = nil // it is out
		return
	}
	over := func(at evidence.Moment) bool { return at.Known() && at.At().Before(c.Resumed) }
	for _, pod := range pods {
		made := pod.Created.Earliest
		if made.IsZero() || made.Before(w.created) || !made.Before(c.Start.Earliest) || over(pod.Finished) || over(pod.LostAt()) {
			continue
		}
		c.Start, c.Opened = evidence.InSecond(made, time.Time{}), evidence.Write{Arrival: made}
	}
}

// JobAttributes say how far the run is.
func (c *Change) JobAttributes() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if !c.workQueue {
		attrs = append(attrs, attr.JobCompletionsKey.Int(int(c.Wanted)))
	}
	return append(attrs, attr.JobSucceededKey.Int(int(c.succeeded)), attr.JobFailedKey.Int(int(c.failed)))
}

// JobProgress says it in words: "1 of 2 succeeded, 1 failed".
func (c *Change) JobProgress() string {
	progress := fmt.Sprintf("%d of %d succeeded", c.succeeded, c.Wanted)
	if c.workQueue {
		progress = fmt.Sprintf("%d succeeded", c.succeeded)
	}
	if c.failed > 0 {
		progress += fmt.Sprintf(", %d failed", c.failed)
	}
	return progress
}

// Succeeded is how many pods the Job counts as such, in the latest state of the run; at least earlier of
// them are known to have succeeded in runs before.
func (c *Change) Succeeded(earlier int) int { return int(c.succeeded) - max(int(c.before), earlier) }

// HasVerdict reports whether the controller gave its verdict before the run ended.
func (c *Change) HasVerdict() bool { return c.Verdict.Known() && c.VerdictBy.Before(c.EndedBy) }

// FailedByPod reports whether the run failed because of the pod that failed last.
func (c *Change) FailedByPod() bool {
	switch c.Failure.Reason {
	case batchv1.JobReasonBackoffLimitExceeded, batchv1.JobReasonMaxFailedIndexesExceeded, batchv1.JobReasonPodFailurePolicy:
		return c.Outcome() == attr.OutcomeFailed
	default:
		return false
	}
}
