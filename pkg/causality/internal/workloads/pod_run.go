package workloads

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// FinishRunOf ends the run of a pod, which is the change of a pod that nothing owns, when the pod is
// Ready or has finished.
func (c *Change) FinishRunOf(pod *podlife.Pod) {
	tr, ready := pod.FirstReady()
	switch {
	case pod.Finished.Known():
		how := attr.OutcomeComplete
		if pod.Phase == podlife.PodFailed {
			how = attr.OutcomeFailed
		}
		c.Finish(how, pod.Finished, pod.FinishedBy)
	case !pod.Finite && ready:
		c.Ready = 1
		c.Finish(attr.OutcomeComplete, tr.At, evidence.Write{Arrival: tr.Seen})
	case pod.Leaving():
		c.Finish(attr.OutcomeDeleted, pod.DeleteAsked, pod.DeleteAskedBy)
	case pod.Failed.Known():
		c.Finish(attr.OutcomeFailed, pod.Failed, pod.FailedBy)
	}
}
