package causality_test

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// TestSnapshotsEndAtTheNewestTime holds that a snapshot is as new as the newest time that anything in it
// states, whichever field that is.
func TestSnapshotsEndAtTheNewestTime(t *testing.T) {
	const newest = 20 * time.Minute
	ran := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: afterNoon(newest - time.Minute), FinishedAt: afterNoon(newest)}}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: afterNoon(newest)}}
	for what, o := range map[string]runtime.Object{
		"the end of an ephemeral container": &corev1.Pod{ObjectMeta: metaOf("web", 0, nil), Status: corev1.PodStatus{
			EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debug", State: ran}},
		}},
		"the start of an ephemeral container": &corev1.Pod{ObjectMeta: metaOf("web", 0, nil), Status: corev1.PodStatus{
			EphemeralContainerStatuses: []corev1.ContainerStatus{{Name: "debug", State: runs}},
		}},
		"the start of a pod":         &corev1.Pod{ObjectMeta: metaOf("web", 0, nil), Status: corev1.PodStatus{StartTime: new(afterNoon(newest))}},
		"the start of a Job":         &batchv1.Job{ObjectMeta: metaOf("load", 0, nil), Status: batchv1.JobStatus{StartTime: new(afterNoon(newest))}},
		"the completion of a Job":    &batchv1.Job{ObjectMeta: metaOf("load", 0, nil), Status: batchv1.JobStatus{CompletionTime: new(afterNoon(newest))}},
		"the last time of a CronJob": &batchv1.CronJob{ObjectMeta: metaOf("load", 0, nil), Status: batchv1.CronJobStatus{LastScheduleTime: new(afterNoon(newest))}},
		"its last success":           &batchv1.CronJob{ObjectMeta: metaOf("load", 0, nil), Status: batchv1.CronJobStatus{LastSuccessfulTime: new(afterNoon(newest))}},
	} {
		end := snapshots.Reconstruct([]runtime.Object{o}, time.Hour, noon.Add(time.Hour)).End
		if got := end.Truncate(time.Second).Sub(noon); got != newest {
			t.Errorf("%s: the snapshot ends %s after noon, want %s", what, got, newest)
		}
	}
}
