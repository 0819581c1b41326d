package causality

import "slices"

// losses are the pods of a workload that were lost, and that no other pod is there
// for yet. A rolling update of thousands of pods loses them all, and asks for each of
// the new ones, so what one can be there for is looked up.
type losses struct {
	work   *work
	rule   replacement
	pods   []*pod // in the order they were lost; nil once another is there for it
	stamps []stamp
	// by are the indexes of those that a pod of that name (StatefulSets) or on that
	// node (DaemonSets) is there for; all are those of all.
	by  map[string][]int
	all []int
}

func newLosses(rule replacement, lost []*pod, work *work) *losses {
	l := &losses{work: work, rule: rule, pods: slices.Clone(lost), by: map[string][]int{}}
	for i, q := range lost {
		l.stamps = append(l.stamps, q.lostStamp())
		l.all = append(l.all, i)
		key := l.key(q)
		l.by[key] = append(l.by[key], i)
	}
	return l
}

func (l *losses) key(q *pod) string {
	switch l.rule {
	case replacedByName:
		return q.name
	case replacedOnNode:
		return q.node
	}
	return ""
}

// take returns the lost pod that q is there for, nil if there is none. A StatefulSet
// makes a pod of the same name, a DaemonSet one for the same node, as far as that is
// known; for the others one pod is like another.
func (l *losses) take(q *pod) *pod {
	candidates := l.by[l.key(q)]
	if l.rule == replacedOnNode && (q.node == "" || len(l.by[""]) > 0) {
		candidates = l.all
	}
	for _, i := range candidates {
		l.work.spend(1)
		lost := l.pods[i]
		if lost == nil || q.firstSeen.before(l.stamps[i]) || l.rule == replacedOnNode && q.node != "" && lost.node != "" && q.node != lost.node {
			continue
		}
		l.pods[i] = nil
		return lost
	}
	return nil
}

// left are those that nothing is there for.
func (l *losses) left() []*pod {
	return slices.DeleteFunc(l.pods, func(q *pod) bool { return q == nil })
}
