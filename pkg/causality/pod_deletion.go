package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// observeDeletion notes when the pod was asked to go, how long its containers were
// given, and when it was gone.
func (p *pod) observeDeletion(o Observation, in *corev1.Pod, arrival time.Time) {
	if !in.DeletionTimestamp.IsZero() && !p.leaving() {
		if in.DeletionGracePeriodSeconds != nil {
			p.grace = time.Duration(*in.DeletionGracePeriodSeconds) * time.Second
		}
		// metav1.ObjectMeta: deletionTimestamp is the request's time plus
		// the grace period.
		p.deleteAsked = inSecond(in.DeletionTimestamp.Add(-p.grace), arrival)
		p.deletion = newStamp(in.ResourceVersion, o)
	}
	if p.leaving() {
		p.observeRemoval(o, in)
	}
	if o.Type != watch.Deleted || p.gone.known() {
		return
	}
	p.gone, p.goneSeen = arrived(o.Time), o.Time
	if g := in.DeletionGracePeriodSeconds; !in.DeletionTimestamp.IsZero() && g != nil && *g == 0 && len(p.finalizers) == 0 {
		// The kubelet's last deletion, without grace, is the one that takes
		// effect, and says when, if no finalizer keeps the pod.
		p.gone = inSecond(in.DeletionTimestamp.Time, arrival)
	}
	if !p.leaving() {
		// Deleted at once (a pod that never ran), or we missed the request.
		p.deleteAsked = arrived(o.Time)
		p.deletion = newStamp(in.ResourceVersion, o)
	}
}

// observeRemoval looks at what there still is of a pod that is deleted without
// grace, or without any that is left.
func (p *pod) observeRemoval(o Observation, in *corev1.Pod) {
	if g := in.DeletionGracePeriodSeconds; o.Initial || g == nil || *g > 0 {
		return
	}
	running := func(s corev1.ContainerStatus) bool { return s.State.Running != nil }
	if slices.ContainsFunc(in.Status.ContainerStatuses, running) || slices.ContainsFunc(in.Status.InitContainerStatuses, running) {
		// The kubelet's own last deletion has no grace either, but comes after
		// it has reported the end of all containers.
		p.forced = true
	}
	if o.Type != watch.Deleted && len(in.Finalizers) > 0 {
		p.finalizers = slices.Clone(in.Finalizers)
	}
}
