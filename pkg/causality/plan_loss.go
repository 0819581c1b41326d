package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// fewer is how many pods each change of a workload that makes its pods itself has
// removed because there were to be fewer. A StatefulSet's are known by their names.
func (p *plan) fewer() map[*change]int32 {
	fewer := map[*change]int32{}
	if p.direct() && p.controller.replaces != replacedByName {
		for _, c := range p.changes {
			fewer[c] = c.fewer
		}
	}
	return fewer
}

// scaledDown is the change that removed a pod because there were to be fewer, nil if
// that was not why: the one that was open, or the scale of a DaemonSet that its
// status reports a moment later.
func (p *plan) scaledDown(open *change, q *pod, pods []*pod, fewer map[*change]int32) *change {
	if fewer[open] > 0 && (p.controller.scaledBy != scaledByNodes || open.kind == attr.ChangeScale) {
		return open
	}
	if p.controller.scaledBy != scaledByNodes || open != nil && open.kind != attr.ChangeScale {
		return nil // a rollout's, whatever it was for
	}
	next := p.movedBy(q.lostStamp())
	if next == nil || fewer[next] == 0 {
		return nil
	}
	p.work.spend(len(pods))
	for _, other := range pods {
		if other.node == q.node && q.lostStamp().before(other.firstSeen) && other.firstSeen.before(next.opened) {
			return nil // another took its place before
		}
	}
	return next
}

// movedBy is the scale that a DaemonSet's status reports a moment after s.
func (p *plan) movedBy(s stamp) *change {
	next := p.changeAfter(s)
	if next != nil && next.kind == attr.ChangeScale && next.opened.arrival.Sub(s.arrival) < deletionReach {
		return next
	}
	return nil
}

// movedNodes gives the pods that a DaemonSet made for a node to the scale that its
// status reports a moment later: those that came while it was settled, and those that
// are more than the scale that was open asked for.
func (p *plan) movedNodes(rs *podSet, born []*pod) {
	if p.controller.scaledBy != scaledByNodes {
		return
	}
	made := map[*change]int32{}
	for _, q := range born {
		s := p.starts[q]
		if q.initial || s.lost != nil && (p.stops[s.lost].change == nil || s.change != nil) {
			continue
		}
		c := s.change
		if c != nil && (c.kind != attr.ChangeScale || made[c] < c.wanted-c.before) {
			made[c]++
			continue
		}
		if next := p.movedBy(q.firstSeen); next != nil && next.wanted > next.before {
			made[next]++
			p.starts[q] = slot{change: next, rs: rs}
		}
	}
}

// madeUpLate gives pods that came in the place of ones which were lost during a
// change to the latest one, if no change is open any more. The status may have been
// ahead: the controller had not heard yet that a pod was going.
func (p *plan) madeUpLate(rs *podSet) {
	for q, s := range p.starts {
		if s.rs != rs || s.change != nil || s.lost == nil || p.stops[s.lost].change == nil {
			continue
		}
		if c := p.changeFor(rs, q.firstSeen); c != nil && c.kind != attr.ChangeDelete {
			s.change, s.step = c, lastStepUp(rs.steps, q.firstSeen)
			p.starts[q] = s
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
		p.work.spend(len(p.workload.changes))
		next := p.changeAfter(q.lostStamp())
		if during := p.stops[q].change; during != nil && during.how() != attr.OutcomeDeleted || next == nil || next.kind != attr.ChangeDelete || !q.leaving() ||
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
	starting := slices.DeleteFunc(inOrderOfBirth(pods), func(q *pod) bool {
		return !q.initial || q.lostFirst || q.readyFirst || p.starts[q].change != nil
	})
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
			p.work.spend(1)
			if !next.created.lo.Before(asked.arrival) {
				p.stops[q] = slot{rs: rs, lost: q}
				p.starts[next] = slot{rs: rs, lost: q}
				starting = slices.Delete(starting, i, i+1)
				break
			}
		}
	}
}

// findMissed works out when the lost pods had been replaced, also by pods that are
// forgotten.
func (p *plan) findMissed() {
	for _, q := range p.pods {
		if q.ledger.filled {
			p.missed[q] = q.ledger.filledAt
		}
	}
	for q, s := range p.starts {
		if s.lost != nil {
			p.missed[s.lost] = q.createdAt()
		}
	}
}

// stopAsked dates the request to delete a pod.
func (p *plan) stopAsked(q *pod) time.Time { return q.stopAsked(p.missed[q]) }
