package causality

import (
	"maps"
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// lostPods are the pods that are remembered and were lost, by the node that they were on: what
// befell the node, or came to it, is looked for among these, and not among all pods.
type lostPods struct {
	on map[string]map[*podlife.Pod]struct{}
	of map[*podlife.Pod]string // the node under which each is filed
}

// note files a pod, if it is lost.
func (l *lostPods) note(pod *podlife.Pod) {
	node, filed := l.of[pod]
	if lost := pod.Lost() && pod.Node != ""; filed == lost && (!lost || node == pod.Node) {
		return
	}
	l.forget(pod)
	if !pod.Lost() || pod.Node == "" {
		return
	}
	if l.of == nil {
		l.on, l.of = map[string]map[*podlife.Pod]struct{}{}, map[*podlife.Pod]string{}
	}
	if l.on[pod.Node] == nil {
		l.on[pod.Node] = map[*podlife.Pod]struct{}{}
	}
	l.on[pod.Node][pod], l.of[pod] = struct{}{}, pod.Node
}

// forget drops a pod.
func (l *lostPods) forget(pod *podlife.Pod) {
	node, filed := l.of[pod]
	if !filed {
		return
	}
	delete(l.of, pod)
	delete(l.on[node], pod)
	if len(l.on[node]) == 0 {
		delete(l.on, node)
	}
}

// from are the pods that were lost on a node, in a fixed order.
func (l *lostPods) from(node string) []*podlife.Pod {
	return slices.SortedFunc(maps.Keys(l.on[node]), func(a, b *podlife.Pod) int { return a.Compare(b.ObjectID) })
}
