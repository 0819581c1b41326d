package causality

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

func readStatefulSet(in *appsv1.StatefulSet, o Observation, d *workload) workloadState {
	status := &in.Status
	st := workloadState{
		generation:   in.Generation,
		observed:     status.ObservedGeneration,
		revisionName: status.UpdateRevision,
		replicas:     wantedReplicas(in.Spec.Replicas),
		total:        status.Replicas,
		available:    status.ReadyReplicas,
		minReady:     time.Duration(in.Spec.MinReadySeconds) * time.Second,
		isNew:        status.ObservedGeneration == 0 || status.UpdateRevision == "",
		unnumbered:   status.UpdateRevision == "",
		first:        status.CurrentRevision == status.UpdateRevision,
	}
	if st.minReady > 0 {
		st.available = status.AvailableReplicas // older clusters leave it at 0
	}
	if ru := in.Spec.UpdateStrategy.RollingUpdate; ru != nil && ru.Partition != nil {
		st.partition = *ru.Partition
	}
	st.readTemplate(&in.Spec.Template, d)

	// Pods that a partition protects, or that wait for someone to delete them
	// (OnDelete), are not waited for.
	updated := status.UpdatedReplicas >= st.replicas-st.partition
	seen := st.observed >= st.generation && st.observed != 0
	st.complete = seen && updated && status.ReadyReplicas >= st.replicas
	st.scaled = seen && st.total == st.replicas && st.available >= st.replicas
	switch {
	case st.isNew || st.complete:
	case st.first:
		// Nothing says whether pods are missing because they are still to be
		// made or because they were lost.
		st.rolledOut = in.Generation > 1 || !recent(in.CreationTimestamp.Time, o)
	default:
		st.rolledOut = updated && !recent(writer(in.ManagedFields, true, nil).at, o)
	}
	return st
}
