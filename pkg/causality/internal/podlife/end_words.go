package podlife

import (
	"strings"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// Who ends a pod says so in an Event about it. The kubelet evicts it, or preempts it for a critical pod
// (k8s.io/kubernetes/pkg/kubelet/{eviction,preemption}).
const (
	reasonEvicted    = "Evicted"
	reasonPreempting = "Preempting"
)

// KubeletEnds reports whether an Event about a pod with this reason is the first word of the kubelet that
// it ends the pod.
func KubeletEnds(reason string) bool {
	return reason == reasonEvicted || reason == reasonPreempting
}

// ControllerDeletes reports whether an Event about a pod says that a controller deletes it: the scheduler,
// which has preempted it, or the taint manager (k8s.io/kubernetes/pkg/scheduler/framework/preemption,
// k8s.io/kubernetes/pkg/controller/tainteviction).
func ControllerDeletes(reason, message string) bool {
	return reason == "Preempted" || reason == "TaintManagerEviction" && strings.HasPrefix(stream.EventWords(message), "Marking for deletion")
}
