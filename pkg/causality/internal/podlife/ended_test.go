package podlife

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// TestAbandonedPodsEndWithTheNews: a pod of which a container runs by its status, though the pod has
// ended, did not end when its init container had.
func TestAbandonedPodsEndWithTheNews(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	news := noon.Add(time.Hour + 100*time.Millisecond)
	in := &corev1.Pod{}
	in.Spec.InitContainers = []corev1.Container{{Name: "fetch"}}
	in.Spec.Containers = []corev1.Container{{Name: "main"}}
	in.Status.Phase = corev1.PodFailed
	in.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "fetch", State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ContainerID: "1", StartedAt: metav1.NewTime(noon), FinishedAt: metav1.NewTime(noon.Add(5 * time.Second))},
	}}}
	in.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", ContainerID: "2", State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon.Add(6 * time.Second))},
	}}}
	disrupted := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC", LastTransitionTime: metav1.NewTime(news.Truncate(time.Second)),
	}
	for _, c := range []struct {
		name       string
		initial    bool
		conditions []corev1.PodCondition
		seen, want time.Time
		doubtful   bool
	}{
		{"seen", false, []corev1.PodCondition{disrupted}, news, news, false},
		{"listed", true, []corev1.PodCondition{disrupted}, news.Add(time.Minute), news.Truncate(time.Second), false},
		{"listed without a condition", true, nil, news, news, true},
	} {
		for _, finite := range []bool{true, false} {
			p := &Pod{Object: &Object{}, Finite: finite, Phase: in.Status.Phase}
			o := stream.Observation{Time: c.seen, Initial: c.initial}
			p.ObserveConditions(c.conditions, o.Arrival(), o.Time)
			p.ObserveContainers(in, o.Arrival(), o.Time)
			p.ObserveEnd(o, in)
			end := p.Failed
			if finite {
				end = p.Finished
			}
			if !end.At().Equal(c.want) {
				t.Errorf("%s, finite %v: it ended at %v, want %v", c.name, finite, end.At(), c.want)
			}
			if got := len(p.Doubts()) > 0; got != c.doubtful {
				t.Errorf("%s, finite %v: doubts %v, want some: %v", c.name, finite, p.Doubts(), c.doubtful)
			}
		}
	}
}
