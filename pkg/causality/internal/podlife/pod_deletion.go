package podlife

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// ObserveDeletion notes when the pod was asked to go, how long its containers were
// given, and when it was gone.
func (p *Pod) ObserveDeletion(o stream.Observation, in *corev1.Pod, arrival time.Time) {
	if !in.DeletionTimestamp.IsZero() && !p.Leaving() {
		if in.DeletionGracePeriodSeconds != nil {
			p.Grace = time.Duration(*in.DeletionGracePeriodSeconds) * time.Second
		}
		// metav1.ObjectMeta: deletionTimestamp is the request's time plus
		// the grace period.
		p.DeleteAsked = evidence.InSecond(in.DeletionTimestamp.Add(-p.Grace), arrival)
		p.DeleteAskedBy = evidence.NewWrite(in.ResourceVersion, o)
	}
	if p.Leaving() {
		p.observeRemoval(o, in)
	}
	if o.Type != watch.Deleted || p.Gone.Known() {
		return
	}
	p.Gone, p.GoneSeen = evidence.Arrived(o.Time), o.Time
	if g := in.DeletionGracePeriodSeconds; !in.DeletionTimestamp.IsZero() && g != nil && *g == 0 && len(p.Finalizers) == 0 {
		// The kubelet's last deletion, without grace, is the one that takes
		// effect, and says when, if no finalizer keeps the pod.
		p.Gone = evidence.InSecond(in.DeletionTimestamp.Time, arrival)
	}
	if !p.Leaving() {
		// Deleted at once (a pod that never ran), or we missed the request.
		p.DeleteAsked = evidence.Arrived(o.Time)
		p.DeleteAskedBy = evidence.NewWrite(in.ResourceVersion, o)
	}
}

// observeRemoval looks at what there still is of a pod that is deleted without
// grace, or without any that is left.
func (p *Pod) observeRemoval(o stream.Observation, in *corev1.Pod) {
	if g := in.DeletionGracePeriodSeconds; o.Initial || g == nil || *g > 0 || p.Mirrors.UID != "" {
		return // a mirror is only an image: what it says of containers is of when the kubelet made it
	}
	running := func(s corev1.ContainerStatus) bool { return s.State.Running != nil }
	if slices.ContainsFunc(in.Status.ContainerStatuses, running) || slices.ContainsFunc(in.Status.InitContainerStatuses, running) {
		// The kubelet's own last deletion has no grace either, but comes after
		// it has reported the end of all containers.
		p.Forced = true
	}
	if o.Type != watch.Deleted && len(in.Finalizers) > 0 {
		p.Finalizers = slices.Clone(in.Finalizers)
	}
}

// observeDisruption takes in the condition DisruptionTarget. It is withdrawn where nothing
// came of it: an eviction was asked for, and then not made
// (k8s.io/kubernetes/pkg/controller/disruption: stalePodDisruptionTimeout).
func (p *Pod) observeDisruption(c *corev1.PodCondition, at evidence.Moment) {
	switch {
	case c.Status == corev1.ConditionTrue:
		p.Disruption, p.Disrupted = c.Reason, at
	case !p.Lost():
		p.Disruption, p.Disrupted = "", evidence.Moment{}
	}
}
