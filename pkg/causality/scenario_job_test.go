package causality_test

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func newJob(meta metav1.ObjectMeta) runtime.Object {
	j := &batchv1.Job{ObjectMeta: meta}
	j.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "job:1"}}
	return j
}

func newCronJob(meta metav1.ObjectMeta) runtime.Object { return &batchv1.CronJob{ObjectMeta: meta} }

func setCronJob(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	c := obj.(*batchv1.CronJob)
	switch key {
	case "suspend":
		suspend := val == "true"
		c.Spec.Suspend = &suspend
	case "schedule":
		c.Spec.Schedule = val
	case "timezone":
		c.Spec.TimeZone = &val
	case "last": // the time of the schedule that the last Job is for
		at := metav1.NewTime(clock(val))
		c.Status.LastScheduleTime = &at
	default:
		panic("a cronjob has no " + key)
	}
}

func setJob(_ *world, obj runtime.Object, key, val string, _ time.Time) {
	j := obj.(*batchv1.Job)
	condition := func(kind batchv1.JobConditionType, status corev1.ConditionStatus, at, reason string) {
		j.Status.Conditions = slices.DeleteFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind })
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: status, Reason: reason,
			LastTransitionTime: metav1.NewTime(clock(at).Truncate(time.Second)),
		})
	}
	switch key {
	case "completions":
		n := int32(atoi(val))
		j.Spec.Completions = &n
	case "parallelism":
		n := int32(atoi(val))
		j.Spec.Parallelism = &n
	case "start":
		at := metav1.NewTime(clock(val).Truncate(time.Second))
		j.Status.StartTime = &at
	case "managed-by":
		j.Spec.ManagedBy = &val
	case "restart": // restartPolicy of its template
		j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicy(val)
	case "grace": // of its template, in seconds
		n := int64(atoi(val))
		j.Spec.Template.Spec.TerminationGracePeriodSeconds = &n
	case "indexed": // completionMode
		mode := batchv1.IndexedCompletion
		j.Spec.CompletionMode = &mode
	case "by-index": // backoffLimitPerIndex
		n := int32(atoi(val))
		j.Spec.BackoffLimitPerIndex = &n
	case "replace": // podReplacementPolicy
		policy := batchv1.PodReplacementPolicy(val)
		j.Spec.PodReplacementPolicy = &policy
	case "suspend":
		suspend := val == "true"
		j.Spec.Suspend = &suspend
		if j.ResourceVersion != "" {
			j.Generation++
		}
	case "suspended":
		condition(batchv1.JobSuspended, corev1.ConditionTrue, val, "JobSuspended")
	case "resumed":
		condition(batchv1.JobSuspended, corev1.ConditionFalse, val, "JobResumed")
	case "complete":
		condition(batchv1.JobComplete, corev1.ConditionTrue, val, "CompletionsReached")
	case "criteria-met": // when@reason
		at, reason, _ := strings.Cut(val, "@")
		condition(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, at, reason)
	case "target": // when@reason of the failure that is to come
		at, reason, _ := strings.Cut(val, "@")
		condition(batchv1.JobFailureTarget, corev1.ConditionTrue, at, reason)
	case "failed": // when@reason
		at, reason, _ := strings.Cut(val, "@")
		condition(batchv1.JobFailed, corev1.ConditionTrue, at, reason)
	case "pods": // succeeded/failed
		succeeded, failed, _ := strings.Cut(val, "/")
		j.Status.Succeeded, j.Status.Failed = int32(atoi(succeeded)), int32(atoi(failed))
	default:
		panic("a job has no " + key)
	}
}
