package workloads

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The status of a StatefulSet that is rolled back to its current revision, and waits for a pod of
// the broken one, is like that of a StatefulSet of which a pod is being deleted: it names one
// revision, and counts a pod that does not have it. Only the pod tells which of them it is. So it is with a rollout
// that waits for an old pod where the status names the current revision for good: with the strategy OnDelete, or
// with a partition.

// suspectRollback notes that the list which the watch began with may show a rollback, or such a rollout.
func (w *Workload) suspectRollback(meta metav1.Object, st State, write evidence.Write, o stream.Observation) {
	who := w.writer(meta.GetManagedFields(), true)
	c := w.firstChange(st, who, write)
	c.startedBy(meta.GetCreationTimestamp().Time, who, false, time.Time{}, o.Time)
	c.Listed, c.Ready = true, max(st.ready, 0)
	w.suspected = c
}

// endSuspected ends a rollback that is not proven yet.
func (w *Workload) endSuspected(how attr.Outcome, at evidence.Moment, write evidence.Write) {
	if c := w.suspected; c != nil && !c.Ended {
		c.Finish(how, at, write)
	}
}

// ConfirmRollback begins what the first state of the workload may have shown, if one of its pods was there then
// with another revision, and not as the partition protects it. It reports whether it did.
func (w *Workload) ConfirmRollback(pods []*podlife.Pod) bool {
	c := w.suspected
	w.suspected = nil
	if c == nil {
		return false
	}
	var made time.Time // the newest of these pods, before which nobody rolled it back
	for _, pod := range pods {
		if pod.Initial && pod.RevisionName != "" && pod.RevisionName != c.RevisionName && !w.protects(c, pod) {
			made = evidence.Latest(made, pod.Created.Earliest)
		}
	}
	if made.IsZero() {
		return false
	}
	c.Opened = evidence.Write{Arrival: c.Start.Earliest}
	if c.Start.Earliest.IsZero() {
		c.Since, c.Opened = made, evidence.Write{Arrival: made}
		w.DoubtArrival(stream.Doubt{At: c.Start.Latest, Earliest: made, Latest: c.Start.Latest})
	}
	w.Changes = append([]*Change{c}, w.Changes...)
	if c == w.Current() {
		c.Ready = max(w.ready, 0)
	}
	return true
}

// protects reports whether the partition of a StatefulSet's rollout keeps the revision that a pod has.
func (w *Workload) protects(c *Change, pod *podlife.Pod) bool {
	return c.Partition > 0 && Ordinal(pod)-int(w.firstOrdinal) < int(c.Partition)
}
