package kube

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// NewestTime is the newest time by now that an object states of its past.
func NewestTime(o runtime.Object, now time.Time) (newest time.Time) {
	times := statedIn(o)
	if meta, ok := o.(metav1.Object); ok {
		times = append(times, meta.GetCreationTimestamp())
		for _, m := range meta.GetManagedFields() {
			times = append(times, ptr.Deref(m.Time, metav1.Time{}))
		}
		if due := meta.GetDeletionTimestamp(); due != nil {
			times = append(times, metav1.NewTime(due.Add(-GraceLeft(meta)))) // when it was asked for
		}
	}
	for _, t := range times {
		if t.After(newest) && !t.After(now) {
			newest = t.Time
		}
	}
	return newest
}

// statedIn are the times of its past that an object states in the fields of its kind.
func statedIn(o runtime.Object) []metav1.Time {
	switch in := o.(type) {
	case *appsv1.Deployment:
		return each(in.Status.Conditions, func(c *appsv1.DeploymentCondition) []metav1.Time {
			return []metav1.Time{c.LastUpdateTime, c.LastTransitionTime}
		})
	case *appsv1.ReplicaSet:
		return each(in.Status.Conditions, func(c *appsv1.ReplicaSetCondition) []metav1.Time { return []metav1.Time{c.LastTransitionTime} })
	case *corev1.Pod:
		return timesIn(in)
	case *corev1.Event:
		times := []metav1.Time{in.FirstTimestamp, in.LastTimestamp, metav1.Time(in.EventTime)}
		if in.Series != nil {
			times = append(times, metav1.Time(in.Series.LastObservedTime))
		}
		return times
	case *corev1.Node:
		return each(in.Status.Conditions, func(c *corev1.NodeCondition) []metav1.Time {
			return []metav1.Time{c.LastHeartbeatTime, c.LastTransitionTime}
		})
	case *batchv1.Job:
		return append(each(in.Status.Conditions, func(c *batchv1.JobCondition) []metav1.Time {
			return []metav1.Time{c.LastTransitionTime}
		}), ptr.Deref(in.Status.StartTime, metav1.Time{}), ptr.Deref(in.Status.CompletionTime, metav1.Time{}))
	case *batchv1.CronJob:
		return []metav1.Time{ptr.Deref(in.Status.LastScheduleTime, metav1.Time{}), ptr.Deref(in.Status.LastSuccessfulTime, metav1.Time{})}
	}
	return nil
}

// each collects what each of some conditions states.
func each[T any](conditions []T, of func(*T) []metav1.Time) (times []metav1.Time) {
	for i := range conditions {
		times = append(times, of(&conditions[i])...)
	}
	return times
}

// timesIn are the times that a pod's status states.
func timesIn(in *corev1.Pod) (times []metav1.Time) {
	if in.Status.StartTime != nil {
		times = append(times, *in.Status.StartTime)
	}
	for i := range in.Status.Conditions {
		times = append(times, in.Status.Conditions[i].LastTransitionTime)
	}
	statuses := ContainerStatuses(in)
	for i := range in.Status.EphemeralContainerStatuses {
		statuses = append(statuses, &in.Status.EphemeralContainerStatuses[i])
	}
	for _, s := range statuses {
		for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
			if state.Running != nil {
				times = append(times, state.Running.StartedAt)
			}
			if state.Terminated != nil {
				times = append(times, state.Terminated.FinishedAt)
			}
		}
	}
	return times
}
