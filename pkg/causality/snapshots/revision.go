package snapshots

import (
	"cmp"
	"slices"
	"sort"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// snapshotRevision is a rollout that a snapshot proves, and what it proves of it.
type snapshotRevision struct {
	number int64
	set    *snapshotSet
	// began is zero if nothing dates it.
	began time.Time
	// completed and failed are zero where that did not happen, or is not proven.
	completed, failed time.Time
}

// datedRevisions lists the rollouts that the ReplicaSets prove, in order, dated
// where that is possible without a doubt.
//
// A step up says that the revision was the ReplicaSet's then, a step down to
// none that it was another's. In the order of time these give a sequence of
// ReplicaSets, which is laid along the sequence of revisions twice: as early as
// it fits, and as late. Where both agree, the number is proven.
func (d *snapshotDeployment) datedRevisions() []*snapshotRevision {
	var revisions []*snapshotRevision
	for _, set := range d.sets {
		for _, n := range set.numbers {
			revisions = append(revisions, &snapshotRevision{number: n, set: set})
		}
	}
	slices.SortFunc(revisions, func(a, b *snapshotRevision) int { return cmp.Compare(a.number, b.number) })
	l := newLayout(revisions, d)
	early, late := l.earliest(), l.latest()
	for i, s := range l.steps {
		if n := early[i]; n >= 0 && n == late[i] && revisions[n].began.IsZero() {
			// A ReplicaSet that is older than its Deployment was taken in.
			revisions[n].began = evidence.Latest(d.firstStepOf(revisions[n], s), d.CreationTimestamp.Time)
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
func (d *snapshotDeployment) firstStepOf(r *snapshotRevision, known *snapshotStep) time.Time {
	if !known.creates {
		return known.at
	}
	if n := d.steps.before(known.at); d.recreates() && n > 0 {
		// The new ReplicaSet is made when the pods of the old one are gone.
		if s := d.steps.lastOfOther(r.set, n); s != nil && !s.up && s.to == 0 {
			return s.at
		}
	}
	from := evidence.Latest(r.set.CreationTimestamp.Time, known.at.Add(1-sameSync))
	for _, s := range d.steps.downs[stepsBefore(d.steps.downs, from):] {
		if !s.at.Before(known.at) {
			break
		}
		if s.set != r.set {
			return s.at
		}
	}
	return known.at
}

// recreates reports whether the Deployment makes new pods when the old ones are gone.
func (d *snapshotDeployment) recreates() bool {
	return d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType
}

// doubtBegun says of the rollouts that are to be emitted how well it is known when they began. Where
// nothing tells of a step but that the new ReplicaSet was made, and a Deployment recreates its
// pods, it began when the old ones were asked to go: at some time since the rollout before. So did
// one that has taken up a ReplicaSet again, of which the ReplicaSet before it is not there: no other
// step tells an earlier one of it from those of that.
func (snap *snapshot) doubtBegun(d *snapshotDeployment) {
	for i, r := range d.revisions {
		if d.revision(r.number) != r {
			continue
		}
		earliest := d.CreationTimestamp.Time
		follows := r.number == 1 // what is there
		if i > 0 {
			before := d.revisions[i-1]
			earliest = evidence.Latest(earliest, before.began, before.set.created)
			follows = before.number == r.number-1
		}
		switch {
		case d.recreates() && r.number > 1 && r.began.Equal(r.set.created):
		case !follows && r.number > r.set.numbers[0]:
			earliest = evidence.Latest(earliest, r.set.created)
		default:
			continue
		}
		snap.doubt(d.UID, stream.Doubt{At: r.began, Earliest: earliest, Latest: r.began})
	}
}

// layout lays steps along revisions.
type layout struct {
	revisions []*snapshotRevision
	steps     []*snapshotStep
	// of are the revisions of each ReplicaSet, in order.
	of map[*snapshotSet][]int
	// next and previous are, for each revision, the closest after and before it that
	// are another ReplicaSet's.
	next, previous []int
	// created are the creations of the ReplicaSets that have revisions, in order; low
	// is the last of the first revisions of those up to each, high the first of the
	// first revisions of those from each on.
	created   []time.Time
	low, high []int
	// progressed is the second from which on all is the last revision's.
	progressed time.Time
}

func newLayout(revisions []*snapshotRevision, d *snapshotDeployment) *layout {
	n := len(revisions)
	l := &layout{revisions: revisions, of: map[*snapshotSet][]int{}, next: make([]int, n), previous: make([]int, n)}
	for _, s := range d.steps.all {
		if s.up || s.to == 0 {
			l.steps = append(l.steps, s)
		}
	}
	if t := d.lastProgress(); !t.IsZero() {
		l.progressed = t.Truncate(time.Second)
	}
	var firsts []int
	for i, r := range revisions {
		if len(l.of[r.set]) == 0 {
			firsts = append(firsts, i)
		}
		l.of[r.set] = append(l.of[r.set], i)
		switch {
		case i == 0:
			l.previous[i] = -1
		case revisions[i-1].set != r.set:
			l.previous[i] = i - 1
		default:
			l.previous[i] = l.previous[i-1]
		}
	}
	for i, r := range slices.Backward(revisions) {
		switch {
		case i == n-1:
			l.next[i] = n
		case revisions[i+1].set != r.set:
			l.next[i] = i + 1
		default:
			l.next[i] = l.next[i+1]
		}
	}
	slices.SortStableFunc(firsts, func(a, b int) int { return revisions[a].set.created.Compare(revisions[b].set.created) })
	l.low, l.high = make([]int, len(firsts)), make([]int, len(firsts))
	for i, first := range firsts {
		l.created = append(l.created, revisions[first].set.created)
		l.low[i], l.high[i] = first, first
		if i > 0 {
			l.low[i] = max(l.low[i-1], first)
		}
	}
	for i := len(firsts) - 2; i >= 0; i-- {
		l.high[i] = min(l.high[i+1], firsts[i])
	}
	return l
}

// bounds are the first and the last revision that can have been current at a
// time: a ReplicaSet that existed had had its first, one that did not had not. The
// time at which the Deployment reported progress, it reported it of the last.
func (l *layout) bounds(at time.Time) (low, high int) {
	high = len(l.revisions) - 1
	there := sort.Search(len(l.created), func(i int) bool { return l.created[i].After(at) })
	if there < len(l.created) {
		high = l.high[there] - 1
	}
	if there > 0 {
		low = l.low[there-1]
	}
	if !l.progressed.IsZero() && !at.Before(l.progressed) {
		low = len(l.revisions) - 1
	}
	return low, high
}

// fit is the first revision from low up to high in which a step can have been made,
// or, if last is set, the last one; -1 if there is none.
func (l *layout) fit(s *snapshotStep, low, high int, last bool) int {
	low, high = max(low, 0), min(high, len(l.revisions)-1)
	if low > high {
		return -1
	}
	own := l.of[s.set]
	if s.creates {
		own = own[:min(1, len(own))]
	}
	from := low
	if last {
		from = high
	}
	switch {
	case s.up: // its own; its creation was the first of them
		i, found := slices.BinarySearch(own, from)
		if last && !found {
			i--
		}
		if i < 0 || i >= len(own) {
			return -1
		}
		from = own[i]
	case l.revisions[from].set != s.set:
	case last:
		from = l.previous[from]
	default:
		from = l.next[from]
	}
	if from < low || from > high {
		return -1
	}
	return from
}

// earliest lays each step to the first revision that it fits; -1 to none.
func (l *layout) earliest() []int {
	out := make([]int, len(l.steps))
	now := 0
	for i, s := range l.steps {
		low, high := l.bounds(s.at)
		out[i] = l.fit(s, max(low, now), high, false)
		now = max(now, out[i])
	}
	return out
}

// latest lays each step to the last revision that it fits; -1 to none.
func (l *layout) latest() []int {
	out := make([]int, len(l.steps))
	now := len(l.revisions) - 1
	for i, s := range slices.Backward(l.steps) {
		low, high := l.bounds(s.at)
		out[i] = l.fit(s, low, min(high, now), true)
		if out[i] >= 0 {
			now = out[i]
		}
	}
	return out
}
