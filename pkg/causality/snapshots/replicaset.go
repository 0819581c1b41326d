package snapshots

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// snapshotSet is what a snapshot proves of a ReplicaSet's past.
type snapshotSet struct {
	*appsv1.ReplicaSet
	created time.Time
	// numbers are the revisions it has been, the current one last.
	numbers []int64
	pods    []*snapshotPod // in order of birth
	steps   []*snapshotStep
	// stripped is its template as its Deployment had it, once it was asked for, and
	// annotated are its annotations as the revision annotatedAs.
	stripped    *corev1.PodTemplateSpec
	annotated   map[string]string
	annotatedAs int64
}

// snapshotStep is a change of a ReplicaSet's replicas.
type snapshotStep struct {
	set      *snapshotSet
	at       time.Time
	from, to int32 // unknownReplicas where nothing tells
	// creates marks the step that its creation was.
	creates bool
	up      bool
	event   *snapshotEvent // that reports it, if there is one
	// counted marks a step without an Event that is one of those that an Event
	// counts.
	counted bool
}

const unknownReplicas = -1

func newSnapshotSet(in *appsv1.ReplicaSet) *snapshotSet {
	rs := &snapshotSet{ReplicaSet: in, created: in.CreationTimestamp.Time}
	history := strings.Split(in.Annotations[workloads.RevisionHistoryAnnotation], ",")
	for _, s := range append(history, in.Annotations[workloads.RevisionAnnotation]) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
			rs.numbers = append(rs.numbers, n)
		}
	}
	slices.Sort(rs.numbers)
	rs.numbers = slices.Compact(rs.numbers)
	return rs
}

// wanted is spec.replicas.
func (rs *snapshotSet) wanted() int32 { return max(workloads.WantedReplicas(rs.Spec.Replicas), 0) }

// template is the pod template as the Deployment had it: without the label that is
// added to it.
func (rs *snapshotSet) template() *corev1.PodTemplateSpec {
	if rs.stripped == nil {
		rs.stripped = rs.Spec.Template.DeepCopy()
		delete(rs.stripped.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	}
	return rs.stripped
}

// scaled reads a Deployment's Event about a step. Older versions do not say
// "from". The words are all there is.
var scaled = regexp.MustCompile(`Scaled (up|down) replica set (\S+) (?:from (\d+) )?to (\d+)$`)

// stepsOf collects the steps of a Deployment's ReplicaSets, in order: by its
// Events, of which those that repeated give the first and the last time, and
// by the pods that came and went.
func (p *snapshot) stepsOf(d *snapshotDeployment) []*snapshotStep {
	named := map[string]*snapshotSet{}
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
			if at.IsZero() {
				continue // nothing tells when
			}
			rs.steps = append(rs.steps, &snapshotStep{set: rs, at: at, event: ev, up: m[1] == "up", from: replicasIn(m[3]), to: replicasIn(m[4])})
		}
	}
	var steps []*snapshotStep
	for _, rs := range d.sets {
		rs.forgetSteps()
		for _, s := range rs.steps {
			s.at = rs.stepTime(s.at, s.up)
		}
		rs.addCreation()
		rs.addStepsOfPods()
		rs.forgetSteps()
		slices.SortStableFunc(rs.steps, byTime)
		rs.placePods()
		rs.repeatEvents()
		steps = append(steps, rs.steps...)
	}
	slices.SortStableFunc(steps, byTime)
	return steps
}

func byTime(a, b *snapshotStep) int { return a.at.Compare(b.at) }

// forgetSteps drops the oldest of more steps than the engine keeps, but for the
// creation.
func (rs *snapshotSet) forgetSteps() {
	if len(rs.steps) <= workloads.MaxSteps {
		return
	}
	slices.SortStableFunc(rs.steps, byTime)
	old := slices.DeleteFunc(slices.Clone(rs.steps[:len(rs.steps)-workloads.MaxSteps]), func(s *snapshotStep) bool { return !s.creates })
	rs.steps = append(old, rs.steps[len(rs.steps)-workloads.MaxSteps:]...)
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

// stepTime dates a step that an Event reports: by its first effect, if that came
// just before, or in the second that is all the Event states.
func (rs *snapshotSet) stepTime(at time.Time, up bool) time.Time {
	from, until := at.Add(-reportSlack), at
	if second := at.Truncate(time.Second); at.Equal(second) {
		from, until = second, second.Add(time.Second)
	}
	first := time.Time{}
	for _, q := range rs.pods {
		effect, exact := q.asked, q.askedExact && q.removed
		if up {
			effect, exact = q.born, q.bornExact
		}
		if exact && !effect.Before(from) && effect.Before(until) {
			first = evidence.Earliest(first, effect)
		}
	}
	if first.IsZero() {
		return at
	}
	return first
}

// addCreation makes sure that there is a step for the creation, and dates the
// creation by it.
func (rs *snapshotSet) addCreation() {
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
	slices.SortFunc(effects, time.Time.Compare)
	rs.created, _ = narrowed(rs.created, effects)
	rs.steps = append(rs.steps, &snapshotStep{set: rs, at: rs.created, from: 0, to: unknownReplicas, up: true, creates: true})
}

// addStepsOfPods adds the steps that only pods prove: from none, when the first
// one was born, and to none, when the last one was deleted.
func (rs *snapshotSet) addStepsOfPods() {
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
	var up *snapshotStep
	known := rs.steps // without those that are added, of which the last comes closest
	var lastUp, lastDown *snapshotStep
	for _, t := range turns {
		if t.up {
			if alive == 0 {
				up = &snapshotStep{set: rs, at: t.at, from: 0, to: 0, up: true}
				if up.isOneOf(known) || up.is(lastUp) || len(rs.numbers) < 2 {
					up = nil
				} else {
					rs.steps = append(rs.steps, up)
					lastUp = up
				}
			}
			if up != nil {
				up.to++
			}
			alive++
			continue
		}
		alive = max(alive-1, 0)
		if alive > 0 {
			continue
		}
		down := &snapshotStep{set: rs, at: t.at, from: unknownReplicas, to: 0}
		if !down.isOneOf(known) && !down.is(lastDown) {
			rs.steps = append(rs.steps, down)
			lastDown = down
		}
	}
}

// is reports whether two steps are the same, one of which may be known to the second
// only.
func (s *snapshotStep) is(o *snapshotStep) bool {
	return o != nil && o.up == s.up && o.at.Sub(s.at).Abs() < 2*time.Second
}

func (s *snapshotStep) isOneOf(steps []*snapshotStep) bool { return slices.ContainsFunc(steps, s.is) }

// placePods moves births and deletions that are known to the second only
// behind the steps that asked for them.
func (rs *snapshotSet) placePods() {
	for _, s := range rs.steps {
		second := s.at.Truncate(time.Second)
		for _, q := range rs.pods {
			if s.up && !q.bornExact && q.born.Equal(second) {
				q.born = s.at
			}
			if !s.up && !q.askedExact && !q.asked.IsZero() && q.asked.Equal(second) {
				q.asked, q.removed = s.at, true
			}
		}
	}
}

// repeatEvents gives the Events about steps, which state their first and last
// times only, the times of the steps between that pods prove: each to one Event.
func (rs *snapshotSet) repeatEvents() {
	for i, last := range rs.steps {
		before := rs.reportedBefore(i)
		if before == nil {
			continue
		}
		last.event.repeats = nil
		for _, s := range rs.steps {
			same := s.event == last.event || s.event == nil && !s.counted && s.up == last.up
			if same && s.at.After(before.at) && !s.at.After(last.at) {
				s.counted = true
				last.event.repeats = append(last.event.repeats, s.at)
			}
		}
	}
}

// reportedBefore is the earlier step that the Event of a step reports, too.
func (rs *snapshotSet) reportedBefore(i int) *snapshotStep {
	for _, s := range rs.steps[:i] {
		if s.event != nil && s.event == rs.steps[i].event {
			return s
		}
	}
	return nil
}
