package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// GotOn reports whether those who see to an object have seen it.
func GotOn(object runtime.Object) bool {
	switch in := object.(type) {
	case *corev1.Pod:
		return in.Status.Phase != corev1.PodPending && in.Status.Phase != "" || len(in.Status.ContainerStatuses) > 0
	case *appsv1.Deployment:
		return in.Status.ObservedGeneration > 0
	case *appsv1.ReplicaSet:
		return in.Status.ObservedGeneration > 0
	case *appsv1.StatefulSet:
		return in.Status.ObservedGeneration > 0
	case *appsv1.DaemonSet:
		return in.Status.ObservedGeneration > 0
	case *corev1.ReplicationController:
		return in.Status.ObservedGeneration > 0
	case *batchv1.Job:
		return in.Status.StartTime != nil
	}
	return false
}
