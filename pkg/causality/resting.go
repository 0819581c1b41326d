package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/timers"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// A workload may have ten thousand pods of which one is replaced now and then. So a review
// looks at the pods of which something is to be told, and at those of which something was
// observed since the last one. The others are at rest: what is known of them was handed out,
// or waits for the end of the change that is open. They keep the places in steps that a plan of
// all pods gave them, so that a plan of the others says of these what it would say.
//
// All pods are looked at when anything but pods is not as it was in the last review, when a
// change is over, and when what is to be handed out is part of a change.

// fewPods is how many pods a plan is made of in any case: to know which of them are at rest
// would take more than it saves.
const fewPods = 16

// allResting are the pods at rest of all workloads.
type allResting struct {
	resting map[kube.ObjectID]*resting // by the workload
	fewPods int                        // see fewPods
	// onAwakePlan is shown each plan that leaves out pods at rest: tests compare it with one of
	// all pods.
	onAwakePlan func(*plans.Plan)
}

func newAllResting() allResting {
	return allResting{resting: map[kube.ObjectID]*resting{}, fewPods: fewPods}
}

// resting are the pods at rest of one workload.
type resting struct {
	pods map[*podlife.Pod]rested
	// awake are the others, by their set.
	awake  map[kube.ObjectID][]*podlife.Pod
	counts plans.AtRest
	as     workloads.Outline // what else the workload was when they came to rest
	// gone are those of them that were told of, and are to be forgotten when their time comes.
	gone timers.Timers[*podlife.Pod]
}

// rested is the part of one pod in the plan in which it came to rest.
type rested struct {
	set   *workloads.PodSet
	steps [2]*workloads.Step // whose places it took, in starting and in stopping
	// others are the pod in whose place it came, and the one that came in its place: what wakes
	// one of them wakes all.
	others [2]*podlife.Pod
}

// awakePlan is the plan of those pods of a workload that are not at rest; nil if all are to be
// looked at.
func (e *Engine) awakePlan(w *workloads.Workload) *plans.Plan {
	rest := e.resting[w.ObjectID]
	if rest == nil || !mayRest(w) || !rest.as.Equal(w.Outline(e.setsOf[w.ObjectID])) {
		return nil
	}
	if w.Controller.Replaces.InTheWay() && rest.lostFirst() {
		return nil
	}
	for _, pod := range rest.gone.Come(e.now) {
		e.stir(pod)
	}
	p := e.newPlan(w)
	p.AtRest = rest.counts
	p.Attribute(rest.awake)
	if e.onAwakePlan != nil {
		e.onAwakePlan(p)
	}
	return p
}

// lostFirst reports whether a pod was lost when the watch began: any that came later may be in
// its place.
func (rest *resting) lostFirst() bool {
	for _, pods := range rest.awake {
		if slices.ContainsFunc(pods, func(pod *podlife.Pod) bool { return pod.LostFirst }) {
			return true
		}
	}
	return false
}

// mayRest reports whether pods of a workload may be at rest. Those of a snapshot, of a workload
// that is put together, and of a DaemonSet, whose scales are told by how many pods there are, are
// looked at all together.
func mayRest(w *workloads.Workload) bool {
	return !w.Inferred && w.Composition == nil && !w.Deleted && !w.Gone &&
		w.Controller.Replaces != workloads.NeverReplaced && w.Controller.ScaledBy != workloads.ScaledByNodes
}

// stir has a pod, if there is one, looked at in the next review.
func (e *Engine) stir(pod *podlife.Pod) {
	if pod == nil {
		return
	}
	rest := e.restingWith(pod.Owner)
	if rest == nil {
		return
	}
	at, resting := rest.pods[pod]
	if !resting {
		return
	}
	rest.wake(pod, at)
	for _, other := range at.others {
		e.stir(other)
	}
}

// isAtRest reports whether a pod of a workload is left out of its reviews.
func (e *Engine) isAtRest(w *workloads.Workload, pod *podlife.Pod) bool {
	rest := e.resting[w.ObjectID]
	if rest == nil {
		return false
	}
	_, resting := rest.pods[pod]
	return resting
}

// wake takes a pod from those at rest.
func (rest *resting) wake(pod *podlife.Pod, at rested) {
	delete(rest.pods, pod)
	rest.gone.Remove(pod)
	rest.count(pod, at, -1)
	rest.awake[at.set.ObjectID] = append(rest.awake[at.set.ObjectID], pod)
}

// count notes the places that a pod has, or has no more.
func (rest *resting) count(pod *podlife.Pod, at rested, by int32) {
	for _, step := range at.steps {
		if step != nil {
			rest.counts.Filled[step] += by
		}
	}
	if pod.Initial && !pod.LostFirst {
		rest.counts.Initial[at.set] += by
	}
}

// restingWith are the pods at rest among which those of a set are; nil if there are none.
func (e *Engine) restingWith(set kube.ObjectID) *resting {
	if s := e.sets[set]; s != nil {
		return e.resting[s.Owner]
	}
	return nil
}

// joinAwake has a pod that is filed under a set looked at with the others.
func (e *Engine) joinAwake(pod *podlife.Pod) {
	if rest := e.restingWith(pod.Owner); rest != nil {
		rest.awake[pod.Owner] = append(rest.awake[pod.Owner], pod)
	}
}

// leaveAwake has a pod that is taken from its set looked at no more.
func (e *Engine) leaveAwake(pod *podlife.Pod) {
	e.stir(pod)
	if rest := e.restingWith(pod.Owner); rest != nil {
		rest.awake[pod.Owner] = slices.DeleteFunc(rest.awake[pod.Owner], func(o *podlife.Pod) bool { return o == pod })
	}
}

// rest notes which pods are at rest after a review.
func (r *reviewer) rest() {
	e, w := r.engine, r.plan.Workload
	open, alone := w.OpenAlone()
	if r.wanted != whatSettled || !alone || !mayRest(w) || e.workloads[w.ObjectID] != w {
		delete(e.resting, w.ObjectID)
		return
	}
	rest := e.resting[w.ObjectID]
	if rest == nil && r.plan.Awake() {
		return // a set was forgotten in this review, so the next one looks at all pods
	}
	if !r.plan.Awake() {
		if len(r.plan.Pods) < e.fewPods {
			delete(e.resting, w.ObjectID)
			return
		}
		rest = &resting{
			pods: map[*podlife.Pod]rested{}, awake: map[kube.ObjectID][]*podlife.Pod{},
			counts: plans.AtRest{Filled: map[*workloads.Step]int32{}, Initial: map[*workloads.PodSet]int32{}},
		}
		for _, set := range r.plan.Sets {
			rest.awake[set.ObjectID] = slices.Clone(e.podsOf[set.ObjectID])
		}
	}
	if w.Controller.Replaces.InTheWay() && rest.lostFirst() {
		delete(e.resting, w.ObjectID)
		return
	}
	for pod, at := range r.atRest(open) {
		rest.pods[pod] = at
		rest.count(pod, at, 1)
		if pod.Gone.Known() && !r.pending(pod) {
			rest.gone.Set(pod, e.forgottenAfter(pod.Touched).Add(time.Nanosecond))
		}
	}
	for set, pods := range rest.awake {
		rest.awake[set] = slices.DeleteFunc(pods, func(pod *podlife.Pod) bool {
			_, resting := rest.pods[pod]
			return resting
		})
	}
	rest.as = w.Outline(e.setsOf[w.ObjectID])
	e.resting[w.ObjectID] = rest
	if first := rest.gone.First(); !first.IsZero() {
		r.nextReview = evidence.Earliest(r.nextReview, first.Add(workloads.Together))
	}
}

// atRest are the pods of the plan about which there is nothing to tell, but for what is part
// of the open change. A pod that was lost and the one in its place rest together or not at all:
// which of them belong together is only found among all.
func (r *reviewer) atRest(open *workloads.Change) map[*podlife.Pod]rested {
	found := map[*podlife.Pod]rested{}
	next := map[*podlife.Pod]*podlife.Pod{}
	for _, pod := range r.plan.Pods {
		r.plan.Work.Spend(1)
		start, stop := r.plan.Starts[pod], r.plan.Stops[pod]
		if start.Lost != nil {
			next[start.Lost] = pod
		}
		if r.engine.pods[pod.ObjectID] != pod || !r.restsAfter(pod, start, open) || pod.Lost() && !restsGone(open, pod, stop) {
			continue
		}
		if pod.Gone.Known() && !r.pending(pod) && r.engine.unsettled.Has(pod.Object) {
			continue // it is forgotten when its last Events are told, and not at a time
		}
		at := rested{set: start.Set}
		if start.Filled {
			at.steps[0] = start.Step
		}
		if stop.Filled {
			at.steps[1] = stop.Step
		}
		found[pod] = at
	}
	for _, pod := range r.plan.Pods {
		at, ok := found[pod]
		if !ok {
			continue
		}
		at.others = [2]*podlife.Pod{r.plan.Starts[pod].Lost, next[pod]}
		if r.plan.Stops[pod].Lost != nil && at.others[1] == nil && !pod.Ledger.Filled {
			delete(found, pod) // its place is free
			continue
		}
		found[pod] = at
	}
	r.keepTogether(found)
	return found
}

// keepTogether drops the pods of which another that belongs to them is not at rest.
func (r *reviewer) keepTogether(found map[*podlife.Pod]rested) {
	left := slices.Clone(r.plan.Pods)
	for len(left) > 0 {
		pod := left[len(left)-1]
		left = left[:len(left)-1]
		at, ok := found[pod]
		if !ok {
			continue
		}
		for _, other := range at.others {
			if _, rests := found[other]; other != nil && !rests {
				delete(found, pod)
				for _, other := range at.others {
					if other != nil {
						left = append(left, other)
					}
				}
				break
			}
		}
	}
}

// restsAfter reports whether there is nothing to tell of a pod's start, or not before the open
// change is over, nor of its life after that.
func (r *reviewer) restsAfter(pod *podlife.Pod, start plans.Attribution, open *workloads.Change) bool {
	switch {
	case start.Set == nil || pod.ReturnedBy != (evidence.Write{}) || pod.Released() || pod.LostFirst || pod.Finite || pod.Initial && !pod.ReadyFirst:
		return false
	case open != nil && start.Change == open:
		return start.Filled || start.Set.Direct()
	default:
		told := pod.Ledger.StartSent || pod.Initial && start.Change == nil && start.Lost == nil
		return told && !pod.RestartPending()
	}
}

// restsGone reports whether a lost pod is gone, and that was told or is part of the open change.
// It has the place of a step, or another pod its own.
func restsGone(open *workloads.Change, pod *podlife.Pod, stop plans.Attribution) bool {
	told := pod.Ledger.StopSent || open != nil && stop.Change == open
	return pod.Gone.Known() && told && (stop.Filled || stop.Lost == pod)
}
