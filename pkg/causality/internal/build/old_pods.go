package build

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// A StatefulSet does not get past a pod that is not ready
// (k8s.io/kubernetes/pkg/controller/statefulset: updateStatefulSet), and one that never gets
// so is in the way until somebody deletes it. The path asks for such a pod between each two
// of those that the change waited for, so that what there is of all pods is put in order once.
//
// A Deployment that recreates its pods makes the ReplicaSet when no old one is left. Those that it
// removes for the rollout have spans of their own in it. Those that a scale before it removed do not,
// and are in the way for as long as they stop.
//
// Any other change of a Deployment, or of what makes pods that are alike, gets past pods that are not
// Ready, but is complete only when all pods that there are to be count as available: also those that it
// found there, as of a change that it has superseded.

// unreadyTime is a time in which a pod was there and not Ready, or was stopping.
type unreadyTime struct {
	pod        *podlife.Pod
	order      int // of the pod among those of the workload
	begin, end time.Time
	// ready is from when on the pod was Ready within this time, but did not count as available yet;
	// zero if it was not.
	ready time.Time
}

// unreadyTimes are those of several pods, in order of their ends.
type unreadyTimes struct {
	all []unreadyTime
	// earliest is, for each, which of those that did not end before it began first.
	earliest []int
}

// compareBegin orders times by when they began, and those of one time by their pods.
func (u unreadyTime) compareBegin(other unreadyTime) int {
	return cmp.Or(u.begin.Compare(other.begin), cmp.Compare(u.order, other.order))
}

// newUnreadyTimes puts times in order. Of those that end at once the one that began first
// comes last.
func newUnreadyTimes(all []unreadyTime) *unreadyTimes {
	slices.SortFunc(all, func(a, b unreadyTime) int { return cmp.Or(a.end.Compare(b.end), b.compareBegin(a)) })
	u := &unreadyTimes{all: all, earliest: make([]int, len(all))}
	for i := range slices.Backward(all) {
		u.earliest[i] = i
		if i+1 < len(all) && all[u.earliest[i+1]].compareBegin(all[i]) < 0 {
			u.earliest[i] = u.earliest[i+1]
		}
	}
	return u
}

// before is the one that was on last before a time, as far as it lies before that; of several
// the one that began first. ok is false if there is none.
func (u *unreadyTimes) before(t time.Time) (last unreadyTime, ok bool) {
	i := sort.Search(len(u.all), func(i int) bool { return !u.all[i].end.Before(t) })
	if i < len(u.all) {
		if on := u.all[u.earliest[i]]; on.begin.Before(t) {
			on.end = t
			return on, true
		}
	}
	if i == 0 {
		return last, false
	}
	return u.all[i-1], true
}

// oldPodInTheWay is the time in which an old pod was in the way of what came next last between two
// times; ok is false if none was.
func (b *changeBuilder) oldPodInTheWay(next *spans.Span, from, to time.Time) (last unreadyTime, ok bool) {
	if !b.waitsForOldPods(next) {
		return last, false
	}
	if b.inTheWay == nil {
		b.inTheWay = b.timesInTheWay()
	}
	b.work.Spend(1)
	if last, ok = b.inTheWay.before(to); ok && last.end.After(from) {
		return last, true
	}
	return unreadyTime{}, false
}

// waitsForOldPods reports whether an old pod may have been in the way of what came next.
func (b *changeBuilder) waitsForOldPods(next *spans.Span) bool {
	switch {
	case b.recreates():
		return next == b.root || next.Kind == kind.ScaleUp
	case b.byName():
		return true
	}
	return next == b.root && (b.change.Kind == attr.ChangeRollout || b.change.Kind == attr.ChangeScale)
}

// byName reports whether the change is one of a StatefulSet, which goes pod by pod.
func (b *changeBuilder) byName() bool {
	return b.plan.Workload.Controller.Replaces == workloads.ReplacedByName && b.change.Kind != attr.ChangeDelete
}

// timesInTheWay are those in which old pods were in the way.
func (b *changeBuilder) timesInTheWay() *unreadyTimes {
	var all []unreadyTime
	condemned, scaled := b.condemned(), b.plan.ScaledBy(b.change)
	for i, pod := range b.plan.Pods {
		b.work.Spend(1)
		switch {
		case b.recreates():
			all = append(all, b.stoppingOf(pod, i)...)
		case b.byName():
			if !b.plan.Wants(b.change, pod) && !condemned[pod] {
				all = append(all, unreadyOf(pod, i, b.root.End, 0)...)
			}
		case b.foundThere(pod) && (scaled(pod) || b.plan.Wants(b.change, pod)):
			all = append(all, unreadyOf(pod, i, b.root.End, b.plan.Workload.MinReady)...)
		}
	}
	return newUnreadyTimes(all)
}

// foundThere reports whether a pod was there before the change, which neither made nor removed it. One that
// was lost was waited for no longer: what is made in its place is.
func (b *changeBuilder) foundThere(pod *podlife.Pod) bool {
	return pod.CreatedAt().Before(b.start) && !pod.WasLostBy(b.end) &&
		b.plan.Starts[pod].Change != b.change && b.plan.Stops[pod].Change != b.change
}

// recreates reports whether the change is a rollout that begins when no old pod is left.
func (b *changeBuilder) recreates() bool {
	return b.plan.Workload.Recreate && b.change.Kind == attr.ChangeRollout
}

// stoppingOf is the time in which a pod stopped that the change neither made nor removed; none if that is not
// known.
func (b *changeBuilder) stoppingOf(pod *podlife.Pod, order int) []unreadyTime {
	if b.plan.Stops[pod].Change == b.change || b.plan.Starts[pod].Change == b.change || !pod.Leaving() || !pod.Gone.Known() {
		return nil
	}
	asked, gone := b.plan.StopAsked(pod), b.outOfTheWay(pod, pod.Gone.At())
	if !asked.Before(gone) {
		return nil
	}
	return []unreadyTime{{pod: pod, order: order, begin: asked, end: gone}}
}

// condemned are the pods that a scale removed, and that are not in the way of others. The
// controller deletes them as they are, Ready or not; if it goes in order, the highest one first,
// which waits for those below it (processCondemned).
func (b *changeBuilder) condemned() map[*podlife.Pod]bool {
	all := map[*podlife.Pod]bool{}
	if b.change.Kind != attr.ChangeScale {
		return all
	}
	var highest *podlife.Pod
	for _, pod := range b.plan.Pods {
		b.work.Spend(1)
		switch {
		case b.plan.Stops[pod].Change != b.change:
		case !b.plan.Workload.InOrder:
			all[pod] = true
		case highest == nil || workloads.Ordinal(pod) > workloads.Ordinal(highest):
			highest = pod
		}
	}
	if highest != nil {
		all[highest] = true
	}
	return all
}

// unreadyOf are the times before t in which a pod was there and was not Ready, or had not been so for
// minReady.
func unreadyOf(pod *podlife.Pod, order int, t time.Time, minReady time.Duration) (all []unreadyTime) {
	if pod.Lost() {
		t = evidence.Earliest(t, pod.LostAt().At())
	}
	last := unreadyTime{pod: pod, order: order, begin: pod.CreatedAt()}
	add := func(until time.Time) {
		last.end = evidence.Earliest(until, t)
		if !last.ready.IsZero() {
			last.end = evidence.Earliest(last.end, last.ready.Add(minReady))
		}
		if !last.ready.Before(last.end) {
			last.ready = time.Time{}
		}
		if last.begin.Before(last.end) {
			all = append(all, last)
		}
	}
	for i, tr := range pod.Ready {
		at := tr.At.At()
		if i == 0 && pod.Initial {
			at = evidence.Earliest(at, pod.Doubts().ReadyFrom(at)) // a list shows the latest transition alone
		}
		if at.After(t) {
			break
		}
		switch {
		case tr.Status && last.ready.IsZero():
			last.ready = at
		case !tr.Status && !last.ready.IsZero():
			add(at)
			last.begin, last.ready = at, time.Time{}
		}
	}
	add(t)
	return all
}
