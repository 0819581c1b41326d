package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// TestSnapshotsWithoutRevisions takes the annotations away, as whoever redacts a dump
// may do. Nothing numbers the rollouts then, but all that there is is told.
func TestSnapshotsWithoutRevisions(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for _, b := range cut("", obs, 2) {
			for _, o := range b.objects {
				o.(metav1.Object).SetAnnotations(nil)
			}
			soundSpans(t, holdSnapshot(t, b.objects, 24*time.Hour, b.at))
		}
	})
}

// TestSnapshotKeepsNamespacesApart has somebody write Events in a namespace of their
// own, about a pod of another one by its UID, and a pod there that says it belongs to
// the other's ReplicaSet. Neither changes what is told of that.
func TestSnapshotKeepsNamespacesApart(t *testing.T) {
	d := busyDeployment(time.Minute)
	d.Spec.Replicas = new(int32(1))
	rs := setOf(d, "busy-1", 0, "1", "")
	rs.Spec.Replicas = new(int32(1))
	pod := &corev1.Pod{ObjectMeta: metaOf("busy-1-x", 0, rs)}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(time.Minute)}}
	ours := []runtime.Object{d, rs, pod, eventOn(rs, 0, "SuccessfulCreate", "Created pod: "+pod.Name, time.Second/2, time.Second/2)}

	scaled := eventOn(d, 1, "ScalingReplicaSet", "Scaled up replica set busy-1 to 7", 20*time.Second, 30*time.Second)
	created := eventOn(rs, 2, "SuccessfulCreate", "Created pod: "+pod.Name, time.Second/4, time.Second/4)
	failed := eventOn(pod, 3, "BackOff", "Back-off restarting failed container", 40*time.Second, 50*time.Second)
	gone := eventOn(&corev1.Pod{ObjectMeta: metaOf("busy-1-y", 0, nil)}, 4, "Killing", "Stopping container busy", 10*time.Second, 10*time.Second)
	for _, ev := range []*corev1.Event{scaled, created, failed, gone} {
		ev.Namespace = "other"
	}
	scaled.InvolvedObject.Namespace, created.InvolvedObject.Namespace = "other", ""
	theirs := &corev1.Pod{ObjectMeta: metaOf("theirs", time.Second, rs)}
	theirs.Namespace = "other"

	told := func(objects []runtime.Object) (out []causality.Observation) {
		for _, o := range snapshots.Reconstruct(objects, time.Hour, noon.Add(10*time.Minute)).Observations {
			if meta := o.Object.(metav1.Object); meta.GetNamespace() == "shop" {
				meta.SetResourceVersion("") // which numbers what is in other namespaces, too
				out = append(out, o)
			}
		}
		return out
	}
	want, got := told(ours), told(append(ours, scaled, created, failed, gone, theirs))
	if len(want) != len(got) {
		t.Fatalf("%d observations, want %d", len(got), len(want))
	}
	for i, o := range got {
		if of, was := o.Object.(metav1.Object), want[i].Object.(metav1.Object); of.GetUID() != was.GetUID() || !o.Time.Equal(want[i].Time) || o.Type != want[i].Type {
			t.Errorf("%s %s at %s, want %s %s at %s", o.Type, of.GetName(), o.Time, want[i].Type, was.GetName(), want[i].Time)
		}
	}
}

// TestSnapshotTellsAnObjectOnce has a forged object of the UID that another has.
func TestSnapshotTellsAnObjectOnce(t *testing.T) {
	d := busyDeployment(time.Minute)
	forged := &appsv1.StatefulSet{ObjectMeta: metaOf("forged", 0, nil)}
	forged.UID = d.UID
	for _, o := range snapshots.Reconstruct([]runtime.Object{d, forged, d.DeepCopy()}, time.Hour, noon.Add(time.Minute)).Observations {
		if _, ok := o.Object.(*appsv1.Deployment); !ok {
			t.Errorf("%T is told with the UID of a Deployment", o.Object)
		}
	}
}
