package causality_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// ownerName is what a service is called where nothing else names it: the first that is
// there, as OpenTelemetry's semantic conventions have it (docs/non-normative/k8s-attributes.md).
// A Rollout's pods have a ReplicaSet only, and another one with each revision.
func ownerName(s spans.Span) string {
	if textOf(s.Resource, attr.ObjectKindKey) == "Rollout" {
		return textOf(s.Resource, attr.ObjectNameKey)
	}
	for _, of := range []string{"deployment", "statefulset", "daemonset", "replicationcontroller", "replicaset", "cronjob", "job", "pod"} {
		if name := textOf(s.Resource, attribute.Key("k8s."+of+".name")); name != "" {
			return name
		}
	}
	return ""
}

// What is about a workload names the service that the workload's pods run. Recordings have
// no labels that name it, so it goes by the names of owners, and of images.
func TestLawAppIsTheOwner(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for _, s := range allSpans(replayWith(watching, obs)) {
			owner := ownerName(s)
			switch {
			case owner == "" || s.App == nil && s.Kind == kind.Activity:
				if s.App != nil {
					t.Errorf("%s %s is about no workload, and of the service %v", s.Name, s.Subject, *s.App)
				}
				continue
			case s.App == nil:
				t.Errorf("%s %s is of no service", s.Name, s.Subject)
				continue
			}
			if s.App.Name != owner || s.App.Namespace != textOf(s.Resource, semconv.K8SNamespaceNameKey) {
				t.Errorf("%s %s is of %v, and its workload is %s", s.Name, s.Subject, *s.App, owner)
			}
			tag := ""
			if v, ok := s.Attribute(semconv.ContainerImageTagsKey); ok {
				tag = v.AsStringSlice()[0]
			}
			if s.App.Version != tag {
				t.Errorf("%s %s is of the version %q, and its image of %q", s.Name, s.Subject, s.App.Version, tag)
			}
		}
	})
}

// labeled has pods and pod templates say which service they run, with the tag of the image
// of their container as its version. That image is the last one in lists of images.
func labeled(o causality.Observation) causality.Observation {
	label := func(m *metav1.ObjectMeta, spec *corev1.PodSpec) {
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels["app.kubernetes.io/instance"], m.Labels["app.kubernetes.io/name"] = "shop-web", "web"
		m.Labels["app.kubernetes.io/version"] = "v" + tagOf(spec.Containers[0].Image)
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations["resource.opentelemetry.io/service.namespace"] = "shops"
	}
	object := o.Object.DeepCopyObject()
	switch in := object.(type) {
	case *appsv1.Deployment:
		label(&in.Spec.Template.ObjectMeta, &in.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		label(&in.Spec.Template.ObjectMeta, &in.Spec.Template.Spec)
	case *corev1.Pod:
		label(&in.ObjectMeta, &in.Spec)
	default:
		return o
	}
	o.Object = object
	return o
}

func tagOf(image string) string { return image[strings.LastIndexByte(image, ':')+1:] }

// Labels and annotations of pods name their service. A rollout is of the version that it
// rolls out, and the stop of an old pod of the version that goes.
func TestAppByLabels(t *testing.T) {
	var obs []causality.Observation
	for _, o := range load(t, "rolling-update-undo-scale-restart") {
		obs = append(obs, labeled(o))
	}
	rollouts, stops, versions := 0, 0, map[string]bool{}
	for _, tr := range replay(obs) {
		root := tr.Root()
		if change(*root) != "rollout" {
			continue
		}
		rollouts++
		images := value(*root, attr.ImagesAfterKey).AsStringSlice()
		if want := (spans.App{Name: "shop-web", Namespace: "shops", Version: "v" + tagOf(images[len(images)-1])}); *root.App != want {
			t.Errorf("%s is of %v, want %v", root.Name, *root.App, want)
		}
		versions[root.App.Version] = true
		for _, s := range tr.Spans {
			if s.App == nil || s.App.Name != "shop-web" || s.App.Namespace != "shops" {
				t.Errorf("%s %s is of %v", s.Name, s.Subject, s.App)
				continue
			}
			if before := value(*root, attr.ImagesBeforeKey).AsStringSlice(); s.Kind == kind.PodStop && len(before) > 0 {
				stops++
				if want := "v" + tagOf(before[len(before)-1]); s.App.Version != want {
					t.Errorf("%s %s is of the version %s, want %s", s.Name, s.Subject, s.App.Version, want)
				}
			}
		}
	}
	if rollouts < 3 || stops == 0 || len(versions) < 2 {
		t.Errorf("only %d rollouts, %d stops of old pods, and the versions %v", rollouts, stops, versions)
	}
}
