package causality_test

import (
	"maps"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// asked is a label and an annotation that is to be on spans.
const asked = "example.com/asked"

// shownKey is the beginning of the key of the workload's metadata that a span has to have,
// up to ".label.": of the workload that the span's trace is about; "" if it has none.
func shownKey(s spans.Span) string {
	if c := change(s); c == "schedule" || c == "disruption" || s.Kind == kind.Activity && s.App == nil {
		return "" // they are about an object that no workload has
	}
	if value(s, "rollspan.object.kind").AsString() == "Rollout" {
		return "" // the conventions have no labels of these
	}
	for _, key := range []attribute.Key{
		semconv.K8SDeploymentNameKey, semconv.K8SStatefulSetNameKey, semconv.K8SDaemonSetNameKey, semconv.K8SJobNameKey,
		semconv.K8SReplicationControllerNameKey, semconv.K8SReplicaSetNameKey, semconv.K8SPodNameKey,
	} {
		if _, has := s.Attribute(key); has {
			if key == semconv.K8SReplicationControllerNameKey {
				return "" // the conventions have no labels of these
			}
			return strings.TrimSuffix(string(key), ".name")
		}
	}
	return ""
}

// TestLawSpansShowWhatIsAskedFor: a label and an annotation that are asked for are on each
// span of their workload, and no others are on any. What holds a copy of the object is not
// to be had.
func TestLawSpansShowWhatIsAskedFor(t *testing.T) {
	options := causality.Options{
		WorkloadLabels:      []string{asked, "example.com/absent", asked},
		WorkloadAnnotations: []string{asked, corev1.LastAppliedConfigAnnotation},
	}
	long := strings.Repeat("long ", spans.MaxText)
	seen := map[string]int{}
	law := func(t *testing.T, obs []causality.Observation) {
		planted := make([]causality.Observation, 0, len(obs))
		for _, o := range obs {
			if o.Object != nil {
				o.Object = o.Object.DeepCopyObject()
				plant(o.Object)
				if m, ok := o.Object.(metav1.Object); ok {
					labels, annotations := maps.Clone(m.GetLabels()), maps.Clone(m.GetAnnotations())
					labels[asked], annotations[asked] = "label of "+m.GetName(), long
					m.SetLabels(labels)
					m.SetAnnotations(annotations)
				}
			}
			planted = append(planted, o)
		}
		for _, s := range allSpans(replayWith(options, planted)) {
			of := shownKey(s)
			var label, annotation attribute.Key
			if of != "" {
				label, annotation = attribute.Key(of+".label."+asked), attribute.Key(of+".annotation."+asked)
				if got, want := textOf(s.Resource, label), "label of "+value(s, attribute.Key(of+".name")).AsString(); got != want {
					t.Errorf("%s %s has the label %q, want %q", s.Name, s.Subject, got, want)
				}
				if got := textOf(s.Resource, annotation); got != spans.Cut(long) {
					t.Errorf("%s %s has the annotation in %d bytes", s.Name, s.Subject, len(got))
				}
			}
			for _, kv := range said(s) {
				if key := string(kv.Key); (strings.Contains(key, ".label.") || strings.Contains(key, ".annotation.")) && kv.Key != label && kv.Key != annotation {
					t.Errorf("%s %s has %s, which nobody asked for", s.Name, s.Subject, key)
				}
				if strings.Contains(kv.Value.String(), secret) {
					t.Errorf("%s %s tells %s", s.Name, s.Subject, kv.Value.String())
				}
			}
			seen[of]++
		}
	}
	forEachRecording(t, law)
	forEachScenario(t, law)
	for _, of := range []string{"", "k8s.deployment", "k8s.statefulset", "k8s.daemonset", "k8s.job", "k8s.replicaset", "k8s.pod"} {
		if seen[of] == 0 {
			t.Errorf("no span is of a %q: nothing was tested", of)
		}
	}
}

func TestCopiesOfObjectsAreKnown(t *testing.T) {
	for key, want := range map[string]bool{
		corev1.LastAppliedConfigAnnotation:            true,
		"banzaicloud.com/last-applied":                true,
		"objectset.rio.cattle.io/applied":             true,
		"kapp.k14s.io/original":                       true,
		"kapp.k14s.io/original-diff-md5":              true,
		"kopf.zalando.org/last-handled-configuration": true,
		"objectset.rio.cattle.io/id":                  false,
		"kapp.k14s.io/identity":                       false,
		"resource.opentelemetry.io/service.name":      false,
		"argocd.argoproj.io/tracking-id":              false,
		"app.kubernetes.io/version":                   false,
		"kubernetes.io/change-cause":                  false,
		"deployment.kubernetes.io/revision":           false,
	} {
		if causality.IsCopy(key) != want {
			t.Errorf("%s is a copy: %t", key, !want)
		}
	}
}
