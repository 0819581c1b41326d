package causality

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

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
