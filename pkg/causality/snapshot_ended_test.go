package causality_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestSnapshotOfPodsThatEnded looks back at a Deployment of one pod, which was ended by its
// kubelet two hours after it was made, took twenty seconds to stop, and was made up for at once.
func TestSnapshotOfPodsThatEnded(t *testing.T) {
	const said, ended, ready = 2 * time.Hour, 2*time.Hour + 20*time.Second, 2*time.Hour + 24*time.Second
	terminated := corev1.ContainerStatus{Name: "web", ContainerID: "run://1", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ContainerID: "run://1", StartedAt: afterNoon(2 * time.Second), FinishedAt: afterNoon(ended),
	}}}
	stated := corev1.PodStatus{
		Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{terminated}, StartTime: new(afterNoon(0)),
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(0)},
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "PodCompleted", LastTransitionTime: afterNoon(ended)},
			{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet, LastTransitionTime: afterNoon(said)},
		},
	}
	bare := corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory. ", StartTime: new(afterNoon(0))}
	for what, is := range map[string]struct {
		status corev1.PodStatus
		reason string // of the kubelet's Event; none if it is empty
		began  time.Duration
	}{
		"preempted, with Events":                {stated, "Preempting", said},
		"shut down, without Events":             {stated, "", said},
		"evicted, the status has lost the rest": {bare, "Evicted", said},
		"evicted, and so are the Events":        {bare, "", ended},
	} {
		d := busyDeployment(10 * time.Second)
		d.Spec.Replicas = new(int32(1))
		d.Annotations = map[string]string{"deployment.kubernetes.io/revision": "1"}
		set := setOf(d, "busy-1", 0, "1", "")
		set.Spec.Replicas = new(int32(1))
		pod := func(name string, created time.Duration) *corev1.Pod {
			p := &corev1.Pod{ObjectMeta: metaOf(name, created, set)}
			p.Spec.NodeName, p.Spec.Containers = "n1", []corev1.Container{{Name: "web", Image: "web:1"}}
			return p
		}
		old, next := pod("old", 0), pod("next", ended)
		old.Status = is.status
		next.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(ended)},
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(ready)},
		}, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "web", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: afterNoon(ready)}},
		}}}
		objects := []runtime.Object{d, set, old, next}
		if is.reason != "" {
			ev := eventOn(old, 1, is.reason, "for a reason", said, said)
			ev.Count = 1
			objects = append(objects, ev)
		}
		var replaced []spans.Span
		for _, tr := range replayHistory(snapshots.Reconstruct(objects, 24*time.Hour, noon.Add(3*time.Hour))) {
			for _, s := range tr.Spans {
				switch {
				case s.Name == "Pod replacement":
					replaced = append(replaced, s)
				case s.Name == "Container restart":
					t.Errorf("%s: there is a restart of %s", what, s.End.Sub(s.Start))
				case s.End.Sub(s.Start) > time.Minute:
					t.Errorf("%s: there is a %s of %s", what, s.Name, s.End.Sub(s.Start))
				}
			}
		}
		if len(replaced) != 1 {
			t.Errorf("%s: %d replacements, want 1", what, len(replaced))
			continue
		}
		for _, at := range []struct {
			what string
			is   time.Time
			want time.Duration
		}{{"begins", replaced[0].Start, is.began}, {"ends", replaced[0].End, ready}} {
			if off := at.is.Sub(noon.Add(at.want)); off.Abs() > time.Second {
				t.Errorf("%s: the replacement %s %s off", what, at.what, off)
			}
		}
	}
}
