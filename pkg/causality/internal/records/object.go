package records

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// describe says in a record what object it is about, as the spans about that do.
func (of *subject) describe(r *spans.Record, ev *podlife.Event) {
	w, set, pod := of.workload, of.set, of.pod
	r.Subject = ev.Object.Subject()
	lists := [][]attribute.KeyValue{}
	if w != nil {
		r.App = w.App(nil)
		lists = append(lists, w.Attributes())
	}
	if set != nil {
		lists = append(lists, set.Attributes())
	}
	if pod != nil {
		lists = append(lists, pod.Attributes())
		if w != nil {
			r.App = w.AppOf(pod)
		}
		if i := slices.IndexFunc(pod.Containers, func(c *podlife.Container) bool { return c.Name == ev.Container && c.Name != "" }); i >= 0 {
			c := pod.Containers[i]
			lists = append(lists, c.Attributes())
			r.Subject += " container/" + c.Name
			if w != nil {
				r.App = w.AppIn(pod, c)
			}
		}
	}
	lists = append(lists, workloads.AttributesOf(ev.Object))
	for _, kv := range slices.Concat(lists...) {
		if _, has := r.Attribute(kv.Key); !has && attr.OfObject(kv.Key) {
			r.Resource = append(r.Resource, kv)
		}
	}
}
