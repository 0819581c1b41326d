package podlife

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// jobPod is what the controller of a Job goes by of a pod that it made.
type jobPod struct {
	// Index is its completion index, "" if the Job is not Indexed.
	Index string
	// Charged says that the Job's controller may count its deletion as a failure.
	// Of pods that the controller no longer wants it takes its finalizer off before
	// it deletes them (deleteJobPods of k8s.io/kubernetes/pkg/controller/job).
	Charged bool
	EndedBy evidence.Write // the write by which it had ended while it was being deleted
}

// ObserveJobPod notes what the controller of a Job acts upon.
func (p *Pod) ObserveJobPod(o stream.Observation, in *corev1.Pod, wasLeaving bool) {
	p.Index = in.Annotations[batchv1.JobCompletionIndexAnnotation]
	if p.Leaving() && !wasLeaving {
		p.Charged = slices.Contains(in.Finalizers, batchv1.JobTrackingFinalizer)
	}
	if p.Ended.Known() && p.EndedBy == (evidence.Write{}) {
		p.EndedBy = evidence.NewWrite(in.ResourceVersion, o)
	}
}
