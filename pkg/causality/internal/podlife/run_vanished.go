package podlife

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// A container may be gone from its node's runtime before the kubelet has seen it
// end: the runtime was wiped when the machine booted, or the kubelet itself removed
// it, to restart all containers of the pod. The kubelet makes an end up then, with
// exit code 137, without the container's ID or any time
// (k8s.io/kubernetes/pkg/kubelet, convertToAPIContainerStatuses).

// RestartingAll is the kubelet's word for what it does, at the asking of a
// container's restart rule.
const RestartingAll = "RestartingAllContainers"

// LostByRuntime reports whether containerd gave a run this code and this reason as it did not know what
// had become of it, when it was started itself: the program need not have exited, and ended at
// some time before (unknownExitCode of github.com/containerd/containerd/internal/cri/server).
func LostByRuntime(code int32, reason string) bool { return code == 255 && reason == "Unknown" }

// observeVanished ends the run that is on if the status says that the container
// has vanished, and reports whether it does: a run that nobody saw never was.
func (c *Container) observeVanished(s *corev1.ContainerStatus, seen time.Time) bool {
	end := s.LastTerminationState.Terminated
	if s.State.Terminated != nil {
		end = s.State.Terminated
	}
	r := c.lastRun()
	if end == nil || end.ContainerID != "" || r == nil {
		return false
	}
	if r.Over() || !r.Started.Known() || s.State.Running != nil && s.ContainerID == r.ID {
		return false
	}
	r.Vanished = true
	r.Finished, r.Seen = evidence.Arrived(seen), seen
	if s.State.Running != nil {
		r.Finished = r.Finished.Before(s.State.Running.StartedAt.Time)
	}
	r.ExitCode, r.Reason = end.ExitCode, end.Reason
	return true
}

// doubtVanished notes that a run that has vanished ended at some time since the pod's state
// before, in which it was on.
func (p *Pod) doubtVanished(container *Container) {
	r := container.lastRun()
	by := r.Finished.At()
	p.DoubtArrival(stream.Doubt{
		At: by, Earliest: evidence.Latest(p.stateSeen, r.Started.Earliest), Latest: by,
		Of: stream.DoubtOfRun, Container: container.Name,
	})
}
