package kube

import corev1 "k8s.io/api/core/v1"

// HasStarted reports whether a container that ended had ever run. The kubelet states the
// epoch, 1970, as the start of one that the runtime created and could not start.
func HasStarted(t *corev1.ContainerStateTerminated) bool { return t.StartedAt.Unix() > 0 }
