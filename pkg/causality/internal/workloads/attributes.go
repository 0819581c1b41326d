package workloads

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

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

// Attributes are on every span of the workload's traces.
func (w *Workload) Attributes() []attribute.KeyValue {
	attrs := AttributesOf(w.Object)
	if c := w.CronJob; c != nil {
		attrs = append(attrs, semconv.K8SCronJobName(c.Name), semconv.K8SCronJobUID(string(c.ID.UID)))
	}
	return attrs
}

// Attributes name the set where the workload's do not.
func (set *PodSet) Attributes() []attribute.KeyValue {
	if set.Direct() {
		return nil
	}
	return []attribute.KeyValue{
		semconv.K8SReplicaSetName(set.Name),
		semconv.K8SReplicaSetUID(string(set.UID)),
	}
}
