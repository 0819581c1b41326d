package causality_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// supersededBy is a snapshot of a Deployment of two pods half an hour after the second of
// its rollouts. Of the first one's pods there are only the Events that each is told by: the
// seconds after noon, and the reason and message. The second rollout removed them.
func supersededBy(probe *corev1.Probe, events map[time.Duration][2]string) []runtime.Object {
	const next = 20 * time.Minute
	d := &appsv1.Deployment{ObjectMeta: metaOf("web", 0, nil), Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:2", ReadinessProbe: probe}}
	d.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2"}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
			LastUpdateTime: afterNoon(next + 30*time.Second), LastTransitionTime: afterNoon(0),
		}},
	}
	before, after := setOf(d, "web-one", 0, "1", ""), setOf(d, "web-two", next, "2", "")
	before.Spec.Replicas, after.Spec.Replicas = new(int32(0)), new(int32(2))
	before.Spec.Template, after.Spec.Template = d.Spec.Template, d.Spec.Template
	objects := []runtime.Object{d, before, after}
	n := 0
	say := func(about runtime.Object, reason, message string, at time.Duration, container string) {
		n++
		ev := eventOn(about, n, reason, message, at, at)
		ev.Count = 1
		if container != "" {
			ev.InvolvedObject.FieldPath = "spec.containers{" + container + "}"
		}
		objects = append(objects, ev)
	}
	say(d, "ScalingReplicaSet", "Scaled up replica set web-one to 2", 0, "")
	for i := range 2 {
		gone := &corev1.Pod{ObjectMeta: metaOf(fmt.Sprintf("web-one-%d", i), 0, before)}
		say(before, "SuccessfulCreate", "Created pod: "+gone.Name, 0, "")
		say(gone, "Scheduled", "Successfully assigned shop/"+gone.Name+" to node-a", 0, "")
		hasStarted := false
		for at, what := range events {
			say(gone, what[0], what[1], at, "app")
			hasStarted = hasStarted || what[0] == "Started"
		}
		removed := next + time.Duration(i)*20*time.Second
		say(d, "ScalingReplicaSet", fmt.Sprintf("Scaled down replica set web-one to %d", 1-i), removed, "")
		say(before, "SuccessfulDelete", "Deleted pod: "+gone.Name, removed, "")
		if hasStarted { // the kubelet stops what runs
			say(gone, "Killing", "Stopping container app", removed, "app")
		}
		say(d, "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set web-two to %d", i+1), removed, "")
		pod := &corev1.Pod{ObjectMeta: metaOf(fmt.Sprintf("web-two-%d", i), removed, after), Spec: d.Spec.Template.Spec}
		pod.Status.Phase = corev1.PodRunning
		for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.ContainersReady, corev1.PodReady} {
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: afterNoon(removed + 10*time.Second)})
		}
		objects = append(objects, pod)
		say(after, "SuccessfulCreate", "Created pod: "+pod.Name, removed, "")
	}
	return objects
}

// TestSnapshotsDoNotKnowWhetherGonePodsWereReady looks at what is told of pods of which
// there are Events only, and of the rollout that had brought them.
func TestSnapshotsDoNotKnowWhetherGonePodsWereReady(t *testing.T) {
	up := map[time.Duration][2]string{
		1 * time.Second: {"Pulled", `Container image "app:1" already present on machine`},
		2 * time.Second: {"Started", "Started container app"},
	}
	unhealthy := map[time.Duration][2]string{
		1 * time.Second: {"Pulled", `Container image "app:1" already present on machine`},
		2 * time.Second: {"Started", "Started container app"},
		4 * time.Second: {"Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500"},
	}
	stuck := map[time.Duration][2]string{
		1 * time.Second: {"Pulling", `Pulling image "app:1"`},
		3 * time.Second: {"Failed", `Failed to pull image "app:1": not found`},
		5 * time.Second: {"BackOff", `Back-off pulling image "app:1"`},
	}
	pulling := map[time.Duration][2]string{1 * time.Second: {"Pulling", `Pulling image "app:1"`}}
	for name, test := range map[string]struct {
		probe   *corev1.Probe
		events  map[time.Duration][2]string
		unknown bool
		took    time.Duration // the start of the first pod
	}{
		"one whose probe failed at first":     {&corev1.Probe{}, unhealthy, true, 4 * time.Second},
		"one that is probed and was up":       {&corev1.Probe{}, up, true, 2 * time.Second},
		"one that nothing probes":             {nil, up, false, 2 * time.Second},
		"one whose image is not there":        {&corev1.Probe{}, stuck, false, 20 * time.Minute},
		"one that had not begun to run":       {&corev1.Probe{}, pulling, false, 20 * time.Minute},
		"one that had not, and is not probed": {nil, pulling, false, 20 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			traces := replayHistory(snapshots.Reconstruct(supersededBy(test.probe, test.events), 24*time.Hour, noon.Add(50*time.Minute)))
			var root spans.Span
			for _, tr := range traces {
				if r := *tr.Root(); attributeOf(r, "rollspan.revision") == "1" && !tr.Late {
					root = r
				}
			}
			if attributeOf(root, "rollspan.outcome") != "superseded" {
				t.Fatalf("the first rollout is %+v", root)
			}
			for _, key := range []string{"rollspan.pods.ready", "rollspan.critical_path.segments"} {
				if told := attributeOf(root, key) != ""; told == test.unknown {
					t.Errorf("%s is told: %t", key, told)
				}
			}
			found := false
			for _, s := range allSpans(traces) {
				if s.Name != "Pod start" || s.Subject != "pod/web-one-0" {
					continue
				}
				found = true
				if took := s.End.Sub(s.Start); took != test.took {
					t.Errorf("its start took %s, want %s", took, test.took)
				}
				precision, source := value(s, "rollspan.end.precision").AsFloat64(), attributeOf(s, "rollspan.end.source")
				if want := (20*time.Minute - test.took).Seconds(); test.unknown && (precision != want || source != "inferred") || !test.unknown && source != "" {
					t.Errorf("its end is within %f s by %q, want %f", precision, source, want)
				}
			}
			if !found {
				t.Error("the first pod has no start")
			}
		})
	}
}
