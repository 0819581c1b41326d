package plans

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Attribution says where a pod's start or stop belongs: pod web-6757-x2x was made because
// the rollout to revision 4 (Change) scaled its ReplicaSet (Set) from 0 to 1 (Step).
type Attribution struct {
	// Change is nil for what came before anything the engine saw, and for a
	// pod lost or replaced while no change was open.
	Change *workloads.Change
	Step   *workloads.Step
	Set    *workloads.PodSet
	// Filled says that the pod took one of the places that the step had. A pod that was made
	// in the place of a lost one took none.
	Filled bool
	// Returned is, of a stop, the pod that came back to its set, so that this one was one
	// too many and was removed.
	Returned *podlife.Pod
	// Lost is the pod whose loss this is (of a stop, the pod itself; of a
	// start, the pod it replaces), when no step asked for it.
	Lost *podlife.Pod
}

// Plan is the attribution of everything the pods of a workload did: which
// step created or removed each. It is derived anew from the records whenever
// it is needed, so that it does not depend on the order they filled up in.
type Plan struct {
	Workload *workloads.Workload
	Around   Surroundings
	Work     *evidence.Work // what may still be spent to find things in it
	Issued   *ledger.Issued // the trace IDs that were given so far
	Quiet    time.Duration  // how far apart two Events are at most of which the one led to the other

	// AtRest are the pods that are not part of the plan. The zero value is that of a plan of
	// all pods.
	AtRest AtRest

	Sets   []*workloads.PodSet
	Pods   []*podlife.Pod // of all sets, in order of creation
	Starts map[*podlife.Pod]Attribution
	Stops  map[*podlife.Pod]Attribution

	Successor map[*podlife.Pod]*podlife.Pod // see build.Successors
	// ReplacedAt is, of each pod that was lost, when the pod in its place was made. So it
	// was lost by then.
	ReplacedAt map[*podlife.Pod]time.Time

	// Shortfalls are the pods that steps asked for and never got.
	Shortfalls map[*workloads.Step]workloads.Shortfall

	// StartsOf and StopsOf are the pods that each step made or removed: Starts and Stops the
	// other way round.
	StartsOf map[*workloads.Step][]*podlife.Pod
	StopsOf  map[*workloads.Step][]*podlife.Pod
	named    map[PodName]*namedPods // see Named

	Joins  bool            // whether changes are to join their deployers' traces
	Owners []string        // up the chain, nearest first
	Cron   *podlife.Object // the CronJob that made the Job, if it is known
	// ChangedFrom is the mirror pod of what a static pod was before it was changed to this one.
	ChangedFrom *podlife.Pod
	// Scalers are the autoscalers of the workload.
	Scalers []*podlife.Object

	// What was derived of the plan already: the steps of a change, and when a step or a
	// change began.
	steps     map[*workloads.Change][]Attribution
	decidedAt map[*workloads.Step]time.Time
	startedAt map[*workloads.Change]time.Time
}

// AtRest is what a plan knows of the pods of a workload about which there is nothing to tell,
// and which leave the others as they are. A settled Deployment of 10,000 pods of which one is
// replaced is planned as one of two pods; what the 10,000 filled is full.
type AtRest struct {
	Filled  map[*workloads.Step]int32   // how many places they took of each step
	Initial map[*workloads.PodSet]int32 // how many were there before the watcher was
}

// Awake reports whether pods are left out of the plan that are at rest.
func (p *Plan) Awake() bool { return p.AtRest.Filled != nil }

// Surroundings are asked for what lies beyond the workload.
type Surroundings interface {
	// NodeCause is the disruption of its node that led to the loss of a pod, of those
	// that began by a time; nil if none did.
	NodeCause(lost *podlife.Pod, until time.Time) *nodes.Disruption
	// CausesOfLoss are where the causes of a pod's loss are told; on is the disruption
	// that led to it, if one did.
	CausesOfLoss(lost *podlife.Pod, on *nodes.Disruption) []ledger.Place
	// DisruptionsOf are what ailed the node of a pod in a time.
	DisruptionsOf(pod *podlife.Pod, from, until time.Time) []*nodes.Disruption
	// PlaceOfDisruption is where a disruption is, or will be, told.
	PlaceOfDisruption(d *nodes.Disruption) ledger.Place
}

// PodName is the name of a pod among those of one owner. Several pods may have had it, one after
// the other, as those of a StatefulSet do.
type PodName struct {
	Owner kube.ObjectID
	Name  string
}

// namedPods are the pods that have had a name, and when they were made and asked to stop:
// those times are worked out when they are asked for.
type namedPods struct {
	pods          []*podlife.Pod
	made, stopped []time.Time
}

// Times are those at which the pods of a name were made, or asked to stop, as an Event of
// that reason says.
func (p *Plan) Times(n *namedPods, reason string) []time.Time {
	times, at := &n.made, (*podlife.Pod).CreatedAt
	if reason == "SuccessfulDelete" {
		times, at = &n.stopped, p.StopAsked
	}
	if *times == nil {
		for _, pod := range n.pods {
			*times = append(*times, at(pod))
		}
	}
	return *times
}

// Named are the pods of each name. Few plans are asked for them.
func (p *Plan) Named() map[PodName]*namedPods {
	if p.named == nil {
		p.named = make(map[PodName]*namedPods, len(p.Pods))
		for _, pod := range p.Pods {
			name := PodName{pod.Owner, pod.Name}
			if p.named[name] == nil {
				p.named[name] = &namedPods{}
			}
			p.named[name].pods = append(p.named[name].pods, pod)
		}
	}
	return p.named
}

// New returns a plan of a workload and its sets in which nothing is attributed yet.
func New(w *workloads.Workload, sets []*workloads.PodSet) *Plan {
	return &Plan{
		Workload:   w,
		Sets:       slices.Clone(sets),
		Stops:      map[*podlife.Pod]Attribution{},
		ReplacedAt: map[*podlife.Pod]time.Time{},
		Shortfalls: map[*workloads.Step]workloads.Shortfall{},
		StartsOf:   map[*workloads.Step][]*podlife.Pod{},
		StopsOf:    map[*workloads.Step][]*podlife.Pod{},
		steps:      map[*workloads.Change][]Attribution{},
		decidedAt:  map[*workloads.Step]time.Time{},
		startedAt:  map[*workloads.Change]time.Time{},
	}
}

// Attribute goes through the passes of a plan. podsOf are the pods of each set.
func (p *Plan) Attribute(podsOf map[kube.ObjectID][]*podlife.Pod) {
	n := 0
	for _, set := range p.Sets {
		n += len(podsOf[set.ObjectID])
	}
	p.Starts = make(map[*podlife.Pod]Attribution, n)
	slices.SortFunc(p.Sets, func(a, b *workloads.PodSet) int {
		return cmp.Or(a.Created.Earliest.Compare(b.Created.Earliest), cmp.Compare(a.Name, b.Name))
	})
	atOnce := p.stoppedAtOnce(podsOf)
	for _, set := range p.Sets {
		pods := podsOf[set.ObjectID]
		switch p.Workload.Controller.Replaces {
		case workloads.NeverReplaced:
			p.attributeRun(set, pods)
		default:
			born := InOrderOfBirth(pods)
			maps.Copy(p.Shortfalls, set.Shortfalls(born, p.filled, p.AtRest.Initial[set]))
			lost := p.attributeStops(set, pods)
			lost = p.attributeStarts(set, born, lost)
			lost = p.attributeToDeletion(set, lost)
			p.dropLostWithSet(set, lost)
			p.attributeNodeScales(set, born)
			p.attributeLateReplacements(set)
			p.attributeInitial(set, pods, atOnce)
		}
		p.Pods = append(p.Pods, pods...)
	}
	slices.SortFunc(p.Pods, func(a, b *podlife.Pod) int {
		return cmp.Or(a.Created.Earliest.Compare(b.Created.Earliest), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	for _, pod := range p.Pods {
		if step := p.Starts[pod].Step; step != nil {
			p.StartsOf[step] = append(p.StartsOf[step], pod)
		}
		if step := p.Stops[pod].Step; step != nil {
			p.StopsOf[step] = append(p.StopsOf[step], pod)
		}
	}
	p.findReplaced()
}

func byWrite(at func(*podlife.Pod) evidence.Write) func(a, b *podlife.Pod) int {
	return func(a, b *podlife.Pod) int {
		return cmp.Or(evidence.CompareWrites(at(a), at(b)), cmp.Compare(a.Name, b.Name))
	}
}

// InOrderOfBirth are pods in the order in which they were first seen.
func InOrderOfBirth(pods []*podlife.Pod) []*podlife.Pod {
	born := slices.Clone(pods)
	slices.SortFunc(born, byWrite(func(pod *podlife.Pod) evidence.Write { return pod.FirstSeen }))
	return born
}

// attributeStops returns the pods that were lost rather than removed by a step.
func (p *Plan) attributeStops(set *workloads.PodSet, pods []*podlife.Pod) (lost []*podlife.Pod) {
	var leaving []*podlife.Pod
	for _, pod := range pods {
		if pod.Lost() && !pod.LostFirst {
			leaving = append(leaving, pod)
		}
	}
	slices.SortFunc(leaving, byWrite(func(pod *podlife.Pod) evidence.Write { return pod.LostBy() }))
	vacancies := p.vacancies(set, false)
	surplus, returned, fewer := p.surplus(set, pods), returnedOf(pods), p.fewer()
	for _, pod := range leaving {
		p.Work.Spend(1 + len(p.Workload.Changes))
		c := p.changeFor(set, pod.LostBy())
		if c != nil && c.Kind == attr.ChangeDelete {
			if !pod.Released() {
				p.Stops[pod] = Attribution{Change: c, Set: set}
			}
			continue
		}
		if step := vacancies.Take(pod.LostBy(), nil, p.Work); step != nil {
			p.Stops[pod] = Attribution{Change: p.changeFor(set, step.Write), Step: step, Set: set, Filled: true}
			continue
		}
		wasToGo := p.Workload.WasToGo(pod)
		if !wasToGo && pod.Initial && surplus > 0 {
			surplus--
			wasToGo = true
		}
		if wasToGo {
			p.Stops[pod] = Attribution{Change: openChange(c, pod.LostBy()), Set: set}
			continue
		}
		if back := returned.take(pod, p.Work); back != nil {
			p.Stops[pod] = Attribution{Change: openChange(c, pod.LostBy()), Set: set, Returned: back}
			continue
		}
		c = openChange(c, pod.LostBy())
		if down := p.scaleDownOf(c, pod, pods, fewer); down != nil {
			fewer[down]--
			p.Stops[pod] = Attribution{Change: down, Set: set}
			continue
		}
		p.Stops[pod] = Attribution{Change: c, Set: set, Lost: pod}
		if !pod.Ledger.Filled {
			lost = append(lost, pod)
		}
	}
	return lost
}

// vacancies are the places that the steps up of a set have for new pods, or its steps down
// for such as were removed.
func (p *Plan) vacancies(set *workloads.PodSet, up bool) *workloads.Vacancies {
	p.Work.Spend(len(set.Steps) / stepsPerUnit)
	return workloads.NewVacancies(set.Steps, func(step *workloads.Step) int32 {
		switch {
		case step.Up() != up:
			return 0
		case up:
			return step.To - step.From - p.filled(step) - p.Shortfalls[step].Pods
		default:
			return step.From - step.To - p.filled(step) - p.Shortfalls[step].Pods
		}
	})
}

// stepsPerUnit is how many steps are counted for a unit of work.
const stepsPerUnit = 16

// filled is how many places of a step have pods that are not among those of the plan.
func (p *Plan) filled(step *workloads.Step) int32 { return step.Ledger.Filled + p.AtRest.Filled[step] }

// surplus is how many pods more a ReplicaSet had than it wanted when rollspan
// came: a scale down was on its way.
func (p *Plan) surplus(set *workloads.PodSet, pods []*podlife.Pod) int {
	if set.Listed < 0 {
		return 0
	}
	n := int(p.AtRest.Initial[set] - set.Listed)
	for _, pod := range pods {
		if pod.Initial && !pod.LostFirst {
			n++
		}
	}
	return n
}

// openChange is c if it was open when a write was made, else nil.
func openChange(c *workloads.Change, write evidence.Write) *workloads.Change {
	if c != nil && c.OpenAt(write) {
		return c
	}
	return nil
}

// attributeStarts returns the lost pods that nothing replaced.
func (p *Plan) attributeStarts(set *workloads.PodSet, born, lost []*podlife.Pod) []*podlife.Pod {
	vacancies := p.vacancies(set, true)
	losses := newLosses(p.Workload.Controller.Replaces, lost, p.Work)
	losses.inferred = p.Workload.Inferred
	for _, pod := range born {
		p.Work.Spend(1 + len(p.Workload.Changes))
		if pod.LostFirst {
			continue
		}
		if step := vacancies.Take(pod.FirstSeen, p.stepsOpenTo(set, pod), p.Work); step != nil {
			p.Starts[pod] = Attribution{Change: p.changeFor(set, step.Write), Step: step, Set: set, Filled: true}
			continue
		}
		at := Attribution{Set: set, Lost: losses.take(pod)}
		// Made up for within an open change, it belongs to the step that
		// wants the pod.
		if c := openChange(p.changeFor(set, pod.FirstSeen), pod.FirstSeen); c != nil && (!set.Direct() || !madeBefore(pod, c)) {
			at.Change, at.Step = c, lastStepUp(set.Steps, pod.FirstSeen)
		}
		p.Starts[pod] = at
	}
	return losses.left()
}

func lastStepUp(steps []*workloads.Step, write evidence.Write) *workloads.Step {
	for _, step := range slices.Backward(steps) {
		if step.Up() && !write.Before(step.Write) {
			return step
		}
	}
	return nil
}

// ScaledBy returns what tells whether a change is a scale that waits for a pod which it did not make, too. A workload
// that is put together keeps pods of other sets for a while, which do not count (Argo Rollouts' scale-down-deadline).
func (p *Plan) ScaledBy(c *workloads.Change) func(*podlife.Pod) bool {
	if c.Kind != attr.ChangeScale || p.Workload.Composition == nil {
		return func(*podlife.Pod) bool { return c.Kind == attr.ChangeScale }
	}
	sets := map[kube.ObjectID]bool{}
	for _, of := range p.StepsOf(c) {
		sets[of.Set.ObjectID] = true
	}
	return func(pod *podlife.Pod) bool { return sets[pod.Owner] }
}

// StepsOf returns the steps that belong to a change, each with its
// ReplicaSet, in the order they were decided; of one that was given up and tried again only
// those until then.
func (p *Plan) StepsOf(c *workloads.Change) []Attribution {
	if out, ok := p.steps[c]; ok {
		return out
	}
	var out []Attribution
	for _, set := range p.Sets {
		p.Work.Spend(len(set.Steps) * (1 + len(p.Workload.Changes)))
		for _, step := range set.Steps {
			if p.changeFor(set, step.Write) == c && (c == nil || !c.Retried(step.Write)) {
				out = append(out, Attribution{Change: c, Step: step, Set: set})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Attribution) int {
		switch {
		case a.Step.Write.Before(b.Step.Write):
			return -1
		case b.Step.Write.Before(a.Step.Write):
			return 1
		default:
			return 0
		}
	})
	p.steps[c] = out
	return out
}

// WorkPerLookup is the work that it takes to find what is planned of a pod, or of one after the
// other.
const WorkPerLookup = 2

// Settled reports whether a change that ended has all it will have: every pod
// it started has got ready or gone, and every pod it removed is gone. It
// returns when the last of that became known.
func (p *Plan) Settled(c *workloads.Change) (seen time.Time, ok bool) {
	ok = !p.Workload.Leaving || c != p.Workload.Current()
	seen = c.EndedBy.Arrival
	p.Work.Spend(WorkPerLookup * (len(p.Starts) + len(p.Stops)))
	for pod, at := range p.Starts {
		// Pods that wait when their change fails are cut there.
		if at.Change != c || pod.Ledger.StartSent || c.CutsPods() || c.Retried(pod.FirstSeen) {
			continue
		}
		t, done := pod.StartResolved()
		seen, ok = evidence.Latest(seen, t), ok && done
	}
	for pod, at := range p.Stops {
		if at.Change != c || pod.Ledger.StopSent || !pod.Leaving() || c.Retried(pod.LostBy()) {
			continue
		}
		ok = ok && pod.Gone.Known()
		seen = evidence.Latest(seen, pod.GoneSeen)
	}
	return seen, ok
}

// Wants reports whether a pod is one of those that a change is to have, and does not replace.
func (p *Plan) Wants(c *workloads.Change, pod *podlife.Pod) bool {
	if c.RevisionName != "" && pod.RevisionName == c.RevisionName {
		return true // after a rollback there are some that it need not replace
	}
	start := p.Starts[pod]
	if c.Kind == attr.ChangeRollout && !p.Workload.Direct() {
		// A rollout may go on with pods that another one began with.
		return start.Set != nil && start.Set.Revision == c.Revision
	}
	return start.Change == c
}
