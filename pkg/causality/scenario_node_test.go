package causality_test

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// newNode makes a Node that was there long before the scenario.
func newNode(meta metav1.ObjectMeta) runtime.Object {
	meta.Namespace = ""
	meta.CreationTimestamp = metav1.NewTime(day.Add(-24 * time.Hour))
	return &corev1.Node{ObjectMeta: meta}
}

func setNode(_ *world, obj runtime.Object, key, val string, now time.Time) {
	n := obj.(*corev1.Node)
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) {
		n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
			LastTransitionTime: metav1.NewTime(clock(val).Truncate(time.Second)),
		})
	}
	second := metav1.NewTime(now.Truncate(time.Second))
	switch key {
	case "ready":
		condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status")
	case "notready": // the kubelet says so
		condition(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", "container runtime is down")
	case "never-updated": // there was no kubelet yet
		condition(corev1.NodeReady, corev1.ConditionUnknown, "NodeStatusNeverUpdated", "Kubelet never posted node status.")
	case "silent": // the kubelet says nothing
		condition(corev1.NodeReady, corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.")
	case "memory-pressure":
		condition(corev1.NodeMemoryPressure, corev1.ConditionTrue, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
	case "memory-fine":
		condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
	case "disk-pressure":
		condition(corev1.NodeDiskPressure, corev1.ConditionTrue, "KubeletHasDiskPressure", "kubelet has disk pressure")
	case "disk-fine":
		condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
	case "pid-pressure":
		condition(corev1.NodePIDPressure, corev1.ConditionTrue, "KubeletHasInsufficientPID", "kubelet has insufficient PID available")
	case "pid-fine":
		condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available")
	case "no-network":
		condition(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "NoRouteCreated", "RouteController failed to create a route")
	case "network":
		condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "RouteCreated", "RouteController created a route")
	case "condition": // of anybody: type,status,reason,since
		of := strings.Split(val, ",")
		val = of[3]
		condition(corev1.NodeConditionType(of[0]), corev1.ConditionStatus(of[1]), of[2], "it says "+of[2])
	case "boot":
		n.Status.NodeInfo.BootID = val
	case "registered-cordoned": // by whom
		n.Spec.Unschedulable = true
		n.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager: val, Time: &second, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:kubernetes.io/hostname":{}}},"f:spec":{"f:unschedulable":{}}}`),
		}}
	case "cordoned": // by whom
		n.Spec.Unschedulable = true
		n.ManagedFields = []metav1.ManagedFieldsEntry{{
			Manager: val, Time: &second, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:unschedulable":{}}}`),
		}}
	case "tainted": // when the node controller saw that
		at := metav1.NewTime(clock(val).Truncate(time.Second))
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &at}}
	case "uncordoned":
		n.Spec.Unschedulable, n.ManagedFields = false, nil
	case "untainted":
		n.Spec.Taints = nil
	case "no-name":
		n.Name = ""
	default:
		panic("a node has no " + key)
	}
}
