package stream

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Observation is one thing the watcher saw: an object's state at a time.
//
// The engine understands *corev1.Pod, *corev1.Node, *corev1.Event and, typed, the
// workloads that make pods; of any other object it uses the metadata. A deletion
// that was only noticed by its absence from a list may come as
// *metav1.PartialObjectMetadata with kind, namespace, name and UID.
//
// The engine keeps no reference to Object after Observe has returned.
type Observation struct {
	// Time is when the state arrived at the watcher. It is evidence (the
	// best there is for what the API states in whole seconds) and moves the
	// engine's stream time forward.
	Time time.Time
	// Type is Added, Modified or Deleted.
	Type   watch.EventType
	Object runtime.Object
	// Initial marks objects of the list a watch starts with. Their arrival
	// says nothing about when they were written.
	Initial bool
	// Since is, where the news of what happened came late, as nobody looked, since when it may
	// have happened, by the API server's clock: Time is then by when it had. Zero where the news
	// came at once.
	Since time.Time
	// Inferred marks what Reconstruct made of a snapshot. What happened before
	// that may be missing, so that what is not seen need not have been absent.
	Inferred bool
	// CountUnknown says of a workload in such an observation that how many pods it wanted is
	// not known: it was scaled later, and the number that it states is a later one.
	CountUnknown bool
	// Doubts are, in such an observation, of times of the object that are known worse than to
	// the second.
	Doubts []Doubt
}

// Arrival is Time where that dates what the object tells, zero where it does not.
func (o Observation) Arrival() time.Time {
	if o.Initial {
		return time.Time{}
	}
	return o.Time
}

// OverAt is by when that was over which o tells of: Time, which of late news is estimated to the
// second.
func (o Observation) OverAt() time.Time {
	if o.Since.IsZero() {
		return o.Time
	}
	return o.Time.Add(time.Second)
}
