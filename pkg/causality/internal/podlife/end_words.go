package podlife

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

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
func ControllerDeletes(reason, message string) bool { return DisruptionSaid(reason, message) != "" }

// DeletedForTaint is the reason of the condition DisruptionTarget of a pod that the taint manager deletes.
const DeletedForTaint = "DeletionByTaintManager"

// DisruptionSaid is the reason of the condition DisruptionTarget of a pod of which an Event says that a
// controller deletes it: both come from the same one. It is "" of any other Event.
func DisruptionSaid(reason, message string) string {
	switch {
	case reason == "Preempted":
		return corev1.PodReasonPreemptionByScheduler
	case reason == "TaintManagerEviction" && strings.HasPrefix(stream.EventWords(message), "Marking for deletion"):
		return DeletedForTaint
	}
	return ""
}
