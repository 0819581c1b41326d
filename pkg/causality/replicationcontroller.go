package causality

import (
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindReplicationController = "ReplicationController"

var replicationController = controller{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind(kindReplicationController),
	service:          attr.ServiceReplicationController,
	nameKey:          semconv.K8SReplicationControllerNameKey,
	uidKey:           semconv.K8SReplicationControllerUIDKey,
	states:           statesOf[*corev1.ReplicationController](readReplicationController),
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*corev1.ReplicationController); ok {
			return in.Spec.Template
		}
		return nil
	},
}

func readReplicationController(in *corev1.ReplicationController, o Observation, last *workload) workloadState {
	st := workloadState{
		generation: in.Generation,
		observed:   in.Status.ObservedGeneration,
		replicas:   wantedReplicas(in.Spec.Replicas),
		total:      in.Status.Replicas,
		available:  in.Status.AvailableReplicas,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
	}
	if in.Spec.Template != nil {
		st.readTemplate(in.Spec.Template, last)
	}
	st.fixed(in.CreationTimestamp.Time, o)
	return st
}
