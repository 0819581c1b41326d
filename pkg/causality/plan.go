package causality

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// slot says where a pod's start or stop belongs.
type slot struct {
	// change is nil for what came before anything the engine saw, and for a
	// pod lost or replaced while no change was open.
	change *change
	step   *step
	rs     *podSet
	// returned is the pod that was taken back, so that this one was removed.
	returned *pod
	// lost is the pod whose loss this is (of a stop, the pod itself; of a
	// start, the pod it replaces), when no step asked for it.
	lost *pod
}

// plan is the attribution of everything the pods of a workload did: which
// step created or removed each. It is derived anew from the records whenever
// it is needed, so that it does not depend on the order they filled up in.
type plan struct {
	*workload
	around surroundings
	work   *work   // what it costs to find things in it is counted here
	issued *issued // the trace IDs that were given so far

	sets   []*podSet
	pods   []*pod // of all sets, in order of creation
	starts map[*pod]slot
	stops  map[*pod]slot

	successor map[*pod]*pod // see successors
	// missed is when the pod in the place of each that was lost had been made: it was
	// lost by then.
	missed map[*pod]time.Time

	// voids is what of the steps came to nothing.
	voids map[*step]void

	// The other way round.
	startsOf map[*step][]*pod
	stopsOf  map[*step][]*pod
	named    map[podName]*namedPods

	joins  bool     // whether changes are to join their deployers' traces
	owners []string // up the chain, nearest first
	cron   *object  // the CronJob that made the Job, if it is known
	// scalers are the autoscalers of the workload.
	scalers []*object

	// What was derived already.
	steps     map[*change][]slot
	decidedAt map[*step]time.Time
	startedAt map[*change]time.Time
}

// surroundings are asked for what lies beyond the workload.
type surroundings interface {
	// nodeCause is the disruption of its node that led to the loss of a pod, of those
	// that began by a time; nil if none did.
	nodeCause(lost *pod, until time.Time) *disruption
	// causesOfLoss are where the causes of a pod's loss are told; on is the disruption
	// that led to it, if one did.
	causesOfLoss(lost *pod, on *disruption) []place
}

type podName struct {
	rs   objectID
	name string
}

// namedPods are the pods that have had a name, and when they were made and asked to
// stop; these are worked out when they are asked for.
type namedPods struct {
	pods          []*pod
	made, stopped []time.Time
}

// times are those at which the pods of a name were made, or asked to stop, as an Event of
// that reason says.
func (p *plan) times(n *namedPods, reason string) []time.Time {
	times, at := &n.made, (*pod).createdAt
	if reason == "SuccessfulDelete" {
		times, at = &n.stopped, p.stopAsked
	}
	if *times == nil {
		for _, q := range n.pods {
			*times = append(*times, at(q))
		}
	}
	return *times
}

// plan attributes pods to steps and steps to changes.
//
// A ReplicaSet creates and deletes pods to reach its spec.replicas. So the
// pods it creates, in order, fill the steps up that were decided before them;
// the ones it deletes fill the steps down. A deletion that fills no step was
// somebody else's, and the pod created to make up for it is a replacement. Of a
// workload that makes its pods itself there are no steps: what happens while a
// change is open is that change's.
func (e *Engine) plan(d *workload) *plan {
	p := newPlan(d, e.setsOf[d.objectID])
	p.around, p.work, p.issued = beyond{e}, &e.work, e.issued
	p.joins, p.owners, p.scalers = e.joins(d.namespace), e.ownersOf(d.object), e.scalers[d.nameKey()]
	if d.cronJob != nil {
		p.cron = e.objects[d.cronJob.id]
	}
	p.attribute(e.podsOf)
	return p
}

// newPlan returns a plan of a workload and its sets in which nothing is attributed yet.
func newPlan(d *workload, sets []*podSet) *plan {
	return &plan{
		workload:  d,
		sets:      slices.Clone(sets),
		starts:    map[*pod]slot{},
		stops:     map[*pod]slot{},
		missed:    map[*pod]time.Time{},
		voids:     map[*step]void{},
		startsOf:  map[*step][]*pod{},
		stopsOf:   map[*step][]*pod{},
		named:     map[podName]*namedPods{},
		steps:     map[*change][]slot{},
		decidedAt: map[*step]time.Time{},
		startedAt: map[*change]time.Time{},
	}
}

// attribute goes through the passes of a plan. podsOf are the pods of each set.
func (p *plan) attribute(podsOf map[objectID][]*pod) {
	slices.SortFunc(p.sets, func(a, b *podSet) int {
		return cmp.Or(a.created.lo.Compare(b.created.lo), cmp.Compare(a.name, b.name))
	})
	for _, rs := range p.sets {
		pods := podsOf[rs.objectID]
		switch p.controller.replaces {
		case replacedNot:
			p.planRun(rs, pods)
		default:
			born := inOrderOfBirth(pods)
			maps.Copy(p.voids, rs.void(born))
			lost := p.planStops(rs, pods)
			lost = p.planStarts(rs, born, lost)
			lost = p.lostToDeletion(rs, lost)
			p.lostWithSet(rs, lost)
			p.movedNodes(rs, born)
			p.madeUpLate(rs)
			p.planBefore(rs, pods)
		}
		p.pods = append(p.pods, pods...)
	}
	slices.SortFunc(p.pods, func(a, b *pod) int {
		return cmp.Or(a.created.lo.Compare(b.created.lo), cmp.Compare(a.name, b.name), cmp.Compare(a.uid, b.uid))
	})
	for _, q := range p.pods {
		name := podName{q.owner, q.name}
		if p.named[name] == nil {
			p.named[name] = &namedPods{}
		}
		p.named[name].pods = append(p.named[name].pods, q)
		if s := p.starts[q].step; s != nil {
			p.startsOf[s] = append(p.startsOf[s], q)
		}
		if s := p.stops[q].step; s != nil {
			p.stopsOf[s] = append(p.stopsOf[s], q)
		}
	}
	p.findMissed()
}

func byStamp(at func(*pod) stamp) func(a, b *pod) int {
	return func(a, b *pod) int {
		return cmp.Or(compareStamps(at(a), at(b)), cmp.Compare(a.name, b.name))
	}
}

// inOrderOfBirth are pods in the order in which they were first seen.
func inOrderOfBirth(pods []*pod) []*pod {
	born := slices.Clone(pods)
	slices.SortFunc(born, byStamp(func(q *pod) stamp { return q.firstSeen }))
	return born
}

// planStops returns the pods that were lost rather than removed by a step.
func (p *plan) planStops(rs *podSet, pods []*pod) (lost []*pod) {
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
			room[s] = s.from - s.to - s.ledger.filled - p.voids[s].pods
		}
	}
	surplus, returned, fewer := rs.surplus(pods), returnedOf(pods), p.fewer()
	for _, q := range leaving {
		p.work.spend(1 + len(rs.steps) + len(p.workload.changes))
		c := p.changeFor(rs, q.lostStamp())
		if c != nil && c.kind == attr.ChangeDelete {
			if !q.released() {
				p.stops[q] = slot{change: c, rs: rs}
			}
			continue
		}
		if s := takeRoom(rs.steps, room, q.lostStamp()); s != nil {
			p.stops[q] = slot{change: p.changeFor(rs, s.stamp), step: s, rs: rs}
			continue
		}
		if q.initial && surplus > 0 {
			surplus--
			p.stops[q] = slot{change: openChange(c, q.lostStamp()), rs: rs}
			continue
		}
		if back := returned.take(q, p.work); back != nil {
			p.stops[q] = slot{change: openChange(c, q.lostStamp()), rs: rs, returned: back}
			continue
		}
		c = openChange(c, q.lostStamp())
		if down := p.scaledDown(c, q, pods, fewer); down != nil {
			fewer[down]--
			p.stops[q] = slot{change: down, rs: rs}
			continue
		}
		p.stops[q] = slot{change: c, rs: rs, lost: q}
		if !q.ledger.filled {
			lost = append(lost, q)
		}
	}
	return lost
}

// surplus is how many pods more a ReplicaSet had than it wanted when rollspan
// came: a scale down was on its way.
func (rs *podSet) surplus(pods []*pod) int {
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
func (p *plan) planStarts(rs *podSet, born, lost []*pod) []*pod {
	room := map[*step]int32{}
	for _, s := range rs.steps {
		if s.up() {
			room[s] = s.to - s.from - s.ledger.filled - p.voids[s].pods
		}
	}
	losses := newLosses(p.controller.replaces, lost, p.work)
	for _, q := range born {
		p.work.spend(1 + len(rs.steps) + len(p.workload.changes))
		if q.lostFirst {
			continue
		}
		if s := takeRoom(rs.steps, room, q.firstSeen); s != nil {
			p.starts[q] = slot{change: p.changeFor(rs, s.stamp), step: s, rs: rs}
			continue
		}
		at := slot{rs: rs, lost: losses.take(q)}
		// Made up for within an open change, it belongs to the step that
		// wants the pod.
		if c := openChange(p.changeFor(rs, q.firstSeen), q.firstSeen); c != nil {
			at.change, at.step = c, lastStepUp(rs.steps, q.firstSeen)
		}
		p.starts[q] = at
	}
	return losses.left()
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
	for _, rs := range p.sets {
		p.work.spend(len(rs.steps) * (1 + len(p.workload.changes)))
		for _, s := range rs.steps {
			if p.changeFor(rs, s.stamp) == c {
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

// stepsALookup is what it takes to find what is planned of a pod, or of one after the
// other.
const stepsALookup = 2

// settled reports whether a change that ended has all it will have: every pod
// it started has got ready or gone, and every pod it removed is gone. It
// returns when the last of that became known.
func (p *plan) settled(c *change) (seen time.Time, ok bool) {
	ok = !p.leaving || c != p.current()
	seen = c.endStamp.arrival
	p.work.spend(stepsALookup * (len(p.starts) + len(p.stops)))
	for q, at := range p.starts {
		// Pods that wait when their change fails are cut there.
		if at.change != c || q.ledger.startSent || c.cutsPods() {
			continue
		}
		t, done := q.startResolved()
		seen, ok = latest(seen, t), ok && done
	}
	for q, at := range p.stops {
		if at.change != c || q.ledger.stopSent || !q.leaving() {
			continue
		}
		ok = ok && q.gone.known()
		seen = latest(seen, q.goneSeen)
	}
	return seen, ok
}
