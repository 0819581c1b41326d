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
		p.askedBefore(o, in)
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

// askedBefore notes of a pod that is first seen when its kubelet has stopped it, and deletes it
// for good, with no grace period, that it was asked to go before, within the grace period of its
// spec. By then the API server has forgotten when.
func (p *Pod) askedBefore(o stream.Observation, in *corev1.Pod) {
	grace := in.Spec.TerminationGracePeriodSeconds
	if !o.Initial || p.Grace > 0 || grace == nil || *grace <= 0 || *grace > maxGrace || p.Mirrors != "" || len(in.Status.ContainerStatuses) == 0 {
		return
	}
	if slices.ContainsFunc(in.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Terminated == nil }) {
		return
	}
	p.Grace = time.Duration(*grace) * time.Second
	at := p.DeleteAsked.At()
	p.DeleteAsked = evidence.Moment{Earliest: evidence.Latest(in.CreationTimestamp.Time, in.DeletionTimestamp.Add(-p.Grace-evidence.ArrivalSlack)), Latest: at}
	p.DoubtArrival(stream.Doubt{At: at, Earliest: p.DeleteAsked.Earliest, Latest: at})
}

// maxGrace bounds the grace periods that are believed, in seconds.
const maxGrace = 24 * 60 * 60

// observeRemoval looks at what there still is of a pod that is deleted without
// grace, or without any that is left.
func (p *Pod) observeRemoval(o stream.Observation, in *corev1.Pod) {
	if g := in.DeletionGracePeriodSeconds; o.Initial || g == nil || *g > 0 || p.Mirrors != "" {
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
