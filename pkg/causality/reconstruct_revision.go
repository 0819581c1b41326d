package causality

import (
	"cmp"
	"slices"
	"time"
)

// pastRevision is a rollout that a snapshot proves, and what it proves of it.
type pastRevision struct {
	number int64
	set    *pastSet
	// began is zero if nothing dates it.
	began time.Time
	// completed and failed are zero where that did not happen, or is not proven.
	completed, failed time.Time
}

// revisions lists the rollouts that the ReplicaSets prove, in order, dated
// where that is possible without a doubt.
//
// A step up says that the revision was the ReplicaSet's then, a step down to
// none that it was another's. In the order of time these give a sequence of
// ReplicaSets, which is laid along the sequence of revisions twice: as early as
// it fits, and as late. Where both agree, the number is proven.
func (d *pastDeployment) datedRevisions() []*pastRevision {
	var revisions []*pastRevision
	for _, rs := range d.sets {
		for _, n := range rs.numbers {
			revisions = append(revisions, &pastRevision{number: n, set: rs})
		}
	}
	slices.SortFunc(revisions, func(a, b *pastRevision) int { return cmp.Compare(a.number, b.number) })
	l := &layout{revisions: revisions, deployment: d}
	for _, s := range d.steps {
		if s.up || s.to == 0 {
			l.steps = append(l.steps, s)
		}
	}
	early, late := l.earliest(), l.latest()
	for i, s := range l.steps {
		if n := early[i]; n >= 0 && n == late[i] && revisions[n].began.IsZero() {
			revisions[n].began = d.firstStepOf(revisions[n], s)
		}
	}
	return revisions
}

// sameSync is how long after its first step of a rollout a controller reports
// the next, where it need not wait for anything.
const sameSync = 200 * time.Millisecond

// firstStepOf dates the beginning of a revision that is known by its
// ReplicaSet's creation: others may have been scaled down just before it got its
// first replicas.
func (d *pastDeployment) firstStepOf(r *pastRevision, known *pastStep) time.Time {
	if !known.creates {
		return known.at
	}
	for _, s := range d.steps {
		if !s.up && s.set != r.set && !s.at.Before(r.set.CreationTimestamp.Time) && known.at.After(s.at) && known.at.Sub(s.at) < sameSync {
			return s.at
		}
	}
	return known.at
}

// layout lays steps along revisions.
type layout struct {
	revisions  []*pastRevision
	deployment *pastDeployment
	steps      []*pastStep
}

// fits reports whether a step can have been made during a revision.
func (l *layout) fits(s *pastStep, revision int) bool {
	if s.creates {
		return l.revisions[revision] == l.first(s.set)
	}
	return s.up == (l.revisions[revision].set == s.set)
}

// first is a ReplicaSet's first revision, nil if it has none.
func (l *layout) first(rs *pastSet) *pastRevision {
	for _, r := range l.revisions {
		if r.set == rs {
			return r
		}
	}
	return nil
}

// bounds are the first and the last revision that can have been current at a
// time: a ReplicaSet that existed had had its first, one that did not had not. The
// time at which the Deployment reported progress, it reported it of the last.
func (l *layout) bounds(at time.Time) (low, high int) {
	high = len(l.revisions) - 1
	for i, r := range l.revisions {
		if r != l.first(r.set) {
			continue
		}
		if r.set.created.After(at) {
			high = min(high, i-1)
		} else {
			low = max(low, i)
		}
	}
	if t := l.deployment.lastProgress(); !t.IsZero() && !at.Before(t.Truncate(time.Second)) {
		low = len(l.revisions) - 1
	}
	return low, high
}

// earliest lays each step to the first revision that it fits; -1 to none.
func (l *layout) earliest() []int {
	out := make([]int, len(l.steps))
	now := 0
	for i, s := range l.steps {
		out[i] = -1
		low, high := l.bounds(s.at)
		for n := max(low, now); n <= high; n++ {
			if l.fits(s, n) {
				out[i], now = n, n
				break
			}
		}
	}
	return out
}

// latest lays each step to the last revision that it fits; -1 to none.
func (l *layout) latest() []int {
	out := make([]int, len(l.steps))
	now := len(l.revisions) - 1
	for i, s := range slices.Backward(l.steps) {
		out[i] = -1
		low, high := l.bounds(s.at)
		for n := min(high, now); n >= low; n-- {
			if l.fits(s, n) {
				out[i], now = n, n
				break
			}
		}
	}
	return out
}
