package workloads

import (
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindDaemonSet = "DaemonSet"

var daemonSetController = Controller{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind(kindDaemonSet),
	service:          attr.ServiceDaemonSet,
	nameKey:          semconv.K8SDaemonSetNameKey,
	uidKey:           semconv.K8SDaemonSetUIDKey,
	labelKey:         semconv.K8SDaemonSetLabel,
	annotationKey:    semconv.K8SDaemonSetAnnotation,
	named:            namedForGood,
	Numbers:          numberedByRevision,
	Replaces:         ReplacedOnNode,
	ScaledBy:         ScaledByNodes,
	rolls:            true,
	FreedBy:          FreedWhenEnded,
	States:           statesOf[*appsv1.DaemonSet](ReadDaemonSet),
	Template:         templateIn(func(in *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &in.Spec.Template }),
}

// ReadDaemonSet takes the pods that the nodes ask for as its replicas.
func ReadDaemonSet(in *appsv1.DaemonSet, o stream.Observation, w *Workload) State {
	status := &in.Status
	st := State{
		generation: in.Generation,
		observed:   status.ObservedGeneration,
		replicas:   status.DesiredNumberScheduled,
		// Those on nodes that are not fit for them any more do not count: where a taint NoSchedule made a
		// node unfit they stay (NodeShouldRunDaemonPod of k8s.io/kubernetes/pkg/controller/daemon).
		total:      status.CurrentNumberScheduled,
		Available:  status.NumberAvailable,
		MinReady:   time.Duration(in.Spec.MinReadySeconds) * time.Second,
		IsNew:      status.ObservedGeneration == 0,
		unnumbered: status.ObservedGeneration == 0,
		OnDelete:   in.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType,
	}
	written := kube.Writer(in.ManagedFields, true, nil).At
	st.First = in.Generation <= 1 || !written.IsZero() && !written.After(in.CreationTimestamp.Add(time.Second))
	st.readTemplate(&in.Spec.Template, w)

	seen := st.observed >= st.generation && st.observed != 0
	updated := status.UpdatedNumberScheduled >= st.replicas
	st.Complete = seen && updated && st.Available >= st.replicas
	st.Scaled = seen && st.total == st.replicas && st.Available >= st.replicas
	noneOld := st.total > 0 && status.UpdatedNumberScheduled >= st.total // and a node may be new
	if (updated || noneOld) && !st.Complete && !st.IsNew {
		// Pods are missing: new ones that are not ready yet, or ones that were
		// and are not any more.
		if written.IsZero() {
			written = in.CreationTimestamp.Time
		}
		st.RolledOut = !recent(written, o)
	}
	return st
}
