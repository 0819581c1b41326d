package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestAutoscaled has the real autoscaler scale up and down. Nothing measures pods
// here, but it asks for no measurement while there are fewer of them than its
// minimum, or more than its maximum.
func TestAutoscaled(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{probe: true, life: map[string]string{"boot": "10s"}}) // longer than all else takes
	s.complete(1)
	s.rollout(1) // handed out: the scale is a change of its own

	hpa := s.autoscale(2, 3)
	up := s.trace("Deployment scale", "rollspan.scale.to", int64(2))
	s.outlined(up, `
		Deployment scale
		  ReplicaSet scale up 1-2
		    Pod start
		      schedule
		      prepare sandbox
		      container
		        pull image
		        start container
		      become ready
		        readiness probe`)
	s.autoscaled(up, hpa, "Current number of replicas below Spec.MinReplicas", map[string]any{
		"rollspan.scale.from": 1, "rollspan.pods.wanted": 2, "rollspan.pods.ready": 2,
	})
	s.waited(up, "become_ready", s.only(up, "readiness probe"))

	s.kubectlRun("patch", "hpa/"+hpa.Name, "--patch", `{"spec":{"minReplicas":1,"maxReplicas":1}}`)
	down := s.trace("Deployment scale", "rollspan.scale.to", int64(1))
	s.outlined(down, `
		Deployment scale
		  ReplicaSet scale down 2-1
		    Pod stop
		      stop container`)
	s.autoscaled(down, hpa, "Current number of replicas above Spec.MaxReplicas", map[string]any{
		"rollspan.scale.from": 2, "rollspan.pods.wanted": 1, "rollspan.pods.ready": 1,
	})
	s.podsExplained()
}

// autoscale makes an autoscaler for the Deployment.
func (s *space) autoscale(least, most int32) *autoscalingv2.HorizontalPodAutoscaler {
	s.t.Helper()
	hpa, err := s.client.AutoscalingV2().HorizontalPodAutoscalers(s.name).Create(s.t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "scaler"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: appName},
			MinReplicas:    &least, MaxReplicas: most,
		},
	}, asCreator)
	return created(s, hpa, err)
}

// autoscaled checks that a scale is the autoscaler's, for the reason that this
// gave in its Event, and what else is said of it.
func (s *space) autoscaled(t *trace, hpa *autoscalingv2.HorizontalPodAutoscaler, reason string, also map[string]any) {
	s.t.Helper()
	want := map[string]any{
		"rollspan.change":              "scale",
		"rollspan.outcome":             "complete",
		"rollspan.cause":               "autoscale",
		"rollspan.autoscale.reason":    reason,
		"rollspan.manager.name":        "kube-controller-manager",
		"rollspan.manager.subresource": "scale",
		"k8s.hpa.name":                 hpa.Name,
		"k8s.hpa.uid":                  hpa.UID,
	}
	maps.Copy(want, also)
	s.has(t.Root(), want)
	said := slices.DeleteFunc(slices.Clone(t.Root().Events), func(e controlplane.Event) bool { return e.Name != "SuccessfulRescale" })
	if len(said) != 1 || !strings.HasSuffix(said[0].Attributes["k8s.event.message"].(string), "; reason: "+reason) {
		s.t.Errorf("the autoscaler said %v, want once %q", said, reason)
	}
}

// waited checks that a change's critical path explains all of its time, and that
// most of that is of one phase, which the span stands for.
func (s *space) waited(t *trace, phase string, longest *controlplane.Span) {
	s.t.Helper()
	const prefix = "rollspan.critical_path."
	var sum float64
	phases := map[string]float64{}
	for key, value := range t.Root().Attributes {
		if seconds, ok := value.(float64); ok && strings.HasPrefix(key, prefix) {
			phases[strings.TrimPrefix(key, prefix)] = seconds
			sum += seconds
		}
	}
	took := t.Root().End.Sub(t.Root().Start)
	if unexplained := took - time.Duration(sum*float64(time.Second)); unexplained.Abs() > time.Millisecond {
		s.t.Errorf("the critical path %v leaves %s of %s unexplained", phases, unexplained, took)
	}
	for other, seconds := range phases {
		if seconds > phases[phase] {
			s.t.Errorf("the critical path %v has more of %s than of %s", phases, other, phase)
		}
	}
	s.has(longest, map[string]any{"rollspan.critical": true})
	s.has(t.Root(), map[string]any{"rollspan.critical": true})
}
