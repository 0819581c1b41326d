package causality

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// observeContexts reads the contexts of a workload's state. listed says that
// the values it did not have before may be of any age.
func (e *Engine) observeContexts(w *workloads.Workload, meta metav1.Object, write evidence.Write, listed bool) {
	w.Contexts.Offers = nil
	if e.opts.TraceContext == TraceContextIgnore {
		return
	}
	e.offerContexts(w, meta.GetAnnotations(), false, write, listed)
	if t := workloads.TemplateOf(meta); t != nil {
		e.offerContexts(w, t.Annotations, true, write, listed)
	}
}

// joins reports whether the workloads of a namespace may join their deployers' traces.
func (e *Engine) joins(namespace string) bool {
	allowed := e.opts.TraceContextNamespaces
	return e.opts.TraceContext == TraceContextParent && (len(allowed) == 0 || slices.Contains(allowed, namespace))
}

func (e *Engine) offerContexts(w *workloads.Workload, annotations map[string]string, template bool, write evidence.Write, listed bool) {
	for _, key := range e.opts.TraceContextKeys {
		text, ok := annotations[key]
		if !ok {
			continue
		}
		v := workloads.ContextValue{Text: text[:min(len(text), workloads.MaxContextText)], First: write, Listed: listed}
		i := slices.IndexFunc(w.Contexts.Values, func(have workloads.ContextValue) bool { return have.Text == v.Text })
		if i >= 0 {
			v = w.Contexts.Values[i]
			w.Contexts.Values = slices.Delete(w.Contexts.Values, i, i+1)
		} else {
			v.Text = strings.Clone(v.Text) // not with all that was cut off
			if v.Context = workloads.ParseContext(v.Text); !v.Context.IsValid() {
				e.stats.MalformedContexts++
			}
		}
		w.Contexts.Values = append(w.Contexts.Values, v)
		if len(w.Contexts.Values) > workloads.MaxContexts {
			w.Contexts.Values = slices.Delete(w.Contexts.Values, 0, 1)
		}
		if v.Context.IsValid() {
			w.Contexts.Offers = append(w.Contexts.Offers, workloads.Offer{ContextValue: v, Template: template})
		}
	}
}

// contextsIn are the contexts among annotations.
func (e *Engine) contextsIn(annotations map[string]string) (found []trace.SpanContext) {
	if e.opts.TraceContext == TraceContextIgnore {
		return nil
	}
	for _, key := range e.opts.TraceContextKeys {
		if sc := workloads.ParseContext(annotations[key]); sc.IsValid() {
			found = append(found, sc)
		}
	}
	return found
}
