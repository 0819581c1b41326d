package kube

import corev1 "k8s.io/api/core/v1"

// HasStarted reports whether a container that ended had ever run. The kubelet states the
// epoch, 1970, as the start of one that the runtime created and could not start.
func HasStarted(t *corev1.ContainerStateTerminated) bool { return t.StartedAt.Unix() > 0 }

// ContainerStatuses lists the statuses of a pod's containers, in the order in
// which they start.
func ContainerStatuses(in *corev1.Pod) []*corev1.ContainerStatus {
	var out []*corev1.ContainerStatus
	for _, statuses := range [][]corev1.ContainerStatus{in.Status.InitContainerStatuses, in.Status.ContainerStatuses} {
		for i := range statuses {
			out = append(out, &statuses[i])
		}
	}
	return out
}
