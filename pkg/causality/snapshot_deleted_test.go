package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// TestSnapshotOfWorkloadsBeingDeleted looks back at workloads that have been deleted in
// the foreground, and wait for what they own: they were there before, and each is
// deleted once.
func TestSnapshotOfWorkloadsBeingDeleted(t *testing.T) {
	const age, waited = 40 * time.Hour, 30 * time.Second
	end := noon.Add(age + waited)
	meta := func(name string) metav1.ObjectMeta {
		m := metaOf(name, 0, nil)
		m.DeletionTimestamp, m.DeletionGracePeriodSeconds = new(afterNoon(age)), new(int64(0))
		m.Finalizers = []string{metav1.FinalizerDeleteDependents}
		return m
	}
	d := busyDeployment(time.Minute)
	d.ObjectMeta = meta("web")
	sign := eventOn(d, 0, "Sign", "of when the snapshot was taken", age+waited, age+waited)
	for _, o := range []runtime.Object{
		d,
		&appsv1.StatefulSet{
			ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(0))}, Status: appsv1.StatefulSetStatus{ObservedGeneration: 2},
		},
		&appsv1.StatefulSet{ObjectMeta: meta("db-incomplete")},
		&appsv1.DaemonSet{ObjectMeta: meta("agent"), Status: appsv1.DaemonSetStatus{ObservedGeneration: 2}},
		&appsv1.ReplicaSet{
			ObjectMeta: meta("bare"), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(0))}, Status: appsv1.ReplicaSetStatus{ObservedGeneration: 2},
		},
		&corev1.ReplicationController{ObjectMeta: meta("old")},
		&batchv1.Job{ObjectMeta: meta("once")},
	} {
		h := snapshots.Reconstruct([]runtime.Object{o, sign}, 24*time.Hour, end.Add(time.Hour))
		for _, seen := range h.Observations {
			if at := seen.Object.(metav1.Object).GetDeletionTimestamp(); at != nil && at.After(seen.Time) {
				t.Errorf("%T: told at %s that it is being deleted since %s", o, seen.Time, at)
			}
		}
		deletions := 0
		for _, tr := range replayHistory(h) {
			if attributeOf(*tr.Root(), "rollspan.change") == "delete" {
				deletions++
				if root := tr.Root(); root.Start.Before(noon.Add(age)) || root.Start.After(end) {
					t.Errorf("%T: the deletion began at %s, want %s", o, root.Start, noon.Add(age))
				}
			}
		}
		if deletions != 1 {
			t.Errorf("%T: %d deletions, want one", o, deletions)
		}
	}
}
