package causality

import (
	"slices"
	"time"
)

// movedNodes gives the pods that a DaemonSet made or removed for a node to the
// scale that its status reports a moment later.
func (p *plan) movedNodes(rs *podSet, pods, lost []*pod) {
	if p.kind != kindDaemonSet {
		return
	}
	scaled := func(s stamp) *change {
		next := p.changeAfter(s)
		if next != nil && next.kind == changeScale && next.opened.arrival.Sub(s.arrival) < deletionReach {
			return next
		}
		return nil
	}
	for _, q := range lost {
		if c := scaled(q.lostStamp()); c != nil && p.stops[q].change == nil && c.wanted < c.before {
			p.stops[q] = slot{change: c, rs: rs}
		}
	}
	for _, q := range pods {
		if s := p.starts[q]; s.change == nil && s.lost == nil && !q.initial {
			if c := scaled(q.firstSeen); c != nil && c.wanted > c.before {
				p.starts[q] = slot{change: c, rs: rs}
			}
		}
	}
}

// deletionReach is how long before its workload a pod may be deleted and still
// have been taken by the same deletion.
const deletionReach = 30 * time.Second

// lostToDeletion gives pods that were deleted shortly before their workload,
// and not replaced, to its deletion: that of a namespace takes its objects in
// any order. It returns the others.
func (p *plan) lostToDeletion(rs *podSet, lost []*pod) []*pod {
	return slices.DeleteFunc(lost, func(q *pod) bool {
		next := p.changeAfter(q.lostStamp())
		if during := p.stops[q].change; during != nil && during.outcome != outcomeDeleted || next == nil || next.kind != changeDelete || !q.leaving() ||
			next.opened.arrival.Sub(q.deletion.arrival) >= deletionReach {
			return false
		}
		p.stops[q] = slot{change: next, rs: rs}
		return true
	})
}

// planBefore looks at the pods that were being deleted already when rollspan
// came. Who removed them was not seen. They belong to a change that was open
// then; else, if the pod that replaces one is still starting, to that loss; else
// their story was over but for the end.
func (p *plan) planBefore(rs *podSet, pods []*pod) {
	starting := slices.DeleteFunc(slices.Clone(pods), func(q *pod) bool { return !q.initial || q.lostFirst || q.readyFirst })
	slices.SortFunc(starting, byStamp(func(q *pod) stamp { return q.firstSeen }))
	for _, q := range pods {
		if !q.lostFirst {
			continue
		}
		asked := stamp{arrival: q.lostAt().lo}
		if c := openChange(p.changeAt(asked), asked); c != nil {
			p.stops[q] = slot{change: c, rs: rs}
			continue
		}
		for i, next := range starting {
			if s := p.starts[next]; s.change == nil && !next.created.lo.Before(asked.arrival) {
				p.stops[q] = slot{rs: rs, lost: q}
				p.starts[next] = slot{rs: rs, lost: q}
				starting = slices.Delete(starting, i, i+1)
				break
			}
		}
	}
}

// missed notes when the lost pods had been replaced. What this plan does not say
// of a pod is taken back, unless the pod that replaced it is forgotten.
func (p *plan) missed() {
	for _, q := range p.pods {
		if !q.filled {
			q.missed = time.Time{}
		}
	}
	for q, s := range p.starts {
		if s.lost != nil {
			s.lost.missed = q.createdAt()
		}
	}
}
