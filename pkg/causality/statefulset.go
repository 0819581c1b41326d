package causality

import (
	"strconv"
	"strings"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const kindStatefulSet = "StatefulSet"

// A rollout is complete when the pods are ready (completeRollingUpdate of
// k8s.io/kubernetes/pkg/controller/statefulset), though the controller makes the next
// pod only after minReadySeconds.
var statefulSetController = controller{
	GroupVersionKind:  appsv1.SchemeGroupVersion.WithKind(kindStatefulSet),
	service:           attr.ServiceStatefulSet,
	nameKey:           semconv.K8SStatefulSetNameKey,
	uidKey:            semconv.K8SStatefulSetUIDKey,
	numbers:           numberedByNamedRevision,
	replaces:          replacedByName,
	rolls:             true,
	completeWhenReady: true,
	states:            statesOf[*appsv1.StatefulSet](readStatefulSet),
	template: func(object metav1.Object) *corev1.PodTemplateSpec {
		if in, ok := object.(*appsv1.StatefulSet); ok {
			return &in.Spec.Template
		}
		return nil
	},
}

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
	if in.Spec.Ordinals != nil {
		st.firstOrdinal = in.Spec.Ordinals.Start
	}
	st.readTemplate(&in.Spec.Template, d)

	// The controller counts all pods of the new revision. Those that a partition
	// protects are not waited for, but where they have that revision, as after a
	// rollback; nor can pods that a scale down is still to remove stand in for
	// others. kubectl overlooks both.
	protected := st.partition
	if st.first {
		protected = 0
	}
	st.ready, st.onDelete = status.ReadyReplicas, in.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	st.inOrder = in.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	updated := status.UpdatedReplicas >= st.replicas-protected
	st.updated = updated && st.total <= st.replicas
	seen := st.observed >= st.generation && st.observed != 0
	ready := seen && st.ready >= st.replicas
	st.complete = ready && st.updated
	st.scaled = seen && st.total == st.replicas && st.available >= st.replicas
	switch {
	case st.isNew || st.complete:
	case ready && updated:
		st.rolledOut = true // but for the scale down
	case st.first:
		// Nothing says whether pods are missing because they are still to be
		// made or because they were lost.
		st.rolledOut = in.Generation > 1 || !recent(in.CreationTimestamp.Time, o)
	default:
		st.rolledOut = updated && !recent(writer(in.ManagedFields, true, nil).at, o)
	}
	return st
}

// ordinals are the numbers that a StatefulSet's pods have.
type ordinals struct{ first, count int32 }

func (st *workloadState) ordinals() ordinals { return ordinals{st.firstOrdinal, st.replicas} }

// without is how many of these are not among the others.
func (o ordinals) without(others ordinals) int32 {
	common := min(o.first+o.count, others.first+others.count) - max(o.first, others.first)
	return max(o.count-max(common, 0), 0)
}

// renumbering is what a change of spec.ordinals.start asks for. Pods are made at one end
// and removed at the other, so that the number of them, all that the status tells, is the
// same before the controller has begun as when it is done.
type renumbering struct {
	was, is ordinals
	due     int32 // how many of the pods that it asks for have not come
}

// renumber notes that pods are to have other numbers.
func (c *change) renumber(d *workload, st workloadState) {
	was := d.ordinals()
	cur := d.current()
	stopped := cur != nil && !cur.ended && cur.due > 0
	if was.first == st.firstOrdinal && !stopped {
		return
	}
	if stopped && cur.due == cur.is.without(cur.was) {
		was = cur.was // nothing of that was done
	}
	c.renumbering = renumbering{was: was, is: st.ordinals()}
	c.due = c.is.without(c.was)
}

// recount notes the pods that have come since the last state: there are more of them, or,
// where others went at the same time, fewer that are ready.
func (c *change) recount(last, st workloadState) {
	if c != nil && c.due > 0 {
		c.due = max(c.due-max(st.total-last.total, last.ready-st.ready, 0), 0)
	}
}

// ordinal is the number of a StatefulSet's pod, -1 if its name has none.
func (p *pod) ordinal() int {
	n, err := strconv.Atoi(p.name[strings.LastIndexByte(p.name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}
