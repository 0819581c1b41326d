package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

func (e *Engine) observeNode(o Observation, in *corev1.Node) {
	id := kube.ObjectID{Kind: kube.KindNode, UID: in.UID}
	n := e.nodes.ByID[id]
	isNew := n == nil
	if isNew {
		if o.Type == watch.Deleted {
			return // nothing is known that could have ended
		}
		n = &nodes.Record{
			Object:     e.track(id, in.Name),
			Created:    in.CreationTimestamp.Time,
			FirstSeen:  o.Time,
			Problems:   e.nodes.Problems,
			Conditions: map[corev1.NodeConditionType]*nodes.Condition{},

			SeenJoining: !o.Inferred && nodes.IsJoining(in, o.Time),
		}
		e.nodes.ByID[id] = n
		e.nodes.Named[n.Name] = append(e.nodes.Named[n.Name], n)
	}
	n.Touched = o.Time
	if n.Gone {
		return
	}
	arrival := o.Arrival()
	n.ObserveBoot(in.Status.NodeInfo.BootID, o.Time)
	n.ObserveConditions(in.Status.Conditions, func(c *corev1.NodeCondition) time.Duration { return e.nodeOffset(o, in, c) }, arrival, o.Time)
	n.ObserveReboot(arrival, o.Time)
	n.ObserveCordon(in, isNew && !o.Initial, arrival, o.Time)
	if o.Type == watch.Deleted {
		n.Delete(o.Time)
	}
	e.touchNode(n.Object)
}

// touchNode has a Node looked at: it, or an Event about it, has been seen.
func (e *Engine) touchNode(obj *podlife.Object) {
	if n := e.nodes.ByID[obj.ObjectID]; n != nil {
		n.ObserveKubelet()
		n.ObserveWarnings()
		if n.Begun {
			n.Begun, e.losses = false, nil
		}
		e.dueNodes.Earlier(n, e.now.Add(e.opts.Settle))
		e.mayGrowOld(n)
	}
}

func (e *Engine) forgetNode(n *nodes.Record) {
	delete(e.nodes.ByID, n.ObjectID)
	e.dueNodes.Remove(n)
	e.losses = nil
	for _, d := range n.Disruptions {
		e.toldOf(d)
	}
	e.nodes.Named[n.Name] = slices.DeleteFunc(e.nodes.Named[n.Name], func(m *nodes.Record) bool { return m == n })
	if len(e.nodes.Named[n.Name]) == 0 {
		delete(e.nodes.Named, n.Name)
	}
	e.forget(n.Object)
}
