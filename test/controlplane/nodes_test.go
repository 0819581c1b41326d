//go:build unix

package controlplane

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func cordonIsNoted(t *testing.T, cluster *ControlPlane, client kubernetes.Interface) {
	addNode(t, cluster, "node-cordon")
	for _, step := range []struct {
		cordon bool
		reason string
	}{{true, "NodeNotSchedulable"}, {false, "NodeSchedulable"}} {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, step.cordon)
		if _, err := client.CoreV1().Nodes().Patch(t.Context(), "node-cordon", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		waitNodeEvent(t, client, "node-cordon", step.reason)
	}
}

func nodeEvictsPod(t *testing.T, cluster *ControlPlane, client kubernetes.Interface) {
	addNode(t, cluster, "node-short")
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:1"}}}
	RunOn(&spec, "node-short")
	pod := createPod(t, client, "greedy", nil, spec)
	waitReady(t, client, pod)
	cluster.EvictPods("node-short")
	eventually(t, "pod evicted", func() (bool, string) {
		now := getPod(t, client, pod)
		target := podCondition(now, corev1.DisruptionTarget)
		return now.Status.Phase == corev1.PodFailed && now.Status.Reason == "Evicted" && target.Reason == corev1.PodReasonTerminationByKubelet &&
			now.Status.ContainerStatuses[0].State.Terminated != nil, fmt.Sprintf("%+v", now.Status)
	})
	waitEvents(t, client, pod, "Evicted", "Killing")
	waitNodeEvent(t, client, "node-short", "NodeHasInsufficientMemory")
	waitNodeEvent(t, client, "node-short", "NodeHasSufficientMemory")
	deletePod(t, client, pod)
}

func schedulerPreemptsPod(t *testing.T, cluster *ControlPlane, client kubernetes.Interface) {
	addNode(t, cluster, "node-small", func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("1") })
	_, err := client.SchedulingV1().PriorityClasses().Create(t.Context(), &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := corev1.PodSpec{Containers: []corev1.Container{{
		Name: "app", Image: "reg.test/app:1",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("800m")}},
	}}}
	RunOn(&spec, "node-small")
	victim := createPod(t, client, "humble", nil, spec)
	waitReady(t, client, victim)
	spec.PriorityClassName = "urgent"
	urgent := createPod(t, client, "urgent", nil, spec)
	waitEvents(t, client, victim, "Preempted")
	waitReady(t, client, urgent)
	deletePod(t, client, urgent)
}

// TestFailedNodeLosesItsPods also gives the node back.
func TestFailedNodeLosesItsPods(t *testing.T) {
	cluster := StartForTest(t, Options{Nodes: []string{"node-a", "node-b"}})
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	atOnce := int64(0)
	pod := createPod(t, client, "lost", nil, corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: "reg.test/app:1"}},
		Tolerations: []corev1.Toleration{{
			Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &atOnce,
		}},
	})
	waitReady(t, client, pod)
	pod = getPod(t, client, pod)
	cluster.FailNode(pod.Spec.NodeName)
	eventually(t, "pod evicted", func() (bool, string) {
		now := getPod(t, client, pod)
		return now.DeletionTimestamp != nil, fmt.Sprintf("%+v", now.Status.Conditions)
	})
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes.Items {
		node, want := &nodes.Items[i], corev1.ConditionTrue
		if node.Name == pod.Spec.NodeName {
			want = corev1.ConditionUnknown
		}
		if is := nodeReady(node); is != want {
			t.Errorf("node %s is ready: %s, want %s", node.Name, is, want)
		}
	}
	// Nobody on that node can say that the pod has ended.
	if now := getPod(t, client, pod); now.Status.Phase != corev1.PodRunning {
		t.Errorf("the lost pod's phase is %s", now.Status.Phase)
	}

	cluster.RecoverNode(pod.Spec.NodeName)
	eventually(t, "node back", func() (bool, string) {
		node, err := client.CoreV1().Nodes().Get(t.Context(), pod.Spec.NodeName, metav1.GetOptions{})
		return err == nil && nodeReady(node) == corev1.ConditionTrue && len(node.Spec.Taints) == 0, fmt.Sprintf("%+v %v", node.Spec, err)
	})
	eventually(t, "pod gone", func() (bool, string) {
		_, err := client.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	waitNodeEvent(t, client, pod.Spec.NodeName, "NodeReady")
	waitEvents(t, client, pod, "Killing")
}

func nodeReady(node *corev1.Node) corev1.ConditionStatus {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return ""
}

// addNode adds a node for the pods of one test.
func addNode(t *testing.T, cluster *ControlPlane, name string, adjust ...func(*corev1.Node)) {
	t.Helper()
	if err := cluster.AddNode(t.Context(), name, append(adjust, Reserve)...); err != nil {
		t.Fatal(err)
	}
}

// waitNodeEvent waits for a kubelet's Event about its node.
func waitNodeEvent(t *testing.T, client kubernetes.Interface, node, reason string) {
	t.Helper()
	eventually(t, "Event "+reason+" of "+node, func() (bool, string) {
		list, err := client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Node,involvedObject.name=" + node})
		if err != nil {
			return false, err.Error()
		}
		return slices.ContainsFunc(list.Items, func(e corev1.Event) bool { return e.Reason == reason && e.Source.Component == "kubelet" }),
			fmt.Sprintf("%d Events", len(list.Items))
	})
}
