package stream

import "time"

// Doubt says of a time that an inferred observation states, or that it is of, what is known of
// it: it was not before Earliest and not after Latest. So a pod that was made 20 seconds before
// the next one of its StatefulSet was Ready at some time of these 20 seconds.
type Doubt struct {
	At, Earliest, Latest time.Time
	Of                   DoubtOf
	// Container is whose time it is, of a container; "" of any other.
	Container string
	// Stated says that an object states the time, of the latest of several changes.
	Stated bool
}

// BeyondSecond reports whether the time is known worse than to the second, and there is such a
// time, and one that it was not before.
func (d Doubt) BeyondSecond() bool {
	return !d.At.IsZero() && !d.Earliest.IsZero() && d.Latest.Sub(d.Earliest) > time.Second
}

// DoubtOf is what happened at a time that is in doubt. What else happened then is not.
type DoubtOf int

// What may be in doubt.
const (
	DoubtOfAny      DoubtOf = iota
	DoubtOfEnd              // a change ended
	DoubtOfReady            // a pod was Ready
	DoubtOfGone             // a pod was gone
	DoubtOfBooted           // a container had passed its startup probe
	DoubtOfRun              // a run of a container ended
	DoubtOfKill             // a run of a container was begun to be stopped
	DoubtOfUnready          // a pod was not Ready any more
	DoubtOfStep             // a ReplicaSet was scaled
	DoubtOfReason           // why no node took a pod was another reason
	DoubtOfRefusal          // why no node took a pod, as is stated, was since then
	DoubtOfCreation         // what the kubelet does for a container began with its start itself
	DoubtOfStart            // what is known of a pod's start, and not of a restart
)
