package causality

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// pastSet is what a snapshot proves of a ReplicaSet's past.
type pastSet struct {
	*appsv1.ReplicaSet
	created time.Time
	// numbers are the revisions it has been, the current one last.
	numbers []int64
	pods    []*pastPod // in order of birth
	steps   []*pastStep
}

// pastStep is a change of a ReplicaSet's replicas.
type pastStep struct {
	set      *pastSet
	at       time.Time
	from, to int32 // unknownReplicas where nothing tells
	// creates marks the step that its creation was.
	creates bool
	up      bool
	event   *pastEvent // that reports it, if there is one
}

const unknownReplicas = -1

func newPastSet(in *appsv1.ReplicaSet) *pastSet {
	rs := &pastSet{ReplicaSet: in, created: in.CreationTimestamp.Time}
	history := strings.Split(in.Annotations[revisionHistoryAnnotation], ",")
	for _, s := range append(history, in.Annotations[revisionAnnotation]) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
			rs.numbers = append(rs.numbers, n)
		}
	}
	slices.Sort(rs.numbers)
	rs.numbers = slices.Compact(rs.numbers)
	return rs
}

// wanted is spec.replicas.
func (rs *pastSet) wanted() int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

// scaled reads a Deployment's Event about a step. Older versions do not say
// "from". The words are all there is.
var scaled = regexp.MustCompile(`Scaled (up|down) replica set (\S+) (?:from (\d+) )?to (\d+)$`)

// stepsOf collects the steps of a Deployment's ReplicaSets, in order: by its
// Events, of which those that repeated give the first and the last time, and
// by the pods that came and went.
func (p *past) stepsOf(d *pastDeployment) []*pastStep {
	named := map[string]*pastSet{}
	for _, rs := range d.sets {
		named[rs.Name] = rs
	}
	for _, ev := range p.eventsOf[d.UID] {
		m := scaled.FindStringSubmatch(ev.Message)
		if m == nil || ev.Reason != "ScalingReplicaSet" || named[m[2]] == nil {
			continue
		}
		rs := named[m[2]]
		times := ev.occurrences()
		if ev.combined() {
			times = times[len(times)-1:] // the others had other words
		}
		for _, at := range times {
			s := &pastStep{set: rs, event: ev, up: m[1] == "up", from: replicasIn(m[3]), to: replicasIn(m[4])}
			s.at = rs.stepTime(at, s.up)
			rs.steps = append(rs.steps, s)
		}
	}
	var steps []*pastStep
	for _, rs := range d.sets {
		rs.addCreation()
		rs.addStepsOfPods()
		slices.SortStableFunc(rs.steps, func(a, b *pastStep) int { return a.at.Compare(b.at) })
		rs.placePods()
		rs.repeatEvents()
		steps = append(steps, rs.steps...)
	}
	slices.SortStableFunc(steps, func(a, b *pastStep) int { return a.at.Compare(b.at) })
	return steps
}

func replicasIn(s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return unknownReplicas
	}
	return int32(n)
}

// reportSlack is how much later than a step's first effect a controller may
// report the step; in recordings it was less than a millisecond.
const reportSlack = 50 * time.Millisecond

// stepTime dates a step that an Event reports: not after its first effect.
func (rs *pastSet) stepTime(at time.Time, up bool) time.Time {
	second := at.Truncate(time.Second)
	for _, q := range rs.pods {
		effect, exact := q.asked, q.askedExact && q.removed
		if up {
			effect, exact = q.born, q.bornExact
		}
		switch {
		case !exact:
		case at.Equal(second):
			if effect.Truncate(time.Second).Equal(second) {
				return effect
			}
		case effect.Before(at) && at.Sub(effect) < reportSlack:
			return effect
		}
	}
	return at
}

// addCreation makes sure that there is a step for the creation, and dates the
// creation by it.
func (rs *pastSet) addCreation() {
	for _, s := range rs.steps {
		late := s.at.Sub(rs.created)
		if s.up && late >= 0 && late < 2*time.Second {
			s.creates, s.from = true, 0
			rs.created = s.at
			return
		}
	}
	var effects []time.Time
	for _, q := range rs.pods {
		if q.bornExact {
			effects = append(effects, q.born)
		}
	}
	rs.created, _ = narrowed(rs.created, effects...)
	rs.steps = append(rs.steps, &pastStep{set: rs, at: rs.created, from: 0, to: unknownReplicas, up: true, creates: true})
}

// addStepsOfPods adds the steps that only pods prove: from none, when the first
// one was born, and to none, when the last one was deleted.
func (rs *pastSet) addStepsOfPods() {
	type turn struct {
		at time.Time
		up bool
	}
	var turns []turn
	for _, q := range rs.pods {
		if !q.born.IsZero() {
			turns = append(turns, turn{q.born, true})
		}
		if q.removed {
			turns = append(turns, turn{q.asked, false})
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	alive := int32(0)
	var up *pastStep
	for _, t := range turns {
		if t.up {
			if alive == 0 {
				up = &pastStep{set: rs, at: t.at, from: 0, to: 0, up: true}
				if rs.knows(up) || len(rs.numbers) < 2 {
					up = nil
				} else {
					rs.steps = append(rs.steps, up)
				}
			}
			if up != nil {
				up.to++
			}
			alive++
			continue
		}
		alive = max(alive-1, 0)
		if down := (&pastStep{set: rs, at: t.at, from: unknownReplicas, to: 0}); alive == 0 && !rs.knows(down) {
			rs.steps = append(rs.steps, down)
		}
	}
}

// knows reports whether a step is known already, perhaps to the second only.
func (rs *pastSet) knows(s *pastStep) bool {
	return slices.ContainsFunc(rs.steps, func(o *pastStep) bool {
		return o.up == s.up && o.at.Sub(s.at).Abs() < 2*time.Second
	})
}

// placePods moves births and deletions that are known to the second only
// behind the steps that asked for them.
func (rs *pastSet) placePods() {
	for _, s := range rs.steps {
		second := s.at.Truncate(time.Second)
		for _, q := range rs.pods {
			if s.up && !q.bornExact && q.born.Equal(second) {
				q.born = s.at
			}
			if !s.up && !q.askedExact && q.asked.Equal(second) {
				q.asked, q.removed = s.at, true
			}
		}
	}
}

// repeatEvents gives the Events about steps, which state their first and last
// times only, the times of the steps between that pods prove.
func (rs *pastSet) repeatEvents() {
	for i, last := range rs.steps {
		before := rs.reportedBefore(i)
		if before == nil {
			continue
		}
		last.event.repeats = nil
		for _, s := range rs.steps {
			same := s.event == last.event || s.event == nil && s.up == last.up
			if same && s.at.After(before.at) && !s.at.After(last.at) {
				last.event.repeats = append(last.event.repeats, s.at)
			}
		}
	}
}

// reportedBefore is the earlier step that the Event of a step reports, too.
func (rs *pastSet) reportedBefore(i int) *pastStep {
	for _, s := range rs.steps[:i] {
		if s.event != nil && s.event == rs.steps[i].event {
			return s
		}
	}
	return nil
}

// setWrite is a state of a ReplicaSet to tell.
type setWrite struct {
	at       time.Time
	rank     rank
	replicas int32
	number   int64
}

// tellSet tells a ReplicaSet's past from listed on: the steps since from, and
// the revisions that it got. Where its last step is missing it is put at end.
func (p *past) tellSet(rs *pastSet, d *pastDeployment, listed, from, end time.Time) {
	steps := slices.DeleteFunc(slices.Clone(rs.steps), func(s *pastStep) bool { return s.at.Before(from) })
	number := int64(0)
	var writes []setWrite
	if isNew := !rs.created.Before(listed) && !rs.created.Before(from); isNew {
		if len(rs.numbers) > 0 {
			number = rs.numbers[0]
		}
	} else {
		steps = slices.DeleteFunc(steps, func(s *pastStep) bool { return s.creates })
		for _, n := range rs.numbers {
			if r := d.revision(n); number == 0 || r == nil || r.began.Before(from) {
				number = n
			}
		}
		writes = append(writes, setWrite{listed, rankListed, rs.before(steps, d), number})
	}
	w := &setWriter{set: rs, rise: listed}
	if len(writes) > 0 {
		w.replicas, w.base = writes[0].replicas, writes[0].replicas
	}
	w.writes = writes
	for _, s := range steps {
		w.lost(s.before(w.replicas), s.at)
		w.write(rs.stepTo(s, d), s.at)
	}
	w.lost(rs.wanted(), latest(end, w.last))
	writes = w.writes
	for _, n := range rs.numbers {
		if r := d.revision(n); r != nil && n != number && !r.began.Before(from) {
			writes = append(writes, setWrite{r.began, rankSet, unknownReplicas, n})
		}
	}
	p.tellWrites(rs, writes)
}

// setWriter writes down a ReplicaSet's steps, one after another.
type setWriter struct {
	set      *pastSet
	writes   []setWrite
	replicas int32
	last     time.Time
	// rise is when the replicas began to grow to what they are, from base.
	rise time.Time
	base int32
}

func (w *setWriter) write(to int32, at time.Time) {
	w.put(to, at, rankSet)
}

func (w *setWriter) put(to int32, at time.Time, r rank) {
	if to == w.replicas {
		return
	}
	if to < w.replicas || w.replicas == w.base {
		w.rise, w.base = at, min(to, w.replicas)
	}
	w.writes = append(w.writes, setWrite{at, r, to, 0})
	w.replicas, w.last = to, at
}

// lost writes the steps of which nothing tells but that there were more or fewer
// replicas by a time. Those up came before the pods that needed them.
func (w *setWriter) lost(to int32, by time.Time) {
	var born []time.Time
	for _, q := range w.set.pods {
		if !q.born.Before(w.rise) && q.born.Before(by) {
			born = append(born, q.born)
		}
	}
	for to > w.replicas {
		next, at := to, by
		if n := int(w.replicas - w.base); n < len(born) && born[n].After(w.last) {
			next, at = w.replicas+1, born[n]
		}
		w.put(next, at, rankBefore)
	}
	w.put(to, by, rankBefore)
}

// before is how many replicas a ReplicaSet had before the first of its steps.
func (rs *pastSet) before(steps []*pastStep, d *pastDeployment) int32 {
	switch {
	case len(steps) > 0 && steps[0].from != unknownReplicas:
		return steps[0].from
	case len(steps) > 0 && steps[0].up:
		return 0
	case len(steps) > 0, d.base == rs:
		return d.wantedFirst()
	default:
		return rs.wanted()
	}
}

// before is how many replicas there were before a step, when as many as have
// been are known: an earlier step may be missing.
func (s *pastStep) before(have int32) int32 {
	switch {
	case s.from != unknownReplicas:
		return s.from
	case s.up && s.to <= have && s.to != unknownReplicas:
		return 0
	default:
		return have
	}
}

// stepTo is what a step led to. A ReplicaSet whose first step nobody tells of
// got what it has, or was meant to have.
func (rs *pastSet) stepTo(s *pastStep, d *pastDeployment) int32 {
	if s.to != unknownReplicas {
		return s.to
	}
	if rs == d.current() && len(d.scales) == 0 {
		return rs.wanted()
	}
	return d.wantedFirst()
}

// tellWrites tells the states of a ReplicaSet. Those of one instant are one;
// their generations count back from the last.
func (p *past) tellWrites(rs *pastSet, writes []setWrite) {
	slices.SortStableFunc(writes, func(a, b setWrite) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.rank, b.rank))
	})
	var merged []setWrite
	steps := int64(0)
	for _, w := range writes {
		if n := len(merged); n > 0 && merged[n-1].at.Equal(w.at) && merged[n-1].rank == w.rank {
			if w.replicas == unknownReplicas {
				w.replicas = merged[n-1].replicas
			}
			w.number = cmp.Or(w.number, merged[n-1].number)
			merged[n-1] = w
			continue
		}
		merged = append(merged, w)
	}
	for i, w := range merged {
		if i > 0 && w.replicas != unknownReplicas {
			steps++
		}
	}
	if steps == rs.Generation-2 && merged[0].rank != rankListed && merged[0].replicas > 0 {
		// One write more than there are steps: it was created without replicas,
		// as it is while there are too many pods of others.
		merged = slices.Insert(merged, 0, setWrite{merged[0].at, rankBefore, 0, merged[0].number})
		steps++
	}
	generation := max(rs.Generation-steps, 1)
	replicas, number := int32(0), int64(0)
	if len(rs.numbers) > 0 {
		number = rs.numbers[0]
	}
	for i, w := range merged {
		typ := watch.Modified
		switch {
		case i == 0 && w.rank != rankListed:
			typ, generation = watch.Added, 1
		case i == 0:
			typ = watch.Added
		case w.replicas != unknownReplicas:
			generation = max(generation+1, rs.Generation-steps+1)
			steps--
		}
		if w.replicas != unknownReplicas {
			replicas = w.replicas
		}
		number = cmp.Or(w.number, number)
		p.tell(w.at, w.rank, typ, rs.state(replicas, number, generation, i == len(merged)-1))
	}
}

// state is the ReplicaSet as it was with so many replicas, as a revision.
func (rs *pastSet) state(replicas int32, number, generation int64, final bool) *appsv1.ReplicaSet {
	to := &appsv1.ReplicaSet{TypeMeta: rs.TypeMeta, ObjectMeta: *rs.ObjectMeta.DeepCopy(), Spec: rs.Spec}
	to.Generation = generation
	to.Spec.Replicas = &replicas
	if final {
		to.Status = rs.Status
	}
	if number > 0 && to.Annotations != nil {
		to.Annotations[revisionAnnotation] = strconv.FormatInt(number, 10)
		var history []string
		for _, n := range rs.numbers {
			if n < number {
				history = append(history, strconv.FormatInt(n, 10))
			}
		}
		to.Annotations[revisionHistoryAnnotation] = strings.Join(history, ",")
	}
	return to
}

// tellSettledSet tells of a ReplicaSet of which no change is told.
func (p *past) tellSettledSet(rs *pastSet) {
	for _, q := range rs.pods {
		p.tellPod(q, p.begin)
	}
	p.tell(p.begin, rankListed, watch.Added, rs.ReplicaSet.DeepCopy())
}
