package plans

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// fewer is how many pods each change of a workload that makes its pods itself has
// removed because there were to be fewer. A StatefulSet's are known by their names.
func (p *Plan) fewer() map[*workloads.Change]int32 {
	fewer := map[*workloads.Change]int32{}
	if p.Workload.Direct() && p.Workload.Controller.Replaces != workloads.ReplacedByName {
		for _, c := range p.Workload.Changes {
			fewer[c] = c.Fewer
		}
	}
	return fewer
}

// scaleDownOf is the change that removed a pod because there were to be fewer, nil if
// that was not why: the one that was open, or the scale of a DaemonSet that its
// status reports a moment later.
func (p *Plan) scaleDownOf(open *workloads.Change, pod *podlife.Pod, pods []*podlife.Pod, fewer map[*workloads.Change]int32) *workloads.Change {
	if fewer[open] > 0 && (p.Workload.Controller.ScaledBy != workloads.ScaledByNodes || open.Kind == attr.ChangeScale) {
		return open
	}
	if p.Workload.Controller.ScaledBy != workloads.ScaledByNodes || open != nil && open.Kind != attr.ChangeScale {
		return nil // a rollout's, whatever it was for
	}
	next := p.scaleAfter(pod.LostBy())
	if next == nil || fewer[next] == 0 {
		return nil
	}
	p.Work.Spend(len(pods))
	for _, other := range pods {
		if other.Node == pod.Node && pod.LostBy().Before(other.FirstSeen) && other.FirstSeen.Before(next.Opened) {
			return nil // another took its place before
		}
	}
	return next
}

// scaleAfter is the scale that a DaemonSet's status reports a moment after a write.
func (p *Plan) scaleAfter(write evidence.Write) *workloads.Change {
	next := p.Workload.ChangeAfter(write)
	if next != nil && next.Kind == attr.ChangeScale && next.Opened.Arrival.Sub(write.Arrival) < DeletionReach {
		return next
	}
	return nil
}

// attributeNodeScales gives the pods that a DaemonSet made for a node to the scale that its
// status reports a moment later: those that came while it was settled, and those that
// are more than the scale that was open asked for.
func (p *Plan) attributeNodeScales(set *workloads.PodSet, born []*podlife.Pod) {
	if p.Workload.Controller.ScaledBy != workloads.ScaledByNodes {
		return
	}
	made := map[*workloads.Change]int32{}
	for _, pod := range born {
		at := p.Starts[pod]
		if pod.Initial || at.Lost != nil && (p.Stops[at.Lost].Change == nil || at.Change != nil) {
			continue
		}
		c := at.Change
		if c != nil && (c.Kind != attr.ChangeScale || made[c] < c.Wanted-c.Before) {
			made[c]++
			continue
		}
		if next := p.scaleAfter(pod.FirstSeen); next != nil && next.Wanted > next.Before {
			made[next]++
			p.Starts[pod] = Attribution{Change: next, Set: set}
		}
	}
}

// attributeLateReplacements gives pods that came in the place of ones which were lost during a
// change to the latest one, if no change is open any more. The status may have been
// ahead: the controller had not heard yet that a pod was going.
func (p *Plan) attributeLateReplacements(set *workloads.PodSet) {
	for pod, at := range p.Starts {
		if at.Set != set || at.Change != nil || at.Lost == nil || p.Stops[at.Lost].Change == nil {
			continue
		}
		if c := p.changeFor(set, pod.FirstSeen); c != nil && c.Kind != attr.ChangeDelete {
			at.Change, at.Step = c, lastStepUp(set.Steps, pod.FirstSeen)
			p.Starts[pod] = at
		}
	}
}

// DeletionReach is how long before its workload a pod may be deleted and still
// have been taken by the same deletion.
const DeletionReach = 30 * time.Second

// attributeToDeletion gives pods that were deleted shortly before their workload,
// and not replaced, to its deletion: that of a namespace takes its objects in
// any order. It returns the others.
func (p *Plan) attributeToDeletion(set *workloads.PodSet, lost []*podlife.Pod) []*podlife.Pod {
	return slices.DeleteFunc(lost, func(pod *podlife.Pod) bool {
		next := p.deletionAfter(pod, p.Stops[pod].Change, pod.LostBy(), pod.DeleteAskedBy.Arrival)
		if next == nil {
			return false
		}
		p.Stops[pod] = Attribution{Change: next, Set: set}
		return true
	})
}

// deletionAfter is the deletion of the workload that may have taken a pod, which was lost by a write and
// asked to stop at a time, during a change or none; nil if there is none.
func (p *Plan) deletionAfter(pod *podlife.Pod, during *workloads.Change, lostBy evidence.Write, asked time.Time) *workloads.Change {
	p.Work.Spend(len(p.Workload.Changes))
	next := p.Workload.ChangeAfter(lostBy)
	if during != nil && during.Outcome() != attr.OutcomeDeleted ||
		next == nil || next.Kind != attr.ChangeDelete || !pod.Leaving() || next.Opened.Arrival.Sub(asked) >= DeletionReach {
		return nil
	}
	return next
}

// attributeInitial looks at the pods that were being deleted, or had ended, already when
// rollspan came. Who removed them was not seen. They belong to a change that was open
// then; else, if the pod that replaces one is still starting, or comes later, to that loss;
// else their story was over but for the end.
// Where all pods of the workload were stopped at once, atOnce, they may belong to its deletion.
func (p *Plan) attributeInitial(set *workloads.PodSet, pods []*podlife.Pod, atOnce bool) {
	starting := slices.DeleteFunc(InOrderOfBirth(pods), func(pod *podlife.Pod) bool {
		return !pod.Initial || pod.LostFirst || pod.ReadyFirst || p.Starts[pod].Change != nil
	})
	later := newReplacing(p, pods)
	for _, pod := range latestLossFirst(pods) {
		asked := evidence.Write{Arrival: pod.LostAt().Earliest}
		if asked.Arrival.IsZero() {
			continue // nobody knows when that was
		}
		c := openChange(p.Workload.ChangeAt(asked), asked)
		if atOnce {
			if next := p.deletionAfter(pod, c, asked, asked.Arrival); next != nil {
				c = next // a namespace takes its pods first, and the workload once they are gone
			}
		}
		if c != nil {
			p.Stops[pod] = Attribution{Change: c, Set: set}
			continue
		}
		for i, next := range starting {
			p.Work.Spend(1)
			if p.mayReplace(next, pod) {
				p.Stops[pod] = Attribution{Set: set, Lost: pod}
				p.Starts[next] = Attribution{Set: set, Lost: pod}
				starting = slices.Delete(starting, i, i+1)
				break
			}
		}
		if next := later.of(pod); next != nil && p.Stops[pod].Lost == nil {
			p.Stops[pod] = Attribution{Set: set, Lost: pod}
			p.Starts[next] = Attribution{Set: set, Lost: pod}
		}
	}
}

// stoppedAtOnce reports whether all pods of the workload were asked to stop at one time, as nothing but a
// deletion asks the last of them to. podsOf are the pods of each set.
func (p *Plan) stoppedAtOnce(podsOf map[kube.ObjectID][]*podlife.Pod) bool {
	if p.Awake() || p.Workload.Current() == nil || p.Workload.Current().Kind != attr.ChangeDelete {
		return false
	}
	var first, last time.Time
	for _, set := range p.Sets {
		for _, pod := range podsOf[set.ObjectID] {
			p.Work.Spend(1)
			if !pod.Leaving() {
				return false
			}
			at := pod.LostAt().Earliest
			first, last = evidence.Earliest(first, at), evidence.Latest(last, at)
		}
	}
	return last.Sub(first) < evidence.ArrivalSlack
}

// findReplaced works out when the lost pods had been replaced, also by pods that are
// forgotten.
func (p *Plan) findReplaced() {
	for _, pod := range p.Pods {
		if pod.Ledger.Filled {
			p.ReplacedAt[pod] = pod.Ledger.FilledAt
		}
	}
	for pod, at := range p.Starts {
		if at.Lost != nil {
			p.ReplacedAt[at.Lost] = pod.CreatedAt()
		}
	}
}

// StopAsked dates the request to delete a pod.
func (p *Plan) StopAsked(pod *podlife.Pod) time.Time { return pod.StopAsked(p.ReplacedAt[pod]) }

// OutOfTheWay is when a pod that had ended before anybody deleted it was out of the way of
// the one in its place. Where that has its name, or its node, the first had to be gone; any
// other may come while it is still there, as what is left of a pod. It is cut where that is
// open.
func (p *Plan) OutOfTheWay(pod *podlife.Pod, cut time.Time) time.Time {
	replaced, ended := p.ReplacedAt[pod], pod.Failed.Before(p.ReplacedAt[pod]).At()
	gone := pod.Gone.At()
	inTheWay := p.Workload.Controller.Replaces.InTheWay()
	switch {
	case inTheWay && replaced.IsZero() && gone.IsZero():
		return cut
	case gone.IsZero() || !replaced.IsZero() && gone.After(replaced):
		return ended
	case inTheWay || !replaced.IsZero() || gone.Sub(ended) < evidence.ArrivalSlack:
		return gone
	default:
		return ended
	}
}
