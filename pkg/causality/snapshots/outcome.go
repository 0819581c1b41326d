package snapshots

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// judge finds out how a revision ended; next are those that came after it.
func (d *snapshotDeployment) judge(snap *snapshot, r *snapshotRevision, next []*snapshotRevision) {
	if len(next) == 0 {
		d.judgeLast(snap, r)
		return
	}
	until := next[0].began
	if emptied, ok := d.emptied(r, until); ok {
		// What the old pods were removed for is that new ones were available.
		for _, pod := range r.set.pods {
			if pod.final == nil && pod.ready.IsZero() && !pod.troubled && !pod.born.Before(r.began) && pod.alive(until) && emptied.After(pod.born) {
				pod.readyBy = emptied
			}
		}
		if ready, n := readyBy(d.madeFor(r), until); n >= d.wantedFirst() {
			r.completed = evidence.Latest(r.began, emptied, ready)
			snap.doubt(d.UID, stream.Doubt{At: r.completed, Earliest: r.completed, Latest: until, Of: stream.DoubtOfEnd})
			return
		}
	}
	// It may have been complete for long when the next one began, or have failed.
	defer func() {
		if !d.endIsKnown(r, until) {
			snap.doubt(d.UID, stream.Doubt{At: until, Earliest: r.began, Latest: until, Of: stream.DoubtOfEnd})
			// The managed fields say when the next was written, and others may have been in between.
			if wrote := kube.Writer(d.fields.until(until), true, nil).At; wrote.After(r.began) && wrote.Before(until) {
				snap.doubt(d.UID, stream.Doubt{At: wrote, Earliest: r.began, Latest: until, Of: stream.DoubtOfEnd})
			}
		}
	}()
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
		// The deadline counts from the last progress on.
		snap.doubt(d.UID, stream.Doubt{At: at, Earliest: at, Latest: until, Of: stream.DoubtOfEnd})
	}
}

// endIsKnown reports whether it is known how a revision ended that is not known to be complete: it
// failed, or it was neither complete nor failed when the next one began. The latter is proven where a
// ReplicaSet that was current before it only had replicas yet, as a step says that it was scaled down
// from them later: nothing but its own rollout gives one its first replicas. That it had not failed is
// proven by the condition Progressing if that has not changed since before the next one began, which
// would have made it true again. The deadline proves nothing: it may have been written with the next one.
func (d *snapshotDeployment) endIsKnown(r *snapshotRevision, until time.Time) bool {
	if !r.failed.IsZero() {
		return true
	}
	if c := d.progress; c != nil && !c.LastTransitionTime.Time.Before(until.Truncate(time.Second)) {
		return false
	}
	for _, set := range d.sets {
		if len(set.numbers) != 1 || set.numbers[0] >= r.number {
			continue
		}
		if i := stepsBefore(set.steps, until); i < len(set.steps) && set.steps[i].event != nil && set.steps[i].from > 0 {
			return true
		}
	}
	return false
}

// failBefore dates that the deadline of a revision was exceeded which recovered later: the deadline counts
// from the last progress on, of which pods that are gone may have been the later.
func (d *snapshotDeployment) failBefore(snap *snapshot, r *snapshotRevision, last time.Time) {
	progress := r.began.Truncate(time.Second)
	for _, pod := range r.set.pods {
		for _, at := range []time.Time{pod.born, pod.ready} {
			if !at.After(last) {
				progress = evidence.Latest(progress, at)
			}
		}
	}
	r.failed = progress.Add(d.deadline())
	if r.failed.After(last) {
		r.failed = last
	}
	earliest := evidence.Earliest(r.began.Truncate(time.Second).Add(d.deadline()), r.failed) // and have recovered, and failed again
	snap.doubt(d.UID, stream.Doubt{At: r.failed, Earliest: earliest, Latest: last, Of: stream.DoubtOfEnd})
}

func (d *snapshotDeployment) judgeLast(snap *snapshot, r *snapshotRevision) {
	c := d.progress
	if last := workloads.FailedUntil(d.Deployment); !last.IsZero() {
		d.failBefore(snap, r, last)
	}
	switch {
	case c != nil && c.Status == corev1.ConditionFalse && c.Reason == workloads.ProgressDeadlineExceeded:
		r.failed = c.LastTransitionTime.Time
	case !d.over():
	case c != nil && c.Reason == workloads.NewReplicaSetAvailable && !c.LastUpdateTime.Time.Before(r.began.Truncate(time.Second)):
		r.completed = c.LastUpdateTime.Time
	default:
		r.completed = d.completedByPods(snap, r)
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

// completedByPods is when the last revision was complete, where no condition says it: by the
// pods that its ReplicaSet made for it, if all of them are known, or since when the
// Deployment has been Available, if that takes all of its pods. Zero if nothing tells.
func (d *snapshotDeployment) completedByPods(snap *snapshot, r *snapshotRevision) time.Time {
	emptied, _ := d.emptied(r, time.Time{})
	at := evidence.Latest(r.began, emptied)
	n := int32(0)
	made, minReady := d.madeFor(r), time.Duration(max(d.Spec.MinReadySeconds, 0))*time.Second
	for _, pod := range made {
		if !pod.ready.IsZero() {
			at, n = evidence.Latest(at, pod.availableAt(minReady)), n+1
		}
	}
	if n >= d.wantedFirst() {
		latest := reportedBy(at, made, minReady)
		if !d.countKnown() { // it may have waited for others, which are gone
			latest = evidence.Latest(latest, snap.end)
		}
		snap.doubt(d.UID, stream.Doubt{At: at, Earliest: evidence.Latest(r.began, availableAfter(at, made, minReady)), Latest: latest, Of: stream.DoubtOfEnd})
		return at
	}
	since := d.availableSince()
	if r.number != 1 || d.unavailableAllowed() != 0 || since.Before(r.began.Truncate(time.Second)) || since.After(r.began.Add(podlife.SlowestStart)) {
		return time.Time{} // or it was not Available once since
	}
	snap.doubt(d.UID, stream.Doubt{At: evidence.Latest(r.began, since), Earliest: r.began, Latest: since, Of: stream.DoubtOfEnd, Stated: true})
	return evidence.Latest(r.began, since)
}

// madeFor are the pods that were made for a rollout, or that its ReplicaSet had when it began,
// rather than in the place of ones that were lost later: a ReplicaSet makes the pods of a step at once (slowStartBatch of
// k8s.io/kubernetes/pkg/controller/replicaset), and the next step is taken when those before
// are available.
func (d *snapshotDeployment) madeFor(r *snapshotRevision) []*snapshotPod {
	available := time.Duration(max(d.Spec.MinReadySeconds, 0))*time.Second + nextSlack
	reach, steps := r.began.Add(nextSlack), r.set.steps // in order
	var made []*snapshotPod
	for _, pod := range r.set.pods { // in order of birth
		for len(steps) > 0 && !steps[0].at.After(pod.born) {
			if steps[0].up && !steps[0].at.After(reach) {
				reach = evidence.Latest(reach, steps[0].at.Add(nextSlack))
			}
			steps = steps[1:]
		}
		switch {
		case pod.born.After(reach), pod.born.Before(r.began) && !pod.alive(r.began):
			continue
		case pod.born.Before(r.began): // of an earlier rollout of the ReplicaSet, and in place
			made = append(made, pod)
			continue
		}
		made = append(made, pod)
		reach = evidence.Latest(reach, pod.born.Add(batchSlack), pod.ready.Add(available))
	}
	return made
}

// availableSince is since when the Deployment has had the pods that it must have at least;
// zero if it has not.
func (d *snapshotDeployment) availableSince() time.Time {
	if c := workloads.DeploymentCondition(d.Deployment, appsv1.DeploymentAvailable); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// unavailableAllowed is how many of the pods may be missing so that the Deployment is
// Available (MaxUnavailable of k8s.io/kubernetes/pkg/controller/deployment/util), and -1 if
// that is not known.
func (d *snapshotDeployment) unavailableAllowed() int {
	if d.recreates() {
		return 0
	}
	ru := d.Spec.Strategy.RollingUpdate
	if ru == nil || ru.MaxUnavailable == nil || ru.MaxSurge == nil {
		return -1
	}
	surge, err := intstr.GetScaledValueFromIntOrPercent(ru.MaxSurge, int(d.wantedFirst()), true)
	if err != nil {
		return -1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(ru.MaxUnavailable, int(d.wantedFirst()), false)
	if err != nil {
		return -1
	}
	if n == 0 && surge == 0 {
		return 1 // ResolveFenceposts: it could not go on else
	}
	return n
}

// concludeReady says of the pods that a rollout was complete with that they had been Ready by
// then, as far as their condition says nothing of it any more: they were not, once, since. If
// there is one of these, and no other explains the end of the rollout, it is the one that was
// waited for. Else nothing tells when each was.
func (d *snapshotDeployment) concludeReady(r *snapshotRevision) {
	if r.completed.IsZero() {
		return
	}
	at := r.completed.Add(-time.Duration(d.Spec.MinReadySeconds) * time.Second)
	var lost []*snapshotPod
	n, explained := 0, false
	for _, pod := range r.set.pods {
		if !pod.born.Before(r.completed) || !pod.alive(r.completed) {
			continue
		}
		n++
		switch {
		case pod.ready.After(r.completed.Add(time.Second)):
			pod.ready, pod.readyFrom, pod.readyUntil = time.Time{}, evidence.Latest(pod.born, pod.started), r.completed
			lost = append(lost, pod)
		case pod.ready.IsZero() && !pod.readyFrom.IsZero():
			pod.readyUntil = evidence.Earliest(pod.readyUntil, r.completed)
			lost = append(lost, pod)
		case pod.ready.After(at.Add(-time.Second)):
			explained = true
		}
	}
	for _, pod := range lost {
		if last := evidence.Latest(at, pod.born); last.Before(pod.readyFrom.Add(podlife.ReadyReport)) || len(lost) == 1 && !explained && n == int(d.wantedFirst()) {
			pod.doubt(stream.Doubt{At: last, Earliest: pod.readyFrom, Latest: last, Of: stream.DoubtOfReady})
			pod.beReady(last)
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

// readyBy counts the pods that were Ready at a time, and says when the last of them was.
func readyBy(pods []*snapshotPod, until time.Time) (last time.Time, n int32) {
	for _, pod := range pods {
		if ready := evidence.Latest(pod.ready, pod.readyBy); ready.IsZero() || !ready.Before(until) || !pod.alive(until) {
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
