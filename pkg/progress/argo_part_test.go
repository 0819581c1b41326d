package progress_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// TestToldOfAStatusThatFitsNot has a Rollout of which status and ReplicaSets are of different times, or
// say less than they do today. Nothing is told that they do not prove.
func TestToldOfAStatusThatFitsNot(t *testing.T) {
	const healthySince = `"conditions": [{"type": "Healthy", "status": "%s", "lastTransitionTime": "%s"}], `
	for name, test := range map[string]struct {
		status string
		set    string // when its ReplicaSet was made
		want   string
	}{
		"complete": {
			status: fmt.Sprintf(healthySince, "True", "2026-03-01T12:00:30Z") + `"phase": "Healthy", "currentPodHash": "two", "stableRS": "two"`,
			set:    "2026-03-01T12:00:00Z", want: "2 complete, at most 30s",
		},
		"goes on": {
			status: fmt.Sprintf(healthySince, "False", "2026-03-01T12:00:01Z") + `"phase": "Progressing", "currentPodHash": "two", "stableRS": "one"`,
			set:    "2026-03-01T12:00:00Z", want: "2 open",
		},
		"its status is of the revision before": {
			status: fmt.Sprintf(healthySince, "True", "2026-03-01T11:00:00Z") + `"phase": "Healthy", "currentPodHash": "one", "stableRS": "one"`,
			set:    "2026-03-01T12:00:00Z",
		},
		"promoted, and not Healthy since it began": {
			status: fmt.Sprintf(healthySince, "False", "2026-03-01T12:00:01Z") + `"phase": "Progressing", "currentPodHash": "two", "stableRS": "two"`,
			set:    "2026-03-01T12:00:00Z", want: "2 complete, at most 1m0s",
		},
		"a controller that has no condition Healthy": {
			status: `"phase": "Healthy", "currentPodHash": "two", "stableRS": "two"`,
			set:    "2026-03-01T12:00:00Z",
		},
		"the ReplicaSet of a Rollout before, adopted": {
			status: fmt.Sprintf(healthySince, "True", "2026-03-01T11:00:00Z") + `"phase": "Healthy", "currentPodHash": "two", "stableRS": "two"`,
			set:    "2026-03-01T09:00:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var in map[string]any
			text := `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web", "namespace": "shop", "uid": "r",
				"creationTimestamp": "2026-03-01T10:00:00Z", "generation": 4, "annotations": {"rollout.argoproj.io/revision": "2"}},
				"spec": {"template": {}}, "status": {"observedGeneration": "4", ` + test.status + `}}`
			if err := utiljson.Unmarshal([]byte(text), &in); err != nil {
				t.Fatal(err)
			}
			made, err := time.Parse(time.RFC3339, test.set)
			if err != nil {
				t.Fatal(err)
			}
			yes := true
			set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-two", UID: "s", CreationTimestamp: metav1.NewTime(made),
				Annotations: map[string]string{"rollout.argoproj.io/revision": "2"}, Labels: map[string]string{"rollouts-pod-template-hash": "two"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "web", UID: "r", Controller: &yes}}}}
			m := moment{now: time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC), objects: []runtime.Object{&unstructured.Unstructured{Object: in}, set}}
			tracker := progress.New(progress.Target{Kind: "Rollout", Namespace: "shop", Name: "web"}, causality.New(causality.Options{}), false)
			if err := tracker.Begin(m.objects, 24*time.Hour, m.now); err != nil {
				t.Fatal(err)
			}
			s := tracker.At(m.now)
			var told []string
			for _, c := range progress.ToldRollouts(&s, m.objects, 24*time.Hour) {
				root := c.Root()
				one := fmt.Sprint(revisionOf(root), " ", known(root))
				if p, ok := root.Attribute(attr.EndPrecisionKey); ok {
					one += fmt.Sprint(", at most ", time.Duration(p.AsFloat64()*float64(time.Second)))
				}
				told = append(told, one)
			}
			if got := strings.Join(told, "; "); got != test.want {
				t.Errorf("it is told %q, want %q", got, test.want)
			}
		})
	}
}
