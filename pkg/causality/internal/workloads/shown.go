package workloads

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Shown are the keys of what of workloads' metadata is on their spans, because somebody
// asked for it. None of them is there twice.
type Shown struct {
	Labels, Annotations []string
}

// Show takes over what is to be on the workload's spans. The conventions have no keys for
// the metadata of some kinds; of these nothing is.
func (w *Workload) Show(meta metav1.Object, which Shown) {
	w.shown = nil
	show := func(key func(key, val string) attribute.KeyValue, asked []string, have map[string]string) {
		for _, k := range asked {
			if v, ok := have[k]; ok && key != nil {
				w.shown = append(w.shown, key(k, spans.Cut(v)))
			}
		}
	}
	show(w.Controller.labelKey, which.Labels, meta.GetLabels())
	show(w.Controller.annotationKey, which.Annotations, meta.GetAnnotations())
}

// IsCopy reports whether an annotation holds a copy of the object that has it, as tools that
// apply objects leave behind, by its key. There are environment variables in it.
func IsCopy(annotation string) bool {
	_, name, _ := strings.Cut(annotation, "/")
	switch {
	case strings.Contains(annotation, "last-applied"):
		return true // kubectl.kubernetes.io/last-applied-configuration, banzaicloud.com/last-applied
	case name == "last-handled-configuration":
		return true // Kopf's, whose prefix an operator may choose
	case strings.HasPrefix(annotation, "objectset.rio.cattle.io/"):
		return name == "applied" // Rancher's
	case strings.HasPrefix(annotation, "kapp.k14s.io/"):
		return strings.HasPrefix(name, "original") // Carvel's
	}
	return false
}
