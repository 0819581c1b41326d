package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// scaledToNone is a Deployment that was rolled out at noon and has been asked for no
// replicas since; of its ReplicaSet so many writes have been counted. Its pods are
// gone, and the Events about all of it have expired.
func scaledToNone(writes int64) (snapshot []runtime.Object, created, complete time.Time) {
	created = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	complete = created.Add(9 * time.Second)
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "cart", Image: "cart:7"}}}}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name), Generation: writes, CreationTimestamp: metav1.NewTime(created),
			Annotations: map[string]string{"deployment.kubernetes.io/revision": "1"},
		}
	}
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta("cart"),
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(0)), Template: template},
		Status: appsv1.DeploymentStatus{ObservedGeneration: writes, Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
			LastUpdateTime: metav1.NewTime(complete), LastTransitionTime: metav1.NewTime(created),
		}}},
	}
	rs := &appsv1.ReplicaSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: meta("cart-6d4f"),
		Spec:       appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Template: template},
		Status:     appsv1.ReplicaSetStatus{ObservedGeneration: writes},
	}
	rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: new(true)}}
	return []runtime.Object{d, rs}, created, complete
}

// TestSnapshotOfDeploymentScaledToNone looks back at Deployments whose ReplicaSet
// has none of the steps that led to no replicas. It was created nevertheless, and
// the rollout that it was created for is proven by its number.
func TestSnapshotOfDeploymentScaledToNone(t *testing.T) {
	for writes := range int64(4) {
		snapshot, created, complete := scaledToNone(writes)
		h := snapshots.Reconstruct(snapshot, 24*time.Hour, complete.Add(5*time.Hour))
		sets := 0
		for _, o := range h.Observations {
			if rs, ok := o.Object.(*appsv1.ReplicaSet); ok {
				sets++
				if o.Type != watch.Added || !o.Time.Equal(created) || *rs.Spec.Replicas != 0 {
					t.Errorf("%d writes: the ReplicaSet is %s at %s with %d replicas", writes, o.Type, o.Time, *rs.Spec.Replicas)
				}
			}
		}
		if sets != 1 {
			t.Errorf("%d writes: the ReplicaSet is told %d times, want its creation", writes, sets)
		}
		traces := replayHistory(h)
		if len(traces) != 1 {
			t.Fatalf("%d writes: %d traces, want the rollout's", writes, len(traces))
		}
		root := traces[0].Root()
		if root.Name != "Deployment rollout" || attributeOf(*root, "rollspan.revision") != "1" || attributeOf(*root, "rollspan.outcome") != "complete" {
			t.Errorf("%d writes: %s, revision %s, %s", writes, root.Name, attributeOf(*root, "rollspan.revision"), attributeOf(*root, "rollspan.outcome"))
		}
		if !root.Start.Equal(created) || !root.End.Equal(complete) {
			t.Errorf("%d writes: it went on from %s to %s", writes, root.Start, root.End)
		}
	}
}
