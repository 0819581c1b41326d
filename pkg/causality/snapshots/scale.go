package snapshots

import (
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// findScales finds the steps of the current ReplicaSet that came after the last
// revision was rolled out: the Deployment was scaled. All of them must be known
// from one number to the next, since else what was asked for is not.
func (d *snapshotDeployment) findScales(begin time.Time) {
	c := d.progress
	set := d.current()
	if set == nil || c == nil || c.Reason != workloads.NewReplicaSetAvailable || c.LastUpdateTime.IsZero() {
		return
	}
	var scales []*snapshotStep
	for _, s := range set.steps {
		if !s.at.Before(begin) && s.after(c.LastUpdateTime.Time) {
			scales = append(scales, s)
		}
	}
	for i, s := range scales {
		next := d.wanted()
		if i+1 < len(scales) {
			next = scales[i+1].from
		}
		if s.from == workloads.UnknownReplicas || s.to != next {
			return
		}
	}
	d.scales = scales
}

// after reports whether a step was made after the second in which a rollout was
// complete. In that second, it was if what it asked for came later still.
func (s *snapshotStep) after(second time.Time) bool {
	end := second.Add(time.Second)
	if !s.at.Before(end) {
		return true
	}
	if !s.at.After(second) || !s.up {
		return s.at.After(second)
	}
	done := s.set.reached(s)
	return !done.Before(end) || done.IsZero() && !s.set.lacksPods(s)
}

// emitScales emits the scales after a time, and returns when the last was done.
func (snap *snapshot) emitScales(d *snapshotDeployment, at time.Time) time.Time {
	last := &snapshotRevision{number: 0, set: d.current()}
	if n := len(d.revisions); n > 0 {
		last.number = d.revisions[n-1].number
	}
	for i, s := range d.scales {
		state := d.state(last, s.at, stateSettled)
		state.Generation = d.Generation - int64(len(d.scales)-1-i)
		w := s.to
		state.Spec.Replicas = &w
		at = evidence.Latest(at, s.at)
		snap.emit(at, rankSpec, watch.Modified, state)
		done := s.set.reached(s)
		if done.IsZero() || i+1 < len(d.scales) && !done.Before(d.scales[i+1].at) {
			continue // the next came first
		}
		done = evidence.Latest(done, at)
		state = new(*state)
		state.Status.ObservedGeneration = state.Generation
		state.Status.Replicas, state.Status.UpdatedReplicas, state.Status.AvailableReplicas = w, w, w
		at = done
		snap.emit(done, rankStatus, watch.Modified, state)
	}
	return at
}

// reached is when the pods that a step asked for were Ready, or those that it
// removed were deleted; zero if they were not, as far as known.
func (set *snapshotSet) reached(s *snapshotStep) time.Time {
	at, n := s.at, int32(0)
	for _, pod := range set.pods {
		switch {
		case s.up && !pod.born.Before(s.at) && !pod.ready.IsZero():
			at, n = evidence.Latest(at, pod.ready), n+1
		case !s.up && pod.removed && !pod.asked.Before(s.at):
			at, n = evidence.Latest(at, pod.asked), n+1
		}
	}
	if s.up && n < s.to-s.from {
		return time.Time{}
	}
	return at
}

// lacksPods reports whether pods that a step asked for are nowhere in the snapshot.
func (set *snapshotSet) lacksPods(s *snapshotStep) bool {
	n := int32(0)
	for _, pod := range set.pods {
		if !pod.born.Before(s.at) {
			n++
		}
	}
	return n < s.to-s.from
}
