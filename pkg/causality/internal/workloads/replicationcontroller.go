package workloads

import (
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindReplicationController = "ReplicationController"

var replicationController = Controller{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind(kindReplicationController),
	service:          attr.ServiceReplicationController,
	nameKey:          semconv.K8SReplicationControllerNameKey,
	uidKey:           semconv.K8SReplicationControllerUIDKey,
	named:            namedForGood,
	States:           statesOf[*corev1.ReplicationController](ReadReplicationController),
	Template:         templateIn(func(in *corev1.ReplicationController) *corev1.PodTemplateSpec { return in.Spec.Template }),
}

// ReadReplicationController reads the state of a ReplicationController.
func ReadReplicationController(in *corev1.ReplicationController, o stream.Observation, last *Workload) State {
	st := State{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   WantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		Available:  in.Status.AvailableReplicas,
		MinReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
	}
	if in.Spec.Template != nil {
		st.readTemplate(in.Spec.Template, last)
	}
	st.fixed(in.CreationTimestamp.Time, o)
	return st
}
