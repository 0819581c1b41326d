package causality

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
)

// outdated reports whether an observation shows a state that is older than one which was seen
// already, as a list from a cache may. Resource versions of one object can be compared (KEP-5504;
// see CompareResourceVersion of k8s.io/apimachinery/pkg/util/resourceversion).
func (e *Engine) outdated(o Observation, meta metav1.Object) bool {
	obj := e.objects[kube.IDOf(o.Object, meta)]
	return obj != nil && !o.Inferred && o.Type != watch.Deleted && obj.Outdated(meta.GetResourceVersion())
}

// noteVersion notes the resource version of a state that was taken in.
func (e *Engine) noteVersion(o Observation, meta metav1.Object) {
	if obj := e.objects[kube.IDOf(o.Object, meta)]; obj != nil {
		obj.ObserveVersion(meta.GetResourceVersion())
	}
}

// beforeUsSlack is by how much clocks and arrival may make what was created when the engine
// began seem older than that.
const beforeUsSlack = 10 * time.Second

// wasListed reports whether an object was there before the engine was, and had got on, though
// nothing marks it as one of a first list: recordings that others made, as with
// `kubectl get --watch`, do not mark these.
func (e *Engine) wasListed(o Observation, meta metav1.Object) bool {
	created := meta.GetCreationTimestamp()
	return o.Type == watch.Added && !o.Inferred && !created.IsZero() && created.Add(beforeUsSlack).Before(e.since) &&
		o.Time.Before(e.since.Add(e.opts.Quiet)) && gotOn(o.Object)
}

// gotOn reports whether those who see to an object have seen it.
func gotOn(object runtime.Object) bool {
	switch in := object.(type) {
	case *corev1.Pod:
		return in.Status.Phase != corev1.PodPending && in.Status.Phase != "" || len(in.Status.ContainerStatuses) > 0
	case *appsv1.Deployment:
		return in.Status.ObservedGeneration > 0
	case *appsv1.ReplicaSet:
		return in.Status.ObservedGeneration > 0
	case *appsv1.StatefulSet:
		return in.Status.ObservedGeneration > 0
	case *appsv1.DaemonSet:
		return in.Status.ObservedGeneration > 0
	case *corev1.ReplicationController:
		return in.Status.ObservedGeneration > 0
	case *batchv1.Job:
		return in.Status.StartTime != nil
	}
	return false
}
