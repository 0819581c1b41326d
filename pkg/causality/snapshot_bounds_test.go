package causality_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// noon is when the snapshots of these tests begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func afterNoon(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(d)) }

// metaOf is the metadata of an object, whose UID is its name.
func metaOf(name string, created time.Duration, owner runtime.Object) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Generation: 2, CreationTimestamp: afterNoon(created)}
	if owner != nil {
		of := owner.(metav1.Object)
		meta.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: kindOfObject(owner), Name: of.GetName(), UID: of.GetUID(), Controller: new(true),
		}}
	}
	return meta
}

// busyDeployment wants as many replicas as there can be.
func busyDeployment(done time.Duration) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metaOf("busy", 0, nil),
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(math.MaxInt32))},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
			LastUpdateTime: afterNoon(done), LastTransitionTime: afterNoon(0),
		}}},
	}
}

func setOf(d *appsv1.Deployment, name string, created time.Duration, revision, history string) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{ObjectMeta: metaOf(name, created, d), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(math.MaxInt32))}}
	rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision, "deployment.kubernetes.io/revision-history": history}
	return rs
}

// eventOn is an Event of the second in which it happened first, and of a later one in
// which it happened for the last time.
func eventOn(about runtime.Object, n int, reason, message string, first, last time.Duration) *corev1.Event {
	of := about.(metav1.Object)
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("event-%d", n)},
		InvolvedObject: corev1.ObjectReference{Kind: kindOfObject(about), Namespace: "shop", Name: of.GetName(), UID: of.GetUID()},
		Reason:         reason, Message: message, FirstTimestamp: afterNoon(first), LastTimestamp: afterNoon(last), Count: math.MaxInt32,
	}
}

// TestHistoryIsBoundedByItsSnapshot looks back from snapshots that state large numbers,
// or have a lot of what is compared with each other. What is told is bounded by how
// much there is, and it is told at once: with a step of work for each
// triple of what these snapshots have, or for each replica, it would not end.
func TestHistoryIsBoundedByItsSnapshot(t *testing.T) {
	const many = 8000
	day := 24 * time.Hour
	for name, snapshot := range map[string]func() []runtime.Object{
		"ReplicaSets of a Deployment": func() (objects []runtime.Object) {
			d := busyDeployment(many * time.Second)
			objects = append(objects, d)
			for i := range many {
				objects = append(objects, setOf(d, fmt.Sprintf("busy-%d", i), time.Duration(i)*time.Second, fmt.Sprint(i+1), ""))
			}
			return objects
		},
		"revisions of a ReplicaSet": func() []runtime.Object {
			var history strings.Builder
			for i := range 10 * many {
				fmt.Fprintf(&history, "%d,", i+1)
			}
			d := busyDeployment(time.Minute)
			return []runtime.Object{d, setOf(d, "busy-1", 0, fmt.Sprint(20*many), history.String())}
		},
		"steps between numbers of replicas": func() (objects []runtime.Object) {
			d := busyDeployment(0)
			rs := setOf(d, "busy-1", 0, "1", "")
			objects = append(objects, d, rs)
			for i := range many {
				message := fmt.Sprintf("Scaled up replica set busy-1 from %d to %d", i, math.MaxInt32-i)
				objects = append(objects, eventOn(d, i, "ScalingReplicaSet", message, time.Duration(i)*time.Second, day))
			}
			return objects
		},
		"steps that pods and Events prove": func() (objects []runtime.Object) {
			d := busyDeployment(0)
			rs := setOf(d, "busy-1", 0, "9", "1")
			objects = append(objects, d, rs)
			for i := range 400 { // no more than the engine keeps
				at := time.Duration(i) * time.Minute
				pod := &corev1.Pod{ObjectMeta: metaOf(fmt.Sprintf("busy-1-%d", i), at, rs)}
				pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = new(afterNoon(at+30*time.Second)), new(int64(0))
				objects = append(objects, pod,
					eventOn(rs, 3*i, "SuccessfulDelete", "Deleted pod: "+pod.Name, at+30*time.Second, at+30*time.Second))
				if i%8 > 0 {
					continue
				}
				objects = append(objects,
					eventOn(d, 3*i+1, "ScalingReplicaSet", fmt.Sprintf("Scaled down replica set busy-1 to %d", i), 0, 3*day),
					eventOn(d, 3*i+2, "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set busy-1 to %d", i), 0, 3*day))
			}
			return objects
		},
		"pods of a StatefulSet that are gone, and its revisions": func() (objects []runtime.Object) {
			set := &appsv1.StatefulSet{ObjectMeta: metaOf("db", 0, nil), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(math.MaxInt32))}}
			objects = append(objects, set)
			for i := range many {
				at := time.Duration(i) * time.Second
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("db-%d", i%2), UID: types.UID(fmt.Sprintf("gone-%d", i))}}
				revision := &appsv1.ControllerRevision{ObjectMeta: metaOf(fmt.Sprintf("db-revision-%d", i), at, set), Revision: int64(i + 1)}
				objects = append(objects, revision, eventOn(pod, i, "Scheduled", "Successfully assigned shop/db-0 to n1", at, at))
			}
			return objects
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := snapshot()
			h := snapshots.Reconstruct(objects, 100*365*day, noon.Add(7*day))
			if got, most := len(h.Observations), observationsPerItem*items(objects); got > most || got < len(objects)/2 {
				t.Errorf("%d observations of %d objects with %d items", got, len(objects), items(objects))
			}
			history := 0
			for _, o := range h.Observations {
				history += len(o.Object.(metav1.Object).GetAnnotations()["deployment.kubernetes.io/revision-history"])
			}
			if history > 32*len(h.Observations) {
				t.Errorf("histories of %d bytes in %d observations", history, len(h.Observations))
			}
		})
	}
}

// TestPodsWithManyContainersAreToldInFewStates looks back at a pod whose containers
// started and failed in a second of their own each. A state has the statuses of all.
func TestPodsWithManyContainersAreToldInFewStates(t *testing.T) {
	const containers = 3000
	pod := &corev1.Pod{ObjectMeta: metaOf("crowd", 0, nil)}
	for i := range containers {
		name, started := fmt.Sprintf("c%d", i), time.Duration(3*i)*time.Second
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, RestartCount: 1, ContainerID: name + "/2",
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: afterNoon(started + 2*time.Second)}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 1, ContainerID: name + "/1", StartedAt: afterNoon(started), FinishedAt: afterNoon(started + time.Second),
			}},
		})
	}
	h := snapshots.Reconstruct([]runtime.Object{pod}, 24*time.Hour, noon.Add(24*time.Hour))
	statuses := 0
	for _, o := range h.Observations {
		statuses += len(o.Object.(*corev1.Pod).Status.ContainerStatuses)
	}
	if statuses > 20*containers || len(h.Observations) < 10 {
		t.Errorf("%d observations with %d statuses of %d containers", len(h.Observations), statuses, containers)
	}
	last := h.Observations[len(h.Observations)-1].Object.(*corev1.Pod)
	if len(last.Status.ContainerStatuses) != containers {
		t.Errorf("the last state has %d containers", len(last.Status.ContainerStatuses))
	}
}
