package causality

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// observeWorkloadObject takes in an observation of a workload, if it is one.
func (e *Engine) observeWorkloadObject(o Observation) bool {
	switch in := o.Object.(type) {
	case *batchv1.Job:
		e.touch(e.observeJob(o, &workloads.JobController, in))
		return true
	case *appsv1.ReplicaSet:
		if set := e.observeReplicaSet(o, &workloads.ReplicaSetController, in); set != nil {
			e.touchOwner(set.Object, set.Gone)
		}
		return true
	}
	for _, k := range workloads.Controllers {
		switch {
		case k.States != nil && k.States.Reads(o.Object):
			read := func(last *workloads.Workload) workloads.State {
				return k.States.Read(e.datedWorkload(o, last), last)
			}
			e.touch(e.numbered(e.observeWorkload(o, k, o.Object.(metav1.Object), read)))
			return true
		case k.Compose != nil && e.observeMetadata(o, k):
			return true
		}
	}
	return false
}
