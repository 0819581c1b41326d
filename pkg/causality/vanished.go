package causality

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A container may be gone from its node's runtime before the kubelet has seen it
// end: the runtime was wiped when the machine booted, or the kubelet itself removed
// it, to restart all containers of the pod. The kubelet makes an end up then, with
// exit code 137, without the container's ID or any time
// (k8s.io/kubernetes/pkg/kubelet, convertToAPIContainerStatuses).

// restartingAll is the kubelet's word for what it does, at the asking of a
// container's restart rule.
const restartingAll = "RestartingAllContainers"

// observeVanished ends the run that is on if the status says that the container
// has vanished: a run that nobody saw never was.
func (c *container) observeVanished(s *corev1.ContainerStatus, seen time.Time) {
	end := s.LastTerminationState.Terminated
	if s.State.Terminated != nil {
		end = s.State.Terminated
	}
	if end == nil || end.ContainerID != "" || len(c.runs) == 0 {
		return
	}
	r := c.runs[len(c.runs)-1]
	if r.over() || !r.started.known() || s.State.Running != nil && s.ContainerID == r.id {
		return
	}
	r.vanished = true
	r.finished, r.seen = arrived(seen), seen
	if s.State.Running != nil {
		r.finished = r.finished.before(s.State.Running.StartedAt.Time)
	}
	r.exitCode, r.reason = end.ExitCode, end.Reason
}
