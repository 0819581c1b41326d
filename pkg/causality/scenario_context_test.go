package causality_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
)

// contextOptions reads trace-context=<mode> and keys=<annotation>+…, and
// namespaces=<name>+….
func contextOptions(t *testing.T, d *datadriven.TestData) (options causality.Options) {
	if d.HasArg("trace-context") {
		d.ScanArgs(t, "trace-context", (*string)(&options.TraceContext))
	}
	if d.HasArg("keys") {
		var keys string
		d.ScanArgs(t, "keys", &keys)
		options.TraceContextKeys = strings.Split(keys, "+")
	}
	if d.HasArg("namespaces") {
		var namespaces string
		d.ScanArgs(t, "namespaces", &namespaces)
		options.TraceContextNamespaces = strings.Split(namespaces, "+")
	}
	if d.HasArg("node-problem-conditions") {
		var conditions string
		d.ScanArgs(t, "node-problem-conditions", &conditions)
		options.NodeProblemConditions = strings.Split(conditions, "+")
	}
	return options
}

// annotate does annotation:<key>=<value>, or template:<key>=<value> for the
// annotation of the pod template; without a value the annotation goes.
func annotate(meta metav1.Object, key, val string) bool {
	where, key, ok := strings.Cut(key, ":")
	switch {
	case ok && where == "annotation":
		annotations := map[string]string{}
		maps.Copy(annotations, meta.GetAnnotations())
		set(annotations, key, val)
		meta.SetAnnotations(annotations)
	case ok && where == "template":
		var template *corev1.PodTemplateSpec
		switch in := meta.(type) {
		case *appsv1.Deployment:
			template = &in.Spec.Template
		case *appsv1.StatefulSet:
			template = &in.Spec.Template
		case *batchv1.Job:
			template = &in.Spec.Template
		default:
			return false
		}
		if template.Annotations == nil {
			template.Annotations = map[string]string{}
		}
		set(template.Annotations, key, val)
		if meta.GetResourceVersion() != "1" {
			meta.SetGeneration(meta.GetGeneration() + 1)
		}
	default:
		return false
	}
	return true
}

func set(annotations map[string]string, key, val string) {
	if val == "" {
		delete(annotations, key)
		return
	}
	annotations[key] = val
}
