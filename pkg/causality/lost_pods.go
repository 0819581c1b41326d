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
	node := ""
	if pod.Lost() {
		node = pod.Node
	}
	if l.of[pod] == node {
		return
	}
	l.forget(pod)
	if node == "" {
		return
	}
	if l.of == nil {
		l.on, l.of = map[string]map[*podlife.Pod]struct{}{}, map[*podlife.Pod]string{}
	}
	if l.on[node] == nil {
		l.on[node] = map[*podlife.Pod]struct{}{}
	}
	l.on[node][pod], l.of[pod] = struct{}{}, node
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
