package causality_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// secret is planted where secrets may be: in the values of the environment, of
// arguments, annotations and labels.
const secret = "hunter2"

// TestNoValueIsEverTold plants a secret in the objects of every recording and
// scenario, another one whenever the workload's generation is another, and looks
// for it in all that comes out. That it was seen is shown by its name.
func TestNoValueIsEverTold(t *testing.T) {
	named := 0
	check := func(t *testing.T, obs []causality.Observation) {
		planted := make([]causality.Observation, 0, len(obs))
		for _, o := range obs {
			if o.Object != nil {
				o.Object = o.Object.DeepCopyObject()
				plant(o.Object)
			}
			planted = append(planted, o)
		}
		for _, s := range allSpans(replay(planted)) {
			for _, text := range texts(&s) {
				if strings.Contains(text, secret) {
					t.Errorf("%s %s tells %q", s.Name, s.Subject, text)
				}
				if strings.HasSuffix(text, " env PLANTED") {
					named++
				}
			}
		}
	}
	forEachRecording(t, check)
	forEachScenario(t, check)
	if named == 0 {
		t.Error("the planted variable is not said to have changed anywhere: nobody looked at it")
	}
}

// plant puts the secret into an object.
func plant(object runtime.Object) {
	if m, ok := object.(metav1.Object); ok {
		plantIn(m)
	}
	switch in := object.(type) {
	case *appsv1.Deployment:
		plantTemplate(&in.Spec.Template, in.Generation)
	case *appsv1.StatefulSet:
		plantTemplate(&in.Spec.Template, in.Generation)
	case *appsv1.DaemonSet:
		plantTemplate(&in.Spec.Template, in.Generation)
	case *appsv1.ReplicaSet:
		plantTemplate(&in.Spec.Template, in.Generation)
	case *batchv1.Job:
		plantTemplate(&in.Spec.Template, in.Generation)
	case *appsv1.ControllerRevision:
		in.Data = runtime.RawExtension{Raw: []byte(`{"spec":"` + secret + `"}`)}
	case *corev1.Pod:
		plantContainers(&in.Spec, 0)
	}
}

func plantTemplate(t *corev1.PodTemplateSpec, generation int64) {
	plantIn(&t.ObjectMeta)
	plantContainers(&t.Spec, generation)
}

// plantIn adds an annotation and a label, and what kubectl apply leaves behind.
func plantIn(m metav1.Object) {
	annotations, labels := map[string]string{}, map[string]string{}
	maps.Copy(annotations, m.GetAnnotations())
	maps.Copy(labels, m.GetLabels())
	annotations["example.com/planted"], labels["example.com/planted"] = secret, secret
	annotations[corev1.LastAppliedConfigAnnotation] = `{"env":"` + secret + `"}`
	m.SetAnnotations(annotations)
	m.SetLabels(labels)
}

func plantContainers(spec *corev1.PodSpec, generation int64) {
	value := fmt.Sprint(secret, "-", generation)
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			c := &containers[i]
			c.Env = append(slices.Clone(c.Env), corev1.EnvVar{Name: "PLANTED", Value: value})
			c.Args = append(slices.Clone(c.Args), value)
			c.Command = append(slices.Clone(c.Command), value)
		}
	}
	spec.Volumes = append(slices.Clone(spec.Volumes), corev1.Volume{Name: "planted", VolumeSource: corev1.VolumeSource{
		CSI: &corev1.CSIVolumeSource{VolumeAttributes: map[string]string{"token": value}},
	}})
}

// texts are all texts that a span is sent with.
func texts(s *spans.Span) []string {
	out := []string{s.Name, s.Service, s.Subject, s.Message}
	if s.App != nil {
		out = append(out, s.App.Name, s.App.Namespace, s.App.Version)
	}
	add := func(attrs []attribute.KeyValue) {
		for _, kv := range attrs {
			out = append(out, string(kv.Key))
			if kv.Value.Type() == attribute.STRINGSLICE {
				out = append(out, kv.Value.AsStringSlice()...)
			} else {
				out = append(out, kv.Value.String())
			}
		}
	}
	add(said(*s))
	for _, e := range s.Events {
		out = append(out, e.Name)
		add(e.Attributes)
	}
	for _, l := range s.Links {
		add(l.Attributes)
	}
	return out
}

// forEachScenario runs a test over what the scenarios observe.
func forEachScenario(t *testing.T, test func(t *testing.T, obs []causality.Observation)) {
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { test(t, scenarioObservations(t, file)) })
	}
}
