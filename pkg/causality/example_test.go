package causality_test

import (
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// A program that has a watch of its own, for example an operator with its
// informers, feeds an engine by hand: each state of an object when it arrives, and
// the time when nothing does. What either returns is finished, and never changes.
// Events, which this one leaves out, tell more of it: what the kubelet did when.
func Example() {
	begin := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	after := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	written := func(seconds int) metav1.Time { return metav1.NewTime(after(seconds)) }
	named := func(name string, owner *metav1.OwnerReference) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name), Generation: 1, CreationTimestamp: written(0)}
		if owner != nil {
			m.OwnerReferences = []metav1.OwnerReference{*owner}
		}
		return m
	}

	engine := causality.New(causality.Options{})
	deliver := func(finished []spans.Trace) {
		for _, t := range finished {
			if err := text.WriteTree(os.Stdout, t); err != nil {
				fmt.Println(err)
			}
		}
	}
	observe := func(seconds int, kind watch.EventType, object runtime.Object) {
		deliver(engine.Observe(causality.Observation{Time: after(seconds), Type: kind, Object: object}))
	}

	// Somebody creates a Deployment of one replica.
	template := corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "shop/web:1"}}}
	web := &appsv1.Deployment{ObjectMeta: named("web", nil)}
	web.Spec.Replicas = ptr.To[int32](1)
	web.Spec.Template.Spec = template
	observe(0, watch.Added, web)

	// Its controller makes a ReplicaSet, and that one's controller a pod.
	set := &appsv1.ReplicaSet{ObjectMeta: named("web-1", metav1.NewControllerRef(web, appsv1.SchemeGroupVersion.WithKind("Deployment")))}
	set.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	set.Spec.Replicas = ptr.To[int32](1)
	set.Spec.Template.Spec = template
	observe(0, watch.Added, set)
	pod := &corev1.Pod{ObjectMeta: named("web-1-a", metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))), Spec: template}
	pod.Status.Phase = corev1.PodPending
	observe(0, watch.Added, pod)

	// The scheduler finds a node, where the kubelet starts the container.
	pod.Spec.NodeName = "node-1"
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: written(1)},
	}
	observe(1, watch.Modified, pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = new(written(1))
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "web", Ready: true, Started: new(true), ContainerID: "containerd://1",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: written(7)}},
	}}
	pod.Status.Conditions = append(pod.Status.Conditions,
		corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: written(9)})
	observe(9, watch.Modified, pod)

	// So the rollout is complete.
	web.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
	web.Status = appsv1.DeploymentStatus{
		ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable", LastUpdateTime: written(9),
		}},
	}
	observe(9, watch.Modified, web)

	// The engine has no clock. Some seconds after the end, no late Event can change
	// what is known of it.
	deliver(engine.Advance(after(30)))

	// Output:
	// 2026-03-01T08:30:00.000Z  trace e6e667dbc836798602baf29b6c80cb06  namespace shop
	//    +0.000s    9.000s | Deployment rollout  deployment/web  revision 1  complete  cause create  1  of 1 ready
	//    +0.000s    9.000s |   ReplicaSet scale up  replicaset/web-1  0  -> 1
	//    +0.000s    9.000s |     Pod start  pod/web-1-a
	//    +0.000s    1.000s |       schedule  pod/web-1-a
	//    +1.000s    7.000s |       prepare sandbox  pod/web-1-a
	//    +8.000s    0.000s         container  pod/web-1-a container/web
	//    +8.000s    0.000s           start container  pod/web-1-a container/web
	//    +8.000s    1.000s |       become ready  pod/web-1-a
	//            critical path:
	//               1.000s | schedule pod/web-1-a
	//               7.000s | prepare sandbox pod/web-1-a
	//               1.000s | become ready pod/web-1-a
}
