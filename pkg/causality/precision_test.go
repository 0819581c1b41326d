package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// A Deployment was rolled out again at five past noon, and nothing says so but that it is on
// its way at ten past, when rollspan comes. A pod of it was deleted while the watch was down,
// from one o'clock to ten past.
func TestWhatWasMissedSaysHowGoodItIs(t *testing.T) {
	came, back := 10*time.Minute, 70*time.Minute
	d := &appsv1.Deployment{ObjectMeta: metaOf("web", 0, nil), Spec: appsv1.DeploymentSpec{Replicas: new(int32(1))}}
	d.Generation, d.Annotations = 2, map[string]string{"deployment.kubernetes.io/revision": "2"}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1}
	set := setOf(d, "web-2", 5*time.Minute, "2", "")
	set.Spec.Replicas = new(int32(1))
	pod := &corev1.Pod{ObjectMeta: metaOf("web-2-a", 5*time.Minute, set)}
	pod.Status.Phase = corev1.PodPending
	ready := pod.DeepCopy()
	ready.Status.Phase = corev1.PodRunning
	ready.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(came + time.Minute)}}
	done := d.DeepCopy()
	done.Status.ReadyReplicas, done.Status.AvailableReplicas = 1, 1
	// What is not in a list that follows an outage is known by its name and UID only.
	missing := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: pod.ObjectMeta}

	see := func(after time.Duration, typ watch.EventType, o runtime.Object) causality.Observation {
		return causality.Observation{Time: noon.Add(after), Type: typ, Object: o, Initial: after == came}
	}
	traces := replayWith(causality.Options{}, []causality.Observation{
		see(came, watch.Added, d), see(came, watch.Added, set), see(came, watch.Added, pod),
		see(came+time.Minute, watch.Modified, ready), see(came+time.Minute, watch.Modified, done),
		see(back, watch.Deleted, missing),
	})
	// The template was written since the Deployment was made, and by when its ReplicaSet was. When that was
	// made, and its pod, they state themselves.
	made := noon.Add(5 * time.Minute)
	exact := map[string]bool{"ReplicaSet scale up": true, "Pod start": true}
	want := map[string]float64{ // of each span that has one
		"Deployment rollout":  made.Sub(noon).Seconds(),
		"ReplicaSet scale up": 0, "Pod start": 0,
		"Pod replacement": (back - came - time.Minute).Seconds(), "Pod stop": (back - came - time.Minute).Seconds(),
	}
	for _, s := range allSpans(traces) {
		wanted, ok := want[s.Name]
		if !ok {
			continue
		}
		delete(want, s.Name)
		source := "arrival"
		if exact[s.Name] {
			source = ""
		}
		if got := value(s, "rollspan.start.precision").AsFloat64(); got != wanted || attributeOf(s, "rollspan.start.source") != source {
			t.Errorf("%s from %s is said to have begun within %f s by %q, want %f by %q", s.Name, s.Start, got, attributeOf(s, "rollspan.start.source"), wanted, source)
		}
		if (exact[s.Name] || s.Name == "Deployment rollout") && !s.Start.Equal(made) {
			t.Errorf("%s begins at %s, want %s", s.Name, s.Start, made)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing tells of %v", want)
	}
}
