package causality

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// TestOthersAskForNoOnesBudget has a node fail, and with it the pods of two workloads of
// many pods. Each of them is within the budget, which both together exceed. The node's
// disruption leads to the replacements of both, and is told all the same.
func TestOthersAskForNoOnesBudget(t *testing.T) {
	l, faults := guarded()
	l.budget = 20_000
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a", UID: "node-a", CreationTimestamp: metav1.NewTime(l.at)}}
	ready := func(status corev1.ConditionStatus) {
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(l.at.Truncate(time.Second)),
		}}
		l.see(watch.Modified, node)
	}
	ready(corev1.ConditionTrue)
	pods := append(l.onNode("a", 100), l.onNode("b", 100)...)
	l.pass(time.Minute)
	if len(*faults) > 0 {
		t.Fatalf("given up before the node failed: %v", *faults)
	}
	ready(corev1.ConditionFalse)
	for _, p := range pods {
		at := metav1.NewTime(l.at)
		p.DeletionTimestamp = &at
		l.version++
		for _, emitted := range l.Observe(Observation{Time: l.at, Type: watch.Deleted, Object: p}) {
			l.took(emitted)
		}
	}
	ready(corev1.ConditionTrue)
	for range 12 {
		l.pass(5 * time.Second)
	}
	if len(*faults) > 0 {
		t.Errorf("given up: %v", *faults)
	}
	if l.traces["Node disruption"] != 1 {
		t.Errorf("the disruption is not told: %v", l.traces)
	}
}

// onNode is a ReplicaSet of so many pods on a node, rolled out.
func (l *life) onNode(name string, n int) (pods []*corev1.Pod) {
	replicas := int32(n)
	rs := &appsv1.ReplicaSet{ObjectMeta: l.meta("set", name, nil)}
	rs.Spec.Replicas = &replicas
	l.see(watch.Added, rs)
	isController := true
	for i := range n {
		p := &corev1.Pod{ObjectMeta: l.meta("pod", fmt.Sprintf("%s-%d", name, i), nil)}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: rs.UID, Controller: &isController}}
		p.Spec.NodeName = "node-a"
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(l.at.Truncate(time.Second))}}
		l.see(watch.Added, p)
		pods = append(pods, p)
	}
	rs.Status.ObservedGeneration, rs.Status.Replicas, rs.Status.AvailableReplicas = 1, replicas, replicas
	l.see(watch.Modified, rs)
	return pods
}
