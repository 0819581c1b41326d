package causality_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestSnapshotOfStaticPod looks back at a mirror pod. Nobody scheduled it, although
// the kubelet wrote the condition PodScheduled seconds later; and the Events that
// give the hash of its manifest for its UID are about it.
func TestSnapshotOfStaticPod(t *testing.T) {
	at := func(seconds int) metav1.Time {
		return metav1.NewTime(time.Date(2026, 3, 2, 9, 0, seconds, 0, time.UTC))
	}
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "kube-system", Name: "etcd-n1", UID: "p1", CreationTimestamp: at(0),
			Annotations:     map[string]string{corev1.MirrorPodAnnotationKey: "hash"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "n1", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "etcd", Image: "etcd:3"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: at(3)},
			},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name:  "etcd",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
			}},
		},
	}
	failed := &corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Namespace: "kube-system", Name: "etcd-n1.1", UID: "e1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "kube-system", Name: "etcd-n1", UID: "hash", FieldPath: "spec.containers{etcd}"},
		Reason:         "BackOff", Message: `Back-off pulling image "etcd:3"`, FirstTimestamp: at(5), LastTimestamp: at(5), Count: 1,
	}
	var start, schedule, wait *spans.Span
	for _, tr := range replayHistory(snapshots.Reconstruct([]runtime.Object{pod, failed}, time.Hour, at(20).Time)) {
		for i := range tr.Spans {
			switch s := &tr.Spans[i]; s.Name {
			case "Pod run":
				start = s
			case "schedule":
				schedule = s
			case "back off":
				wait = s
			}
		}
	}
	if start == nil || schedule == nil {
		t.Fatal("the pod is not told of")
	}
	if took := schedule.End.Sub(start.Start); took != 0 {
		t.Errorf("it was scheduled after %s", took)
	}
	if wait == nil || !wait.Start.Equal(at(5).Time) {
		t.Errorf("back off: %+v, want one from the Event's time", wait)
	}
}
