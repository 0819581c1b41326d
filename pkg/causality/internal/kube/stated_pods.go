package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// StatedPods is how many pods an object says that it has, if it makes pods itself.
func StatedPods(o runtime.Object) (n int32, counts bool) {
	switch in := o.(type) {
	case *appsv1.ReplicaSet:
		return in.Status.Replicas, true
	case *appsv1.StatefulSet:
		return in.Status.Replicas, true
	case *corev1.ReplicationController:
		return in.Status.Replicas, true
	case *appsv1.DaemonSet:
		return in.Status.CurrentNumberScheduled, true
	}
	return 0, false
}
