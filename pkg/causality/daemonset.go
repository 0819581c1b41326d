package causality

import (
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindDaemonSet = "DaemonSet"

var daemonSetController = controller{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(kindDaemonSet),
	service:          attr.ServiceDaemonSet,
	nameKey:          semconv.K8SDaemonSetNameKey,
	uidKey:           semconv.K8SDaemonSetUIDKey,
	numbers:          numberedByRevision,
	replaces:         replacedOnNode,
	scaledBy:         scaledByNodes,
	rolls:            true,
	freedBy:          freedWhenEnded,
	states:           statesOf[*appsv1.DaemonSet](readDaemonSet),
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*appsv1.DaemonSet); ok {
			return &in.Spec.Template
		}
		return nil
	},
}

// readDaemonSet takes the pods that the nodes ask for as its replicas.
func readDaemonSet(in *appsv1.DaemonSet, o Observation, d *workload) workloadState {
	status := &in.Status
	st := workloadState{
		generation: in.Generation,
		observed:   status.ObservedGeneration,
		replicas:   status.DesiredNumberScheduled,
		total:      status.CurrentNumberScheduled + status.NumberMisscheduled,
		available:  status.NumberAvailable,
		minReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		isNew:      status.ObservedGeneration == 0,
		unnumbered: status.ObservedGeneration == 0,
		onDelete:   in.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType,
	}
	written := writer(in.ManagedFields, true, nil).at
	st.first = in.Generation <= 1 || !written.IsZero() && !written.After(in.CreationTimestamp.Add(time.Second))
	st.readTemplate(&in.Spec.Template, d)

	seen := st.observed >= st.generation && st.observed != 0
	updated := status.UpdatedNumberScheduled >= st.replicas
	st.complete = seen && updated && st.available >= st.replicas
	st.scaled = seen && st.total == st.replicas && st.available >= st.replicas
	if updated && !st.complete && !st.isNew {
		// Pods are missing: new ones that are not ready yet, or ones that were
		// and are not any more.
		if written.IsZero() {
			written = in.CreationTimestamp.Time
		}
		st.rolledOut = !recent(written, o)
	}
	return st
}
