package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// nodes are the Nodes of the cluster. Pods name theirs, Events too, and a name
// may come again when a machine is registered anew.
type nodes struct {
	byID  map[objectID]*nodeRecord
	named map[string][]*nodeRecord
	// due are those with disruptions to hand out.
	due map[*nodeRecord]bool
}

func newNodes() nodes {
	return nodes{
		byID:  map[objectID]*nodeRecord{},
		named: map[string][]*nodeRecord{},
		due:   map[*nodeRecord]bool{},
	}
}

// nodeRecord is what the engine keeps of a Node: when it was not what its pods
// need it to be.
type nodeRecord struct {
	*object
	created     time.Time
	conditions  map[corev1.NodeConditionType]*nodeCondition
	unscheduled bool        // spec.unschedulable
	cordon      *disruption // open, if it is told of
	bootID      string
	reboot      *disruption // open: it has booted and is not Ready yet
	disruptions []*disruption
	gone        bool
}

// nodeCondition is the latest state of a condition.
type nodeCondition struct {
	status corev1.ConditionStatus
	since  time.Time
	well   bool // it has been what pods need
	open   *disruption
}

// joining is how soon after its creation a Node states what it has never been
// otherwise: a new node is not Ready at first, which disrupts nobody.
const joining = 10 * time.Second

func (e *Engine) observeNode(o Observation, in *corev1.Node) {
	id := objectID{kind: kindNode, uid: in.UID}
	n := e.nodes.byID[id]
	isNew := n == nil
	if isNew {
		if o.Type == watch.Deleted {
			return // nothing is known that could have ended
		}
		n = &nodeRecord{
			object:     e.track(id, in.Name),
			created:    in.CreationTimestamp.Time,
			conditions: map[corev1.NodeConditionType]*nodeCondition{},
		}
		e.nodes.byID[id] = n
		e.nodes.named[n.name] = append(e.nodes.named[n.name], n)
	}
	n.touched = o.Time
	if n.gone {
		return
	}
	arrival := o.arrival()
	n.observeBoot(in.Status.NodeInfo.BootID, o.Time)
	for i := range in.Status.Conditions {
		n.observeCondition(&in.Status.Conditions[i], arrival, o.Time)
	}
	n.observeReboot(arrival, o.Time)
	n.observeCordon(in, isNew && !o.Initial, arrival, o.Time)
	if o.Type == watch.Deleted {
		n.delete(o.Time)
	}
	e.touchNode(n.object)
}

// touchNode has a Node looked at: it, or an Event about it, has been seen.
func (e *Engine) touchNode(obj *object) {
	if n := e.nodes.byID[obj.objectID]; n != nil {
		n.observeKubelet()
		e.nodes.due[n] = true
		e.wake(e.now.Add(e.opts.Settle))
	}
}

// neverUpdated is the reason of conditions that the node lifecycle controller
// makes up for a Node which no kubelet has spoken for yet.
const neverUpdated = "NodeStatusNeverUpdated"

// conditionKind says which disruption a condition is, "" if it is none, and
// whether it is one of Kubernetes' own at all.
func conditionKind(in *corev1.NodeCondition) (kind disruptionKind, known bool) {
	switch in.Type {
	case corev1.NodeReady:
		// The node lifecycle controller tells the two apart by these taints:
		// the kubelet says so itself, or has gone silent.
		switch {
		case in.Reason == neverUpdated:
			return "", true // there is no kubelet yet
		case in.Status == corev1.ConditionFalse:
			return nodeNotReady, true
		case in.Status == corev1.ConditionUnknown:
			return nodeUnreachable, true
		}
		return "", true
	case corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable:
		if in.Status == corev1.ConditionTrue {
			return disruptionKind(in.Type), true
		}
		return "", true
	}
	return "", false
}

func (n *nodeRecord) observeCondition(in *corev1.NodeCondition, arrival, seen time.Time) {
	kind, known := conditionKind(in)
	if !known {
		return
	}
	c := n.conditions[in.Type]
	if c == nil {
		c = &nodeCondition{}
		n.conditions[in.Type] = c
	}
	since := in.LastTransitionTime.Time
	if c.status == in.Status && !since.After(c.since) {
		c.open.describe(in)
		return
	}
	at := inSecond(since, arrival)
	if since.IsZero() || since.Before(c.since) {
		// Two clocks write this condition, the kubelet's and the node
		// controller's; the one that is behind is no evidence.
		at = arrived(seen)
	}
	// A state that the watch missed ended by the time this one began.
	c.open.finish(attr.OutcomeComplete, at, seen)
	c.status, c.since, c.open = in.Status, at.from(), nil
	if kind == "" {
		c.well = c.well || in.Reason != neverUpdated
	} else if c.well || at.from().After(n.created.Add(joining)) {
		c.open = n.begin(&disruption{kind: kind, start: at, seen: seen})
		c.open.describe(in)
	}
}

// observeBoot notes that the kernel was started anew, which the boot ID tells.
func (n *nodeRecord) observeBoot(id string, seen time.Time) {
	if id == "" || id == n.bootID {
		return
	}
	before := n.bootID
	n.bootID = id
	if before == "" {
		return
	}
	n.reboot.finish(attr.OutcomeComplete, arrived(seen), seen)
	n.reboot = n.begin(&disruption{kind: nodeRebooted, key: id, start: arrived(seen), seen: seen})
}

// observeReboot ends a reboot when the node is Ready again.
func (n *nodeRecord) observeReboot(arrival, seen time.Time) {
	ready := n.conditions[corev1.NodeReady]
	if n.reboot == nil || ready == nil || ready.status != corev1.ConditionTrue {
		return
	}
	at := n.reboot.start
	if ready.since.After(at.at()) {
		at = inSecond(ready.since, arrival)
	}
	n.reboot.finish(attr.OutcomeComplete, at, seen)
	n.reboot = nil
}

// delete notes that the Node is gone, and with it what ailed it.
func (n *nodeRecord) delete(seen time.Time) {
	if n.gone {
		return
	}
	n.gone = true
	for _, d := range n.disruptions {
		d.finish(attr.OutcomeDeleted, arrived(seen), seen)
	}
	d := n.begin(&disruption{kind: nodeDeleted, key: "gone", start: arrived(seen), seen: seen})
	d.finish(attr.OutcomeComplete, d.start, seen)
}

// maxDisruptions bounds what is kept of a node that flaps.
const maxDisruptions = 64

// begin notes the beginning of a disruption and returns it. One that begins in
// the second in which another of its kind did goes on with that one, as they
// have one identity.
func (n *nodeRecord) begin(d *disruption) *disruption {
	d.node = n
	if d.key == "" {
		d.key = secondKey(d.start.from())
	}
	for _, other := range n.disruptions {
		if other.kind == d.kind && other.key == d.key {
			other.over = false
			return other
		}
	}
	n.disruptions = append(n.disruptions, d)
	if len(n.disruptions) > maxDisruptions {
		i := max(0, slices.IndexFunc(n.disruptions, func(d *disruption) bool { return d.ledger.sent || d.over }))
		n.disruptions = slices.Delete(n.disruptions, i, i+1)
	}
	return d
}

// sweepNodes forgets the disruptions that have been told for as long as Events
// live, and the Nodes that are gone: by then nothing more will be said of them.
func (e *Engine) sweepNodes() {
	for _, n := range e.nodes.byID {
		n.disruptions = slices.DeleteFunc(n.disruptions, func(d *disruption) bool {
			return d.ledger.sent && e.now.After(d.seen.Add(eventLife))
		})
		if !n.gone || len(n.disruptions) > 0 || len(n.unclaimed()) > 0 {
			continue
		}
		e.forgetNode(n)
	}
}

func (e *Engine) forgetNode(n *nodeRecord) {
	delete(e.nodes.byID, n.objectID)
	delete(e.nodes.due, n)
	e.nodes.named[n.name] = slices.DeleteFunc(e.nodes.named[n.name], func(m *nodeRecord) bool { return m == n })
	if len(e.nodes.named[n.name]) == 0 {
		delete(e.nodes.named, n.name)
	}
	e.forget(n.object)
}
