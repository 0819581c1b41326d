package snapshots

import (
	"slices"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// dateEnds dates the ends of pods that were to stay and whose status does not say when the
// last container ended: that of an evicted pod has lost its containers in older versions of
// Kubernetes. The kubelet said when it began to end the pod; and it had ended when its
// controller made another, which it does at once.
func (snap *snapshot) dateEnds() {
	births := map[types.UID][]time.Time{} // of the pods of an owner, in order, that explain no end yet
	for _, pod := range snap.pods {
		if pod.final == nil || pod.owner == "" || !endedUndated(pod.final) {
			continue
		}
		if _, known := births[pod.owner]; !known {
			births[pod.owner] = birthsOf(snap.podsOf[pod.owner])
		}
		left := births[pod.owner]
		began, latest := snap.endBegan(pod), snap.end
		ended := began
		switch {
		case began.IsZero():
			// The pods of a set come in a batch, of which one does not replace the other.
			began = pod.born.Add(batch)
		default:
			latest = began.Add(graceOf(&pod.final.Spec) + evidence.ArrivalSlack)
		}
		next := sort.Search(len(left), func(i int) bool { return left[i].After(began) })
		if next < len(left) && !left[next].After(latest) {
			ended = left[next]
			births[pod.owner] = slices.Delete(left, next, next+1)
		}
		if !ended.IsZero() {
			// The state of the snapshot comes with the last fact.
			at := evidence.Latest(ended, pod.newest)
			pod.doubt(stream.Doubt{At: at, Earliest: evidence.Earliest(began, at), Latest: evidence.Latest(latest, at)})
			pod.learn(at, func(*corev1.Pod) {})
		}
	}
}

// batch is how long a controller may take to make the pods that one scale asks for.
const batch = 10 * time.Second

// graceOf is how long a pod is given to stop.
func graceOf(spec *corev1.PodSpec) time.Duration {
	if g := spec.TerminationGracePeriodSeconds; g != nil {
		return kube.GracePeriod(*g)
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

func birthsOf(pods []*snapshotPod) []time.Time {
	births := make([]time.Time, 0, len(pods))
	for _, pod := range pods {
		births = append(births, pod.born)
	}
	slices.SortFunc(births, time.Time.Compare)
	return births
}

// endedUndated reports whether a pod that was to stay has ended, and does not say when.
func endedUndated(in *corev1.Pod) bool {
	if kube.IsFinite(in) || in.Status.Phase != corev1.PodFailed && in.Status.Phase != corev1.PodSucceeded {
		return false
	}
	if !podlife.Admitted(in.Status.Reason, in.Status.Message) {
		return false // it ended when it was to start
	}
	for _, s := range kube.ContainerStatuses(in) {
		if t := s.State.Terminated; t != nil && !t.FinishedAt.IsZero() {
			return false
		}
	}
	return true
}

// isAbandoned reports whether a pod has ended of which a container still runs by its status: its kubelet
// did not end it.
func isAbandoned(in *corev1.Pod) bool {
	if in.Status.Phase != corev1.PodFailed && in.Status.Phase != corev1.PodSucceeded {
		return false
	}
	return slices.ContainsFunc(kube.ContainerStatuses(in), func(s *corev1.ContainerStatus) bool { return s.State.Running != nil })
}

// doubtAbandoned says of a pod that was abandoned that it ended at some time since the last thing that is
// known of it: whoever has written that it did has left no condition that says when.
func (pod *snapshotPod) doubtAbandoned(end time.Time) {
	if pod.final == nil || !pod.asked.IsZero() || !isAbandoned(pod.final) || !pod.holdsSince(corev1.DisruptionTarget).IsZero() {
		return
	}
	d := stream.Doubt{At: pod.newest, Earliest: pod.newest, Latest: end}
	if kube.IsFinite(pod.final) {
		d.Of = stream.DoubtOfReady
	}
	pod.doubt(d)
}

// endBegan is when the kubelet said that it ends the pod; zero if it did not.
func (snap *snapshot) endBegan(pod *snapshotPod) time.Time {
	var began time.Time
	for _, ev := range snap.eventsOf[pod.uid] {
		if podlife.KubeletEnds(ev.Reason) || ev.stopsPod() {
			began = evidence.Earliest(began, ev.first)
		}
	}
	for i := range pod.final.Status.Conditions {
		c := &pod.final.Status.Conditions[i]
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && began.IsZero() {
			began = c.LastTransitionTime.Time
		}
	}
	return began
}
