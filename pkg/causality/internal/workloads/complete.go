package workloads

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// DirectIsComplete reports whether one state of what makes pods itself shows that it is rolled out.
// All else is, as it makes none.
func DirectIsComplete(o runtime.Object, at time.Time) bool {
	seen := stream.Observation{Time: at}
	switch in := o.(type) {
	case *appsv1.StatefulSet:
		return ReadStatefulSet(in, seen, &Workload{}).Complete
	case *appsv1.DaemonSet:
		return ReadDaemonSet(in, seen, &Workload{}).Complete
	case *corev1.ReplicationController:
		return ReadReplicationController(in, seen, &Workload{}).Complete
	case *appsv1.ReplicaSet:
		return in.Status.ObservedGeneration >= in.Generation && in.Status.AvailableReplicas >= WantedReplicas(in.Spec.Replicas)
	}
	return true
}
