package causality

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// slot says where a pod's start or stop belongs.
type slot struct {
	// change is nil for what came before anything the engine saw, and for a
	// pod lost or replaced while no change was open.
	change *change
	step   *step
	rs     *replicaSet
	// lost is the pod whose loss this is (of a stop, the pod itself; of a
	// start, the pod it replaces), when no step asked for it.
	lost *pod
}

// plan is the attribution of everything the pods of a Deployment did: which
// step created or removed each. It is derived anew from the records whenever
// it is needed, so that it does not depend on the order they filled up in.
type plan struct {
	*deployment
	replicaSets []*replicaSet
	pods        []*pod // of all ReplicaSets, in order of creation
	starts      map[*pod]slot
	stops       map[*pod]slot

	// The other way round.
	startsOf map[*step][]*pod
	stopsOf  map[*step][]*pod
	named    map[podName]*pod

	// What was derived already.
	steps     map[*change][]slot
	decidedAt map[*step]time.Time
	startedAt map[*change]time.Time
}

type podName struct {
	rs   types.UID
	name string
}

// plan attributes pods to steps and steps to changes.
//
// A ReplicaSet creates and deletes pods to reach its spec.replicas. So the
// pods it creates, in order, fill the steps up that were decided before them;
// the ones it deletes fill the steps down. A deletion that fills no step was
// somebody else's, and the pod created to make up for it is a replacement.
func (e *Engine) plan(d *deployment) *plan {
	p := &plan{
		deployment:  d,
		replicaSets: slices.Clone(e.replicaSetsOf[d.uid]),
		starts:      map[*pod]slot{},
		stops:       map[*pod]slot{},
		startsOf:    map[*step][]*pod{},
		stopsOf:     map[*step][]*pod{},
		named:       map[podName]*pod{},
		steps:       map[*change][]slot{},
		decidedAt:   map[*step]time.Time{},
		startedAt:   map[*change]time.Time{},
	}
	slices.SortFunc(p.replicaSets, func(a, b *replicaSet) int {
		return cmp.Or(a.created.lo.Compare(b.created.lo), cmp.Compare(a.name, b.name))
	})
	for _, rs := range p.replicaSets {
		lost := p.planStops(rs, e.podsOf[rs.uid])
		lost = p.planStarts(rs, e.podsOf[rs.uid], lost)
		p.lostToDeletion(rs, lost)
		p.planBefore(rs, e.podsOf[rs.uid])
		p.pods = append(p.pods, e.podsOf[rs.uid]...)
	}
	slices.SortFunc(p.pods, func(a, b *pod) int {
		return cmp.Or(a.created.lo.Compare(b.created.lo), cmp.Compare(a.name, b.name), cmp.Compare(a.uid, b.uid))
	})
	for _, q := range p.pods {
		p.named[podName{q.owner, q.name}] = q
		if s := p.starts[q].step; s != nil {
			p.startsOf[s] = append(p.startsOf[s], q)
		}
		if s := p.stops[q].step; s != nil {
			p.stopsOf[s] = append(p.stopsOf[s], q)
		}
	}
	return p
}

func byStamp(at func(*pod) stamp) func(a, b *pod) int {
	return func(a, b *pod) int {
		switch sa, sb := at(a), at(b); {
		case sa.before(sb):
			return -1
		case sb.before(sa):
			return 1
		default:
			return cmp.Compare(a.name, b.name)
		}
	}
}

// planStops returns the pods that were lost rather than removed by a step.
func (p *plan) planStops(rs *replicaSet, pods []*pod) (lost []*pod) {
	var leaving []*pod
	for _, q := range pods {
		if q.lost() && !q.lostFirst {
			leaving = append(leaving, q)
		}
	}
	slices.SortFunc(leaving, byStamp(func(q *pod) stamp { return q.lostStamp() }))
	room := map[*step]int32{}
	for _, s := range rs.steps {
		if !s.up() {
			room[s] = s.from - s.to - s.filled
		}
	}
	surplus := rs.surplus(pods)
	for _, q := range leaving {
		c := p.changeAt(q.lostStamp())
		if c != nil && c.kind == changeDelete {
			p.stops[q] = slot{change: c, rs: rs}
			continue
		}
		if s := takeRoom(rs.steps, room, q.lostStamp()); s != nil {
			p.stops[q] = slot{change: p.changeAt(s.stamp), step: s, rs: rs}
			continue
		}
		if q.initial && surplus > 0 {
			surplus--
			p.stops[q] = slot{change: openChange(c, q.lostStamp()), rs: rs}
			continue
		}
		p.stops[q] = slot{change: openChange(c, q.lostStamp()), rs: rs, lost: q}
		lost = append(lost, q)
	}
	return lost
}

// surplus is how many pods more a ReplicaSet had than it wanted when rollspan
// came: a scale down was on its way.
func (rs *replicaSet) surplus(pods []*pod) int {
	if rs.listed < 0 {
		return 0
	}
	n := -int(rs.listed)
	for _, q := range pods {
		if q.initial && !q.lostFirst {
			n++
		}
	}
	return n
}

// openChange is c if it was open when s was written, else nil.
func openChange(c *change, s stamp) *change {
	if c != nil && c.openAt(s) {
		return c
	}
	return nil
}

// planStarts returns the lost pods that nothing replaced.
func (p *plan) planStarts(rs *replicaSet, pods, lost []*pod) []*pod {
	born := slices.Clone(pods)
	slices.SortFunc(born, byStamp(func(q *pod) stamp { return q.firstSeen }))
	room := map[*step]int32{}
	for _, s := range rs.steps {
		if s.up() {
			room[s] = s.to - s.from - s.filled
		}
	}
	for _, q := range born {
		if q.lostFirst {
			continue
		}
		if s := takeRoom(rs.steps, room, q.firstSeen); s != nil {
			p.starts[q] = slot{change: p.changeAt(s.stamp), step: s, rs: rs}
			continue
		}
		at := slot{rs: rs}
		if len(lost) > 0 && !q.firstSeen.before(lost[0].lostStamp()) {
			at.lost, lost = lost[0], lost[1:]
		}
		// Made up for within an open change, it belongs to the step that
		// wants the pod.
		if c := openChange(p.changeAt(q.firstSeen), q.firstSeen); c != nil {
			at.change, at.step = c, lastStepUp(rs.steps, q.firstSeen)
		}
		p.starts[q] = at
	}
	return lost
}

// deletionReach is how long before its Deployment a pod may be deleted and
// still have been taken by the same deletion.
const deletionReach = 30 * time.Second

// lostToDeletion gives pods that were deleted shortly before their Deployment,
// and not replaced, to its deletion: that of a namespace takes its objects in
// any order.
func (p *plan) lostToDeletion(rs *replicaSet, lost []*pod) {
	for _, q := range lost {
		next := p.changeAfter(q.lostStamp())
		if p.stops[q].change == nil && next != nil && next.kind == changeDelete && q.leaving() &&
			next.opened.arrival.Sub(q.deletion.arrival) < deletionReach {
			p.stops[q] = slot{change: next, rs: rs}
		}
	}
}

// planBefore looks at the pods that were being deleted already when rollspan
// came. Who removed them was not seen. They belong to a change that was open
// then; else, if the pod that replaces one is still starting, to that loss; else
// their story was over but for the end.
func (p *plan) planBefore(rs *replicaSet, pods []*pod) {
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

// takeRoom finds the earliest step with room that was decided before s.
func takeRoom(steps []*step, room map[*step]int32, s stamp) *step {
	for _, st := range steps {
		if room[st] > 0 && !s.before(st.stamp) {
			room[st]--
			return st
		}
	}
	return nil
}

func lastStepUp(steps []*step, s stamp) *step {
	for _, st := range slices.Backward(steps) {
		if st.up() && !s.before(st.stamp) {
			return st
		}
	}
	return nil
}

// stepsOf returns the steps that belong to a change, each with its
// ReplicaSet, in the order they were decided.
func (p *plan) stepsOf(c *change) []slot {
	if out, ok := p.steps[c]; ok {
		return out
	}
	var out []slot
	for _, rs := range p.replicaSets {
		for _, s := range rs.steps {
			if p.changeAt(s.stamp) == c {
				out = append(out, slot{change: c, step: s, rs: rs})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b slot) int {
		switch {
		case a.step.stamp.before(b.step.stamp):
			return -1
		case b.step.stamp.before(a.step.stamp):
			return 1
		default:
			return 0
		}
	})
	p.steps[c] = out
	return out
}

// settled reports whether a change that ended has all it will have: every pod
// it started has got ready or gone, and every pod it removed is gone. It
// returns when the last of that became known.
func (p *plan) settled(c *change) (seen time.Time, ok bool) {
	ok = true
	seen = c.endStamp.arrival
	for q, at := range p.starts {
		// Pods that wait when their change fails are cut there.
		if at.change != c || q.startSent || c.outcome == outcomeFailed {
			continue
		}
		t, done := q.startResolved()
		seen, ok = latest(seen, t), ok && done
	}
	for q, at := range p.stops {
		if at.change != c || q.stopSent || !q.leaving() {
			continue
		}
		ok = ok && q.gone.known()
		seen = latest(seen, q.goneSeen)
	}
	return seen, ok
}
