package causality_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// lastingNames are the attributes that name what keeps its name from one change to the
// next; the CronJob comes before its Jobs.
var lastingNames = []attribute.Key{
	semconv.K8SCronJobNameKey, semconv.K8SDeploymentNameKey, semconv.K8SStatefulSetNameKey, semconv.K8SDaemonSetNameKey,
	semconv.K8SReplicationControllerNameKey,
}

// target is what the attributes of a root say that it is to be named after. A ReplicaSet
// may be somebody's or a Deployment's, which its attributes do not tell: either is true.
func target(s spans.Span) (want string, either bool) {
	switch change(s) {
	case "rollout", "scale", "delete", "job", "schedule", "replacement", "restart":
	default:
		return "", false
	}
	namespace := value(s, semconv.K8SNamespaceNameKey).AsString() + "/"
	for _, key := range lastingNames {
		if name, ok := s.Attribute(key); ok {
			return namespace + name.AsString(), false
		}
	}
	if value(s, "rollspan.object.kind").AsString() == "Rollout" {
		return namespace + value(s, "rollspan.object.name").AsString(), false
	}
	if name, ok := s.Attribute(semconv.K8SReplicaSetNameKey); ok {
		return namespace + name.AsString(), true
	}
	return "", false
}

// TestLawRootsNameWhatLasts: the root of a workload's change is named after the workload,
// and nothing is named after what the next change finds under another name.
func TestLawRootsNameWhatLasts(t *testing.T) {
	named, bare := map[string]int{}, map[string]int{}
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		owned := map[string]bool{}
		for _, o := range obs {
			if m, ok := o.Object.(metav1.Object); ok && metav1.GetControllerOf(m) != nil {
				owned[m.GetNamespace()+"/"+m.GetName()] = true
			}
		}
		for _, s := range allSpans(replay(obs)) {
			want, either := target(s)
			if either && owned[want] {
				want = ""
			}
			if s.Target != want {
				t.Errorf("%s %s is named after %q, want %q", s.Name, s.Subject, s.Target, want)
			}
			if s.Target != "" {
				named[change(s)]++
			} else {
				bare[change(s)]++
			}
		}
	})
	for _, c := range []string{"rollout", "scale", "delete", "job", "schedule", "replacement", "restart"} {
		if named[c] == 0 {
			t.Errorf("no %s is named: nothing was tested", c)
		}
	}
	for _, c := range []string{"", "job", "run", "disruption", "activity"} {
		if bare[c] == 0 {
			t.Errorf("no span that tells of a change %q is bare: nothing was tested", c)
		}
	}
}
