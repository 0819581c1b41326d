package snapshots

import (
	"cmp"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// roster is which pods a snapshot has. Whoever took it may have left pods out, or all of them. So
// that a pod is not in it does not say that the pod is gone.
type roster struct {
	of    map[types.UID]int32 // how many pods it has of an owner, as the owner counts them
	names map[types.NamespacedName]bool
	in    map[string]bool // the namespaces of which it has any
}

func newRoster(pods []*snapshotPod, makers map[types.UID]*maker) roster {
	r := roster{of: map[types.UID]int32{}, names: map[types.NamespacedName]bool{}, in: map[string]bool{}}
	for _, pod := range pods {
		r.names[types.NamespacedName{Namespace: pod.final.Namespace, Name: pod.name}] = true
		r.in[pod.final.Namespace] = true
		if m := makers[pod.owner]; m != nil && countsPod(m.Object, pod.final) {
			r.of[pod.owner]++
		}
	}
	return r
}

// countsPod reports whether the status of an owner counts a pod: Jobs count those that have ended,
// and StatefulSets those that are being deleted.
func countsPod(owner metav1.Object, in *corev1.Pod) bool {
	ended := in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed
	switch owner.(type) {
	case *batchv1.Job:
		return true
	case *appsv1.StatefulSet:
		return !ended
	default:
		return !ended && in.DeletionTimestamp == nil
	}
}

// isGone reports whether a pod is gone that Events tell of, and that the snapshot has not: an Event
// tells of its end, another pod has its name, or its owner counts no more pods than there are.
func (snap *snapshot) isGone(made *maker, uid types.UID, name string) bool {
	if snap.isEnding(made, uid, name) || snap.roster.names[types.NamespacedName{Namespace: made.GetNamespace(), Name: name}] {
		return true
	}
	return !snap.maybeUnlisted(uid) && !snap.lacksPods(made.Object)
}

// lacksPods reports whether an owner says that it has more pods than the snapshot.
func (snap *snapshot) lacksPods(owner metav1.Object) bool {
	has := snap.roster.of[owner.GetUID()]
	counted, known := countedBy(owner, has)
	return has < counted || !known && !snap.roster.in[owner.GetNamespace()]
}

// isEnding reports whether an Event tells of the end of a pod.
func (snap *snapshot) isEnding(made *maker, uid types.UID, name string) bool {
	return len(snap.removedAfter(made.GetUID(), name, snap.eventsOf[uid])) > 0 || !endSaid(snap.eventsOf[uid]).IsZero()
}

// endSaid is when somebody said that a pod is to go, or that it stops; zero if nobody did. A pod
// of which a container was started later did not end by that: its sandbox was made anew.
func endSaid(events []*snapshotEvent) (at time.Time) {
	var started time.Time
	for _, ev := range events {
		if ev.Reason == "Started" {
			started = evidence.Latest(started, ev.last())
		}
	}
	var stops, announced time.Time
	for _, ev := range events {
		for _, at := range ev.occurrences() {
			switch {
			case at.Before(started):
			case ev.stopsPod():
				stops = evidence.Earliest(stops, at)
			case ev.announcesEnd():
				announced = evidence.Earliest(announced, at)
			}
		}
	}
	return cmp.Or(stops, announced)
}

// announcesEnd reports whether the kubelet says that it ends a pod, or a controller that it deletes one.
func (ev *snapshotEvent) announcesEnd() bool {
	return podlife.KubeletEnds(ev.Reason) || podlife.ControllerDeletes(ev.Reason, ev.Message)
}

// countedBy is how many pods an owner says that it has, of which the snapshot has some, if it says so.
// One whose status is not there, or older than its spec or than a pod, may have as many as it wants.
func countedBy(owner metav1.Object, has int32) (n int32, known bool) {
	wanted, seen := int32(0), int64(0)
	switch in := owner.(type) {
	case *batchv1.Job:
		return in.Status.Active + in.Status.Succeeded + in.Status.Failed, true
	case *appsv1.ReplicaSet:
		wanted, seen = workloads.WantedReplicas(in.Spec.Replicas), in.Status.ObservedGeneration
	case *appsv1.StatefulSet:
		wanted, seen = workloads.WantedReplicas(in.Spec.Replicas), in.Status.ObservedGeneration
	case *corev1.ReplicationController:
		wanted, seen = workloads.WantedReplicas(in.Spec.Replicas), in.Status.ObservedGeneration
	case *appsv1.DaemonSet:
		wanted, seen = max(in.Status.DesiredNumberScheduled, 1), in.Status.ObservedGeneration
	}
	counted, _ := kube.StatedPods(owner.(runtime.Object)) // it was made of one
	if seen == 0 || seen < owner.GetGeneration() || has > counted {
		return max(counted, wanted), seen > 0
	}
	return counted, true
}

// isCleaned reports whether an object whose past begins with its creation does not say when that was,
// and counts it.
func (snap *snapshot) isCleaned(o runtime.Object, meta metav1.Object) bool {
	if created := meta.GetCreationTimestamp(); !created.IsZero() {
		return false
	}
	_, cleaned := kube.StatedPods(o)
	switch o.(type) {
	case *corev1.Pod, *appsv1.Deployment, *appsv1.ControllerRevision, *batchv1.Job:
		cleaned = true
	}
	if cleaned {
		snap.found.Cleaned++
	}
	return cleaned
}
