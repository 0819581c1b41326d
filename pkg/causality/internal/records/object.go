package records

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Describe is what describes an object: whose it is, and where, and the service that it is part
// of; that is nil where no workload has the object.
func (a *Around) Describe(obj *podlife.Object) ([]attribute.KeyValue, *spans.App) {
	of := a.subject(obj)
	if w := a.Above(obj); w != nil {
		of.workload = w
	}
	return of.attributes(obj, nil)
}

// attributes are those of the object, and of one of its containers if that is not nil. Some are
// there twice.
func (of *subject) attributes(obj *podlife.Object, container *podlife.Container) (attrs []attribute.KeyValue, app *spans.App) {
	w, pod := of.workload, of.pod
	if w != nil {
		app, attrs = w.App(nil), w.Attributes()
	}
	if of.set != nil {
		attrs = append(attrs, of.set.Attributes()...)
	}
	if pod != nil {
		attrs = append(attrs, pod.Attributes()...)
		if w != nil {
			app = w.AppOf(pod)
		}
	}
	if container != nil {
		attrs = append(attrs, container.Attributes()...)
		if w != nil {
			app = w.AppIn(pod, container)
		}
	}
	own := workloads.AttributesOf(obj)
	if w != nil && w.Object != obj && slices.ContainsFunc(own, namesCustom) { // the workload is another one, and the keys are the same
		attrs = slices.DeleteFunc(attrs, namesCustom)
	}
	return append(attrs, own...), app
}

// namesCustom reports whether an attribute is one of those that name an object of which the conventions
// know nothing.
func namesCustom(kv attribute.KeyValue) bool {
	return kv.Key == attr.ObjectKindKey || kv.Key == attr.ObjectNameKey || kv.Key == attr.ObjectUIDKey
}

// describe says in a record what object it is about, as the spans about that do.
func (of *subject) describe(r *spans.Record, ev *podlife.Event) {
	var container *podlife.Container
	r.Subject = ev.Object.Subject()
	if of.pod != nil && ev.Container != "" {
		if i := slices.IndexFunc(of.pod.Containers, func(c *podlife.Container) bool { return c.Name == ev.Container }); i >= 0 {
			container = of.pod.Containers[i]
			r.Subject += " container/" + container.Name
		}
	}
	var attrs []attribute.KeyValue
	attrs, r.App = of.attributes(ev.Object, container)
	for _, kv := range attrs {
		if _, has := r.Attribute(kv.Key); !has && attr.OfObject(kv.Key) {
			r.Resource = append(r.Resource, kv)
		}
	}
}
