package plans

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// losses are the pods of a workload that were lost, and that no other pod has replaced
// yet. A rolling update of thousands of pods loses them all, and asks for each of
// the new ones, so what one can replace is looked up.
type losses struct {
	work   *evidence.Work
	rule   workloads.Replacement
	pods   []*podlife.Pod // in the order in which they were lost; nil once replaced
	writes []evidence.Write
	// by are the indexes of those that a pod of that name (StatefulSets) or on that node
	// (DaemonSets) replaces; all are the indexes of all.
	by  map[string][]int
	all []int
	// ordered says that each was lost after the one before.
	ordered bool
	// inferred says that some of the pods that replaced others may not be there.
	inferred bool
}

func newLosses(rule workloads.Replacement, lost []*podlife.Pod, work *evidence.Work) *losses {
	l := &losses{work: work, rule: rule, pods: slices.Clone(lost), by: map[string][]int{}, ordered: true}
	for i, pod := range lost {
		l.writes = append(l.writes, pod.LostBy())
		if i > 0 && !evidence.SurelyAfter(l.writes[i], l.writes[i-1]) {
			l.ordered = false
		}
		l.all = append(l.all, i)
		key := placeOf(rule, pod)
		l.by[key] = append(l.by[key], i)
	}
	return l
}

// placeOf is what a pod and the one that replaces it have in common: the name or the node;
// empty if one pod is like another.
func placeOf(rule workloads.Replacement, pod *podlife.Pod) string {
	switch rule {
	case workloads.ReplacedByName:
		return pod.Name
	case workloads.ReplacedOnNode:
		return pod.Node
	}
	return ""
}

// take returns the lost pod that another replaces, nil if there is none. A StatefulSet
// makes a pod of the same name, a DaemonSet one for the same node, as far as that is
// known; for the others one pod is like another.
func (l *losses) take(pod *podlife.Pod) *podlife.Pod {
	place := placeOf(l.rule, pod)
	candidates := l.by[place]
	for len(candidates) > 0 && l.pods[candidates[0]] == nil {
		candidates = candidates[1:] // they are replaced
	}
	if len(candidates) < len(l.by[place]) {
		l.by[place] = candidates
	}
	if l.rule == workloads.ReplacedOnNode && (pod.Node == "" || len(l.by[""]) > 0) {
		candidates = l.all
	}
	for _, i := range candidates {
		l.work.Spend(1)
		lost := l.pods[i]
		if pod.FirstSeen.Before(l.writes[i]) {
			if l.ordered {
				return nil
			}
			continue
		}
		if lost == nil {
			continue
		}
		onAnotherNode := pod.Node != "" && lost.Node != "" && pod.Node != lost.Node
		if l.rule == workloads.ReplacedOnNode && onAnotherNode {
			continue
		}
		if l.inferred && !replacesInTime(lost, pod, l.rule) {
			continue
		}
		l.pods[i] = nil
		return lost
	}
	return nil
}

// left are those that nothing replaced.
func (l *losses) left() []*podlife.Pod {
	return slices.DeleteFunc(l.pods, func(pod *podlife.Pod) bool { return pod == nil })
}

// latestLossFirst are the pods that were lost when the watch began, the latest loss first: the
// others are what is left of pods that have been made up for.
func latestLossFirst(pods []*podlife.Pod) []*podlife.Pod {
	lost := slices.DeleteFunc(slices.Clone(pods), func(pod *podlife.Pod) bool { return !pod.LostFirst })
	slices.SortStableFunc(lost, func(a, b *podlife.Pod) int { return b.LostAt().Earliest.Compare(a.LostAt().Earliest) })
	return lost
}

// mayReplace reports whether a pod that was there when the watch began, and was starting, was
// made in the place of one that was lost by then: it has its name, or its node, or was made at
// once.
func (p *Plan) mayReplace(next, lost *podlife.Pod) bool {
	after := next.Created.Earliest.Sub(lost.LostAt().Earliest)
	switch p.Workload.Controller.Replaces {
	case workloads.ReplacedByName:
		return after >= 0 && next.Name == lost.Name
	case workloads.ReplacedOnNode:
		return after >= 0 && (next.Node == lost.Node || next.Node == "")
	default:
		return after >= 0 && after < DeletionReach
	}
}

// replacing are the pods that came after the watch had begun, and that nothing else explains,
// by their name (StatefulSets) or node (DaemonSets). One that was lost when the watch began
// may have been in the way of such a pod for long.
type replacing struct {
	rule workloads.Replacement
	pods map[string]*podlife.Pod
}

func newReplacing(p *Plan, pods []*podlife.Pod) replacing {
	r := replacing{rule: p.Workload.Controller.Replaces, pods: map[string]*podlife.Pod{}}
	for _, pod := range InOrderOfBirth(pods) {
		p.Work.Spend(1)
		at, key := p.Starts[pod], placeOf(r.rule, pod)
		if !pod.Initial && at.Change == nil && at.Lost == nil && key != "" && r.pods[key] == nil {
			r.pods[key] = pod
		}
	}
	return r
}

// of is the pod that came in the place of one; nil if none did. There is one for each loss.
func (r replacing) of(lost *podlife.Pod) *podlife.Pod {
	place := placeOf(r.rule, lost)
	next := r.pods[place]
	delete(r.pods, place)
	return next
}
