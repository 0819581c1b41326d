package kube

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KubeletTimes are the times in a pod's status that its kubelet states, and of what. That the
// pod has a node is dated by the API server, when it is bound
// (k8s.io/kubernetes/pkg/registry/core/pod/storage, assignPod), but of a static pod by the
// kubelet, too.
func KubeletTimes(status *corev1.PodStatus, mirror bool, each func(what, of string, t *metav1.Time)) {
	for i := range status.Conditions {
		c := &status.Conditions[i]
		switch c.Type {
		case corev1.PodReady, corev1.ContainersReady, corev1.PodInitialized, corev1.PodReadyToStartContainers:
		case corev1.PodScheduled:
			if !mirror {
				continue
			}
		default:
			continue
		}
		if !c.LastTransitionTime.IsZero() {
			each(string(c.Type), string(c.Status), &c.LastTransitionTime)
		}
	}
	RunTimes(status, each)
}

// RunTimes are those of them at which containers started and ended.
func RunTimes(status *corev1.PodStatus, each func(what, of string, t *metav1.Time)) {
	visit := func(what, of string, t *metav1.Time) {
		if t.Unix() > 0 { // of what never was, a kubelet states 1970
			each(what, of, t)
		}
	}
	for _, statuses := range [...][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			for _, state := range [...]*corev1.ContainerState{&s.State, &s.LastTerminationState} {
				if state.Running != nil {
					visit("started ", s.ContainerID, &state.Running.StartedAt)
				}
				if t := state.Terminated; t != nil {
					visit("started ", t.ContainerID, &t.StartedAt)
					visit("finished ", t.ContainerID, &t.FinishedAt)
				}
			}
		}
	}
}

// ControllerTimes are the times in a workload's status that its controller states, and of
// what. When a Job was resumed is its identity, and stays as it is stated.
func ControllerTimes(object metav1.Object, each func(of string, t *metav1.Time)) {
	visit := func(of string, t *metav1.Time) {
		if t != nil && !t.IsZero() {
			each(of, t)
		}
	}
	switch in := object.(type) {
	case *appsv1.Deployment:
		for i := range in.Status.Conditions {
			c := &in.Status.Conditions[i]
			visit(string(c.Type)+string(c.Status), &c.LastTransitionTime)
			visit("update "+string(c.Type)+string(c.Status), &c.LastUpdateTime)
		}
	case *batchv1.Job:
		visit("completion", in.Status.CompletionTime)
		for i := range in.Status.Conditions {
			if c := &in.Status.Conditions[i]; c.Type != batchv1.JobSuspended {
				visit(string(c.Type)+string(c.Status), &c.LastTransitionTime)
			}
		}
	}
}
