package causality

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobPod is what a pod is to the Job that made it.
type jobPod struct {
	// index is its completion index, "" if the Job is not Indexed.
	index string
	// charged says that the Job's controller may count its deletion as a failure.
	// Of pods that the controller no longer wants it takes its finalizer off before
	// it deletes them (deleteJobPods of k8s.io/kubernetes/pkg/controller/job).
	charged bool
	endedBy stamp // of the write by which it had ended while it was being deleted
}

// observeJobPod notes what the controller of a Job acts upon.
func (p *pod) observeJobPod(o Observation, in *corev1.Pod, wasLeaving bool) {
	p.index = in.Annotations[batchv1.JobCompletionIndexAnnotation]
	if p.leaving() && !wasLeaving {
		p.charged = slices.Contains(in.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if p.ended.known() && p.endedBy == (stamp{}) {
		p.endedBy = newStamp(in.ResourceVersion, o)
	}
}
