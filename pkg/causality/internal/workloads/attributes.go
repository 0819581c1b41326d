package workloads

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Service is the component that works for a workload.
func (w *Workload) Service() string { return w.Controller.service }

// Service is the component that makes the set's pods.
func (set *PodSet) Service(w *Workload) string {
	if set.Direct() {
		return w.Service()
	}
	return attr.ServiceReplicaSet
}

// Target is whose changes a workload's are, by a name that the next one has too:
// "shop/web", and of a Job of a CronJob the CronJob's. It is empty where the next one
// is called something else.
func (w *Workload) Target() string {
	name := w.Name
	switch {
	case w.CronJob != nil:
		name = w.CronJob.Name
	case w.Controller.named == namedAnew, w.Controller.named == namedByOwner && w.Owned != kube.OwnerRef{}:
		return ""
	}
	if name == "" {
		return "" // only its UID is known
	}
	return w.Namespace + "/" + name
}

// Attributes are on every span of the workload's traces.
func (w *Workload) Attributes() []attribute.KeyValue {
	attrs := AttributesOf(w.Object)
	if c := w.CronJob; c != nil {
		attrs = append(attrs, semconv.K8SCronJobName(c.Name), semconv.K8SCronJobUID(string(c.ID.UID)))
	}
	return append(append(attrs, w.shown...), w.ClockOffsets()...)
}

// Attributes name the set where the workload's do not.
func (set *PodSet) Attributes() []attribute.KeyValue {
	if set.Direct() {
		return nil
	}
	return append([]attribute.KeyValue{
		semconv.K8SReplicaSetName(set.Name),
		semconv.K8SReplicaSetUID(string(set.UID)),
	}, set.ClockOffsets()...)
}
