package build

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// A StatefulSet does not get past a pod that is not ready
// (k8s.io/kubernetes/pkg/controller/statefulset: updateStatefulSet), and one that never gets
// so is in the way until somebody deletes it. The path asks for such a pod between each two
// of those that the change waited for, so that what there is of all pods is put in order once.

// unreadyTime is a time in which a pod was there and not Ready.
type unreadyTime struct {
	pod        *podlife.Pod
	order      int // of the pod among those of the workload
	begin, end time.Time
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

// oldPodInTheWay is the old pod that was in the way last between two times, and since and
// until when it was; nil if none was.
func (b *changeBuilder) oldPodInTheWay(from, to time.Time) (last *podlife.Pod, since, until time.Time) {
	if b.plan.Workload.Controller.Replaces != workloads.ReplacedByName || b.change.Kind == attr.ChangeDelete {
		return nil, since, until
	}
	if b.inTheWay == nil {
		var all []unreadyTime
		condemned := b.condemned()
		for i, pod := range b.plan.Pods {
			b.work.Spend(1)
			if !b.plan.Wants(b.change, pod) && !condemned[pod] {
				all = append(all, unreadyOf(pod, i, b.root.End)...)
			}
		}
		b.inTheWay = newUnreadyTimes(all)
	}
	b.work.Spend(1)
	if u, ok := b.inTheWay.before(to); ok && u.end.After(from) {
		return u.pod, u.begin, u.end
	}
	return nil, since, until
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

// unreadyOf are the times before t in which a pod was there and not Ready.
func unreadyOf(pod *podlife.Pod, order int, t time.Time) (all []unreadyTime) {
	if pod.Lost() {
		t = evidence.Earliest(t, pod.LostAt().At())
	}
	add := func(from, until time.Time) {
		if from.Before(until) {
			all = append(all, unreadyTime{pod, order, from, until})
		}
	}
	was, since := false, pod.CreatedAt()
	for i, tr := range pod.Ready {
		at := tr.At.At()
		if i == 0 && pod.Initial {
			at = evidence.Earliest(at, pod.Doubts().ReadyFrom(at)) // a list shows the latest transition alone
		}
		if at.After(t) {
			break
		}
		switch {
		case tr.Status && !was:
			add(since, at)
		case !tr.Status && was:
			since = at
		}
		was = tr.Status
	}
	if !was {
		add(since, t)
	}
	return all
}
