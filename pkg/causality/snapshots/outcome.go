package snapshots

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// judge finds out how a revision ended; next are those that came after it.
func (d *snapshotDeployment) judge(r *snapshotRevision, next []*snapshotRevision) {
	if len(next) == 0 {
		d.judgeLast(r)
		return
	}
	until := next[0].began
	if emptied, ok := d.emptied(r, until); ok {
		// What the old pods were removed for is that new ones were available.
		for _, pod := range r.set.pods {
			if pod.final == nil && pod.ready.IsZero() && !pod.troubled && !pod.born.Before(r.began) && pod.alive(until) && emptied.After(pod.born) {
				pod.beReady(emptied)
			}
		}
		if ready, n := r.set.readyBy(until); n >= d.wantedFirst() {
			r.completed = evidence.Latest(emptied, ready)
			return
		}
	}
	// The condition Progressing came back with the next revision, so it had
	// been lost before: the controller loses it when the deadline is over.
	// There was a deadline, it had passed, and there was trouble.
	c := d.progress
	if c == nil || d.deadline() == 0 || c.Status != corev1.ConditionTrue ||
		!c.LastTransitionTime.Time.Equal(until.Truncate(time.Second)) {
		return
	}
	if at := r.began.Truncate(time.Second).Add(d.deadline()); at.Before(until) && r.set.inTrouble(r.began, until) {
		r.failed = at
	}
}

func (d *snapshotDeployment) judgeLast(r *snapshotRevision) {
	c := d.progress
	switch {
	case c != nil && c.Status == corev1.ConditionFalse && c.Reason == workloads.ProgressDeadlineExceeded:
		r.failed = c.LastTransitionTime.Time
	case !d.over():
	case c != nil && c.Reason == workloads.NewReplicaSetAvailable && !c.LastUpdateTime.Time.Before(r.began.Truncate(time.Second)):
		r.completed = c.LastUpdateTime.Time
	default:
		ready, _ := r.set.readyBy(time.Time{})
		emptied, _ := d.emptied(r, time.Time{})
		r.completed = evidence.Latest(r.began, emptied, ready)
	}
	if r.completed.IsZero() {
		return
	}
	for _, s := range d.steps.all {
		// The steps of the second in which it was complete led to it.
		if s.at.Truncate(time.Second).Equal(r.completed) && !slices.Contains(d.scales, s) {
			r.completed = evidence.Latest(r.completed, s.at)
		}
	}
}

// concludeReady dates the first readiness of pods that lost it later, of which
// their condition says nothing any more: a rollout was complete because its pods
// were available. Without minReadySeconds that is when the last was Ready.
func (d *snapshotDeployment) concludeReady(r *snapshotRevision) {
	if r.completed.IsZero() {
		return
	}
	var pods []*snapshotPod
	for _, pod := range r.set.pods {
		if pod.born.Before(r.completed) && pod.alive(r.completed) {
			pods = append(pods, pod)
		}
	}
	if len(pods) != int(d.wantedFirst()) {
		return
	}
	at := r.completed.Add(-time.Duration(d.Spec.MinReadySeconds) * time.Second)
	for _, pod := range pods {
		if pod.ready.After(r.completed.Add(time.Second)) {
			pod.beReady(evidence.Latest(at, pod.born))
		}
	}
}

// emptied is when the last of the other ReplicaSets was scaled to none during a
// revision, zero if they were before; ok is false if one was not, or nothing
// tells.
func (d *snapshotDeployment) emptied(r *snapshotRevision, until time.Time) (at time.Time, ok bool) {
	n := d.steps.before(until)
	filled := d.steps.filled(n)
	if i := stepsBefore(r.set.steps, until); i > 0 && r.set.steps[i-1].to != 0 {
		filled--
	}
	if filled > 0 {
		return time.Time{}, false
	}
	if s := d.steps.lastOfOther(r.set, n); s != nil && !s.at.Before(r.began) {
		at = s.at
	}
	return at, true
}

// readyBy counts the pods that were Ready at a time, zero being the snapshot's,
// and says when the last of them was.
func (set *snapshotSet) readyBy(until time.Time) (last time.Time, n int32) {
	for _, pod := range set.pods {
		if pod.ready.IsZero() || !until.IsZero() && (!pod.ready.Before(until) || !pod.alive(until)) {
			continue
		}
		last = evidence.Latest(last, pod.ready)
		n++
	}
	return last, n
}

// inTrouble reports whether a pod that was not Ready between two times is
// known to have failed at something.
func (set *snapshotSet) inTrouble(from, until time.Time) bool {
	return slices.ContainsFunc(set.pods, func(pod *snapshotPod) bool {
		return pod.troubled && pod.born.Before(until) && pod.alive(from.Add(time.Second)) && (pod.ready.IsZero() || pod.ready.After(until))
	})
}
