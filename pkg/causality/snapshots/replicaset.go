package snapshots

import (
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
	from, to int32 // workloads.UnknownReplicas where nothing tells
	// creates marks the step that its creation was.
	creates bool
	up      bool
	event   *snapshotEvent // that reports it, if there is one
	// counted marks a step without an Event that is one of those that an Event
	// counts.
	counted bool
}

func newSnapshotSet(in *appsv1.ReplicaSet) *snapshotSet {
	set := &snapshotSet{ReplicaSet: in, created: in.CreationTimestamp.Time}
	history := strings.Split(in.Annotations[workloads.RevisionHistoryAnnotation], ",")
	for _, s := range append(history, in.Annotations[workloads.RevisionAnnotation]) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
			set.numbers = append(set.numbers, n)
		}
	}
	slices.Sort(set.numbers)
	set.numbers = slices.Compact(set.numbers)
	return set
}

// wanted is spec.replicas.
func (set *snapshotSet) wanted() int32 { return max(workloads.WantedReplicas(set.Spec.Replicas), 0) }

// template is the pod template as the Deployment had it: without the label that is
// added to it.
func (set *snapshotSet) template() *corev1.PodTemplateSpec {
	if set.stripped == nil {
		set.stripped = set.Spec.Template.DeepCopy()
		delete(set.stripped.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	}
	return set.stripped
}

// stepsOf collects the steps of a Deployment's ReplicaSets, in order: by its
// Events, of which those that repeated give the first and the last time, and
// by the pods that came and went.
func (snap *snapshot) stepsOf(d *snapshotDeployment) []*snapshotStep {
	named := map[string]*snapshotSet{}
	for _, set := range d.sets {
		named[set.Name] = set
	}
	for _, ev := range snap.eventsOf[d.UID] {
		said, ok := workloads.ScalingIn(ev.Message)
		set := named[said.Set]
		if !ok || ev.Reason != "ScalingReplicaSet" || set == nil {
			continue
		}
		for _, at := range ev.spoken() {
			if at.IsZero() {
				continue // nothing tells when
			}
			set.steps = append(set.steps, &snapshotStep{set: set, at: at, event: ev, up: said.Up, from: said.From, to: said.To})
		}
	}
	var steps []*snapshotStep
	for _, set := range d.sets {
		set.forgetSteps()
		for _, s := range set.steps {
			s.at = set.stepTime(s.at, s.up)
		}
		set.addCreation()
		set.addStepsOfPods()
		set.forgetSteps()
		slices.SortStableFunc(set.steps, byTime)
		set.placePods()
		set.repeatEvents()
		steps = append(steps, set.steps...)
	}
	slices.SortStableFunc(steps, byTime)
	return steps
}

func byTime(a, b *snapshotStep) int { return a.at.Compare(b.at) }

// forgetSteps drops the oldest of more steps than the engine keeps, but for the
// creation.
func (set *snapshotSet) forgetSteps() {
	if len(set.steps) <= workloads.MaxSteps {
		return
	}
	slices.SortStableFunc(set.steps, byTime)
	old := slices.DeleteFunc(slices.Clone(set.steps[:len(set.steps)-workloads.MaxSteps]), func(s *snapshotStep) bool { return !s.creates })
	set.steps = append(old, set.steps[len(set.steps)-workloads.MaxSteps:]...)
}

// reportSlack is how much later than a step's first effect a controller may
// report the step; in recordings it was less than a millisecond.
const reportSlack = 50 * time.Millisecond

// stepTime dates a step that an Event reports: by its first effect, if that came
// just before, or in the second that is all the Event states.
func (set *snapshotSet) stepTime(at time.Time, up bool) time.Time {
	from, until := at.Add(-reportSlack), at
	if second := at.Truncate(time.Second); at.Equal(second) {
		from, until = second, second.Add(time.Second)
	}
	first := time.Time{}
	for _, pod := range set.pods {
		effect, exact := pod.asked, pod.askedExact && pod.removed
		if up {
			effect, exact = pod.born, pod.bornExact
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
func (set *snapshotSet) addCreation() {
	for _, s := range set.steps {
		late := s.at.Sub(set.created)
		if s.up && late >= 0 && late < 2*time.Second {
			s.creates, s.from = true, 0
			set.created = s.at
			return
		}
	}
	var effects []time.Time
	for _, pod := range set.pods {
		if pod.bornExact {
			effects = append(effects, pod.born)
		}
	}
	slices.SortFunc(effects, time.Time.Compare)
	set.created, _ = narrowed(set.created, nil, effects)
	set.steps = append(set.steps, &snapshotStep{set: set, at: set.created, from: 0, to: workloads.UnknownReplicas, up: true, creates: true})
}

// addStepsOfPods adds the steps that only pods prove: from none, when the first
// one was born, and to none, when the last one was deleted.
func (set *snapshotSet) addStepsOfPods() {
	type turn struct {
		at time.Time
		up bool
	}
	var turns []turn
	for _, pod := range set.pods {
		if !pod.born.IsZero() {
			turns = append(turns, turn{pod.born, true})
		}
		if pod.removed {
			turns = append(turns, turn{pod.asked, false})
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	alive := int32(0)
	var up *snapshotStep
	known := set.steps // without those that are added, of which the last comes closest
	var lastUp, lastDown *snapshotStep
	for _, t := range turns {
		if t.up {
			if alive == 0 {
				up = &snapshotStep{set: set, at: t.at, from: 0, to: 0, up: true}
				if up.isOneOf(known) || up.is(lastUp) || len(set.numbers) < 2 {
					up = nil
				} else {
					set.steps = append(set.steps, up)
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
		down := &snapshotStep{set: set, at: t.at, from: workloads.UnknownReplicas, to: 0}
		if !down.isOneOf(known) && !down.is(lastDown) {
			set.steps = append(set.steps, down)
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
func (set *snapshotSet) placePods() {
	for _, s := range set.steps {
		second := s.at.Truncate(time.Second)
		for _, pod := range set.pods {
			if s.up && !pod.bornExact && pod.born.Equal(second) {
				pod.born = s.at
			}
			if !s.up && !pod.askedExact && !pod.asked.IsZero() && pod.asked.Equal(second) {
				pod.asked, pod.removed = s.at, true
			}
		}
	}
}

// repeatEvents gives the Events about steps, which state their first and last
// times only, the times of the steps between that pods prove: each to one Event.
func (set *snapshotSet) repeatEvents() {
	for i, last := range set.steps {
		before := set.reportedBefore(i)
		if before == nil {
			continue
		}
		last.event.repeats = nil
		for _, s := range set.steps {
			same := s.event == last.event || s.event == nil && !s.counted && s.up == last.up
			if same && s.at.After(before.at) && !s.at.After(last.at) {
				s.counted = true
				last.event.repeats = append(last.event.repeats, s.at)
			}
		}
	}
}

// reportedBefore is the earlier step that the Event of a step reports, too.
func (set *snapshotSet) reportedBefore(i int) *snapshotStep {
	for _, s := range set.steps[:i] {
		if s.event != nil && s.event == set.steps[i].event {
			return s
		}
	}
	return nil
}
