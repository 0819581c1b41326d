package causality_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// TestWhatNeverStartedHasNotRun looks at containers that the runtime could not start, of which
// the last state may be all that tells. Nothing ran, and the message names what is missing, be
// it in a dump or in an update.
func TestWhatNeverStartedHasNotRun(t *testing.T) {
	const refusal = `failed to create containerd task: exec: "/bin/warehouse": stat /bin/warehouse: no such file or directory: unknown`
	ended := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ContainerID: "run://1", ExitCode: 128, Reason: reason, Message: refusal,
			StartedAt: metav1.NewTime(time.Unix(0, 0)), FinishedAt: afterNoon(3 * time.Second),
		}}
	}
	backsOff := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s restarting failed container"}}
	for name, status := range map[string]corev1.ContainerStatus{
		"the last state of containerd":  {State: backsOff, LastTerminationState: ended("StartError"), RestartCount: 1},
		"the last state of dockershim":  {State: backsOff, LastTerminationState: ended("ContainerCannotRun"), RestartCount: 1},
		"the state, as of a final try":  {State: ended("StartError")},
		"the last of several tries":     {State: backsOff, LastTerminationState: ended("StartError"), RestartCount: 4},
		"a try that is only waited for": {State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "RunContainerError", Message: refusal}}, LastTerminationState: ended("StartError"), RestartCount: 1},
	} {
		pod := &corev1.Pod{ObjectMeta: metaOf("store", 0, nil)}
		pod.Spec.NodeName = "node-a"
		pod.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1"}}
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: new(afterNoon(0)), Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(0)},
			{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: afterNoon(0)},
		}}
		status.Name = "web"
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		created := pod.DeepCopy()
		created.Status = corev1.PodStatus{Phase: corev1.PodPending}
		end := noon.Add(time.Minute)
		for how, h := range map[string]snapshots.History{
			"dump": snapshots.Reconstruct([]runtime.Object{pod}, 24*time.Hour, end),
			"live": {End: end, Observations: []causality.Observation{
				{Time: noon.Add(100 * time.Millisecond), Type: "ADDED", Object: created},
				{Time: noon.Add(4 * time.Second), Type: "MODIFIED", Object: pod},
			}},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				traces := replayHistory(h)
				if len(traces) == 0 {
					t.Fatal("nothing is told")
				}
				for _, tr := range traces {
					for _, s := range tr.Spans {
						if s.Name == "run container" {
							t.Errorf("%s ran for %s: %s", s.Subject, s.End.Sub(s.Start), s.Message)
						}
					}
					if root := tr.Root(); !strings.Contains(root.Message, `"/bin/warehouse"`) {
						t.Errorf("%s: %q", root.Name, root.Message)
					}
				}
			})
		}
	}
}
