package causality_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// revisionAt is a ControllerRevision as a snapshot has it: with the last number that it got.
type revisionAt struct {
	name    string
	number  int64
	created time.Duration
}

// revised is a StatefulSet of noon that is complete, with its pod of a revision, as of an hour later.
func revised(updated, ofPod string, revisions ...revisionAt) []runtime.Object {
	s := &appsv1.StatefulSet{
		ObjectMeta: metaOf("db", 0, nil),
		Spec:       appsv1.StatefulSetSpec{Replicas: new(int32(1))},
		Status: appsv1.StatefulSetStatus{
			ObservedGeneration: 2, CurrentRevision: updated, UpdateRevision: updated, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1,
		},
	}
	pod := &corev1.Pod{ObjectMeta: metaOf("db-0", 15*time.Minute, s)}
	pod.Labels = map[string]string{appsv1.ControllerRevisionHashLabelKey: ofPod}
	pod.Spec.Containers = []corev1.Container{{Name: "db"}}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "db", ContainerID: "run://db", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: afterNoon(16 * time.Minute)}},
	}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(16 * time.Minute)}}
	objects := []runtime.Object{s, pod, eventOn(s, 0, "Sign", "of when the snapshot was taken", time.Hour, time.Hour)}
	for _, r := range revisions {
		objects = append(objects, &appsv1.ControllerRevision{ObjectMeta: metaOf(r.name, r.created, s), Revision: r.number})
	}
	return objects
}

// leftAsTheyAre has nobody but somebody delete the pods of the StatefulSet for a rollout.
func leftAsTheyAre(objects []runtime.Object) []runtime.Object {
	objects[0].(*appsv1.StatefulSet).Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	return objects
}

// TestSnapshotOfRevisionsTakenUpAgain looks back at StatefulSets that went back to an older revision, which
// nothing dates: neither that nor what came before it is told, and it is counted, as far as it may have begun in the
// time that is asked for. That it did not shows where all of its pods are older. So it is where the revision that is
// rolled out is left out of the snapshot.
func TestSnapshotOfRevisionsTakenUpAgain(t *testing.T) {
	one, two := revisionAt{"db-one", 3, 0}, revisionAt{"db-two", 2, 10 * time.Minute}
	for name, c := range map[string]struct {
		objects []runtime.Object
		reach   time.Duration
		undated int
		told    int
	}{
		"settled":                           {revised("db-one", "db-one", one, two), 24 * time.Hour, 2, 0},
		"the one before is too old":         {revised("db-one", "db-one", one, two), 30 * time.Minute, 0, 0},
		"its pod is not":                    {revised("db-one", "db-one", one, two), 46 * time.Minute, 1, 0},
		"its pods are left as they are":     {leftAsTheyAre(revised("db-one", "db-one", one, two)), 30 * time.Minute, 1, 0},
		"a new one followed, too old":       {revised("db-three", "db-three", one, two, revisionAt{"db-three", 4, 14 * time.Minute}), 30 * time.Minute, 0, 0},
		"a new one followed":                {revised("db-three", "db-three", one, two, revisionAt{"db-three", 4, 15 * time.Minute}), 24 * time.Hour, 2, 1},
		"two were taken up":                 {revised("db-two", "db-two", revisionAt{"db-one", 4, 0}, revisionAt{"db-two", 5, 10 * time.Minute}, revisionAt{"db-three", 3, 12 * time.Minute}), 24 * time.Hour, 3, 0},
		"that which is rolled out left out": {revised("db-three", "db-three", revisionAt{"db-one", 1, 0}, two), 24 * time.Hour, 3, 0},
	} {
		h := snapshots.Reconstruct(c.objects, c.reach, noon.Add(2*time.Hour))
		if h.Undated != c.undated {
			t.Errorf("%s: %d rollouts that nothing dates, want %d", name, h.Undated, c.undated)
		}
		told := 0
		for _, tr := range replayHistory(h) {
			if attributeOf(*tr.Root(), "rollspan.change") == "rollout" {
				told++
			}
		}
		if told != c.told {
			t.Errorf("%s: %d rollouts told, want %d", name, told, c.told)
		}
	}
}

// TestSnapshotOfARollbackThatGoesOn looks back at a StatefulSet that has gone back to its first revision, and whose
// pod is still of the second. Its managed fields say when the template was written.
func TestSnapshotOfARollbackThatGoesOn(t *testing.T) {
	objects := revised("db-one", "db-two", revisionAt{"db-one", 3, 0}, revisionAt{"db-two", 2, 10 * time.Minute})
	s := objects[0].(*appsv1.StatefulSet)
	s.Status.UpdatedReplicas = 0
	written := afterNoon(20 * time.Minute)
	s.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kubectl-rollout", Time: &written, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{"f:spec":{}}}}`),
	}}
	h := snapshots.Reconstruct(objects, 24*time.Hour, noon.Add(2*time.Hour))
	if h.Undated != 0 {
		t.Errorf("%d rollouts that nothing dates, want none", h.Undated)
	}
	var last string
	var began time.Time
	for _, tr := range replayHistory(h) {
		if root := tr.Root(); attributeOf(*root, "rollspan.change") == "rollout" && !root.Start.Before(began) {
			last, began = attributeOf(*root, "rollspan.outcome"), root.Start
		}
	}
	if last != "open" || !began.Equal(written.Time) {
		t.Errorf("the last rollout is %q since %s, want an open one since %s", last, began, written.Time)
	}
}
