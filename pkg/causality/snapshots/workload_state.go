package snapshots

import (
	"cmp"
	"slices"
	"sort"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// directReplicas is how many pods a workload wants.
func directReplicas(o runtime.Object) int32 {
	switch in := o.(type) {
	case *appsv1.StatefulSet:
		return workloads.WantedReplicas(in.Spec.Replicas)
	case *appsv1.DaemonSet:
		return in.Status.DesiredNumberScheduled
	case *corev1.ReplicationController:
		return workloads.WantedReplicas(in.Spec.Replicas)
	case *appsv1.ReplicaSet:
		return workloads.WantedReplicas(in.Spec.Replicas)
	}
	return 0
}

// state is the workload as it was, in a rollout that so many came after. The
// template is known of the last one only.
func (d *snapshotDirect) state(how directPhase, before, revision string, left int, at time.Time) runtime.Object {
	n := d.wanted
	if left > 0 {
		n = max(n, 1) // none would be rolled out at once
	}
	updated := int32(0)
	if how == directSettled {
		updated = n
	}
	var to metav1.Object
	switch of := d.object.(type) {
	case *appsv1.StatefulSet:
		in := new(*of)
		to = in
		in.Generation = max(in.Generation-int64(left), 1)
		in.Spec.Replicas = &n
		if left > 0 {
			in.Spec.Template = otherTemplate(revision)
		}
		in.Status = appsv1.StatefulSetStatus{}
		if how != directNew {
			in.Status = appsv1.StatefulSetStatus{
				ObservedGeneration: in.Generation, CurrentRevision: cmp.Or(before, revision), UpdateRevision: revision,
				Replicas: n, ReadyReplicas: n, AvailableReplicas: n, UpdatedReplicas: updated,
			}
		}
	case *appsv1.DaemonSet:
		in := new(*of)
		to = in
		in.Generation = max(in.Generation-int64(left), 1)
		if left > 0 {
			in.Spec.Template = otherTemplate(revision)
		}
		in.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: n}
		if how != directNew {
			in.Status = appsv1.DaemonSetStatus{
				ObservedGeneration: in.Generation, DesiredNumberScheduled: n, CurrentNumberScheduled: n,
				UpdatedNumberScheduled: updated, NumberAvailable: n, NumberReady: n,
			}
		}
	case *corev1.ReplicationController:
		in := new(*of)
		to = in
		in.Spec.Replicas = &n
		in.Status = corev1.ReplicationControllerStatus{}
		if how == directSettled {
			in.Status = corev1.ReplicationControllerStatus{ObservedGeneration: in.Generation, Replicas: n, ReadyReplicas: n, AvailableReplicas: n}
		}
	case *appsv1.ReplicaSet:
		in := new(*of)
		to = in
		in.Spec.Replicas = &n
		in.Status = appsv1.ReplicaSetStatus{}
		if how == directSettled {
			in.Status = appsv1.ReplicaSetStatus{ObservedGeneration: in.Generation, Replicas: n, ReadyReplicas: n, AvailableReplicas: n}
		}
	}
	to.SetManagedFields(d.fields.until(at))
	return to.(runtime.Object)
}

// directPhase is how far a rollout of a workload that makes its pods itself has come.
type directPhase int

const (
	directNew directPhase = iota
	directBegun
	directSettled
)

// otherTemplate is a template of which nothing is known but that it is another.
func otherTemplate(revision string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}}}
}

// fieldHistory are the dated managed fields of an object, in order of their times.
type fieldHistory []metav1.ManagedFieldsEntry

func newFieldHistory(of metav1.Object) fieldHistory {
	dated := slices.DeleteFunc(slices.Clone(of.GetManagedFields()), func(m metav1.ManagedFieldsEntry) bool { return m.Time == nil })
	slices.SortStableFunc(dated, func(a, b metav1.ManagedFieldsEntry) int { return a.Time.Compare(b.Time.Time) })
	return dated
}

// until are those of a time: they leave out who wrote to the object later.
func (f fieldHistory) until(at time.Time) []metav1.ManagedFieldsEntry {
	n := sort.Search(len(f), func(i int) bool { return f[i].Time.After(at) })
	return f[:n:n]
}
