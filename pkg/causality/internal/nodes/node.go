package nodes

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Nodes are the Nodes of the cluster. Pods name theirs, Events too, and a name
// may come again when a machine is registered anew.
type Nodes struct {
	ByID  map[kube.ObjectID]*Record
	Named map[string][]*Record
	// Problems are the conditions that are disruptions when they are True, beside
	// Kubernetes' own.
	Problems []corev1.NodeConditionType
}

// NewNodes returns what is known before a Node was seen: nothing, but which conditions are
// problems beside those of node-problem-detector.
func NewNodes(problems []string) Nodes {
	return Nodes{
		ByID:     map[kube.ObjectID]*Record{},
		Named:    map[string][]*Record{},
		Problems: problemConditions(problems),
	}
}

// Record is what the engine keeps of a Node: when it was not what its pods
// need it to be.
type Record struct {
	*podlife.Object
	Created     time.Time
	FirstSeen   time.Time
	SeenJoining bool                       // it was seen as it began its life: see IsJoining
	spoken      time.Time                  // since when its kubelet has stated whether it is Ready, as far as that was seen
	Problems    []corev1.NodeConditionType // those of Nodes
	Conditions  map[corev1.NodeConditionType]*Condition
	unscheduled bool        // spec.unschedulable
	Cordon      *Disruption // the cordon that is on, if it is to be handed out
	bootID      string
	reboot      *Disruption // the reboot after which it is not Ready yet
	Disruptions []*Disruption
	Begun       bool // whether a disruption has begun since this was last set to false
	Gone        bool
}

// Condition is the latest state of a condition of a Node.
type Condition struct {
	status corev1.ConditionStatus
	stated time.Time // as the condition has it
	since  time.Time
	well   bool        // it has been in the state that pods need, as Ready is True
	open   *Disruption // the disruption that it states now; nil if it states none
	// doubtful is the latest time in which it was True, where nobody has said yet that
	// this is a problem.
	doubtful *Disruption
}

// joining is how soon after its creation a Node states what it has never been
// otherwise: a new node is not Ready at first, which disrupts nobody. What a Node has been that
// was seen from its beginning on is known. But a problem may have a condition only while it lasts.
const joining = 10 * time.Second

// neverUpdated is the reason of conditions that the node lifecycle controller
// makes up for a Node which no kubelet has spoken for yet.
const neverUpdated = "NodeStatusNeverUpdated"

// IsJoining reports whether a Node that is seen for the first time begins its life: it is new, or
// was made before its kubelet has said anything. Then what it is like at first is known to be so.
func IsJoining(in *corev1.Node, seen time.Time) bool {
	ready := slices.IndexFunc(in.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	return !seen.After(in.CreationTimestamp.Add(joining)) || ready < 0 || in.Status.Conditions[ready].Reason == neverUpdated
}

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
			return NotReady, true
		case in.Status == corev1.ConditionUnknown:
			return Unreachable, true
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

// ObserveConditions takes in the state of conditions, which may begin or end disruptions. ahead
// says by how much the clock is that dates one: what the kubelet writes comes first, as it shows
// how far the node's clock is.
func (n *Record) ObserveConditions(all []corev1.NodeCondition, ahead func(*corev1.NodeCondition) time.Duration, arrival, seen time.Time) {
	for _, own := range []bool{true, false} {
		for i := range all {
			if c := &all[i]; isKubelets(c) == own {
				n.observeCondition(c, ahead, arrival, seen)
			}
		}
	}
}

func (n *Record) observeCondition(in *corev1.NodeCondition, ahead func(*corev1.NodeCondition) time.Duration, arrival, seen time.Time) {
	kind, known := conditionKind(in)
	certain, problem := true, !known
	if problem {
		kind, certain, known = n.problemKind(in)
	}
	if !known {
		return
	}
	c := n.Conditions[in.Type]
	if c == nil {
		c = &Condition{}
		n.Conditions[in.Type] = c
	}
	stated := in.LastTransitionTime.Time
	if c.status == in.Status && stated.Equal(c.stated) {
		c.describe(in)
		return
	}
	since, by := stated, time.Duration(0)
	if !stated.IsZero() {
		by = ahead(in)
		since = stated.Add(-by)
	}
	if c.status == in.Status && !since.After(c.since) {
		c.describe(in)
		return
	}
	at, key := evidence.InSecond(since, arrival), secondKey(stated)
	if since.IsZero() || since.Before(c.since) {
		// Two clocks write this condition, the kubelet's and the node
		// controller's; the one that is behind is no evidence.
		at, key, by = evidence.Arrived(seen), secondKey(seen), 0
	}
	// A state that the watch missed ended by the time this one began.
	c.open.finish(attr.OutcomeComplete, at, seen)
	c.doubtful.finish(attr.OutcomeComplete, at, seen)
	c.status, c.stated, c.since, c.open = in.Status, stated, EarliestOf(at), nil
	if in.Type == corev1.NodeReady && in.Status != corev1.ConditionUnknown && n.spoken.IsZero() {
		n.spoken = at.At()
	}
	if kind == "" {
		c.well = c.well || in.Reason != neverUpdated
	} else if n.disrupts(c, problem) {
		d := &Disruption{Node: n, Kind: kind, key: key, Start: at, Ahead: by, Seen: seen, problem: problem}
		if certain {
			c.open = n.begin(d)
		} else {
			c.doubtful = d
		}
		c.describe(in)
	}
}

// disrupts reports whether a condition that is not as pods need it is a disruption, and not what the
// node begins its life with.
func (n *Record) disrupts(c *Condition, problem bool) bool {
	return c.well || (problem || !n.SeenJoining) && c.since.After(n.Created.Add(joining))
}

// describe has the disruption that the condition states, or may state, take over its reason.
func (c *Condition) describe(in *corev1.NodeCondition) {
	c.open.describe(in)
	if c.doubtful != nil && !c.doubtful.Over {
		c.doubtful.describe(in)
	}
}

// ObserveBoot notes that the kernel was started anew, which the boot ID tells.
func (n *Record) ObserveBoot(id string, seen time.Time) {
	if id == "" || id == n.bootID {
		return
	}
	before := n.bootID
	n.bootID = id
	if before == "" {
		return
	}
	n.reboot.finish(attr.OutcomeComplete, evidence.Arrived(seen), seen)
	n.reboot = n.begin(&Disruption{Kind: Rebooted, key: id, Start: evidence.Arrived(seen), Seen: seen})
}

// ObserveReboot ends a reboot when the node is Ready again.
func (n *Record) ObserveReboot(arrival, seen time.Time) {
	ready := n.Conditions[corev1.NodeReady]
	if n.reboot == nil || ready == nil || ready.status != corev1.ConditionTrue {
		return
	}
	at := n.reboot.Start
	if ready.since.After(at.At()) {
		at = evidence.InSecond(ready.since, arrival)
	}
	n.reboot.finish(attr.OutcomeComplete, at, seen)
	n.reboot = nil
}

// Delete notes that the Node is gone, and with it what ailed it.
func (n *Record) Delete(seen time.Time) {
	if n.Gone {
		return
	}
	n.Gone = true
	for _, d := range n.Disruptions {
		d.finish(attr.OutcomeDeleted, evidence.Arrived(seen), seen)
	}
	d := n.begin(&Disruption{Kind: Deleted, key: "gone", Start: evidence.Arrived(seen), Seen: seen})
	d.finish(attr.OutcomeComplete, d.Start, seen)
}

// MaxDisruptions bounds what is kept of a node that flaps.
const MaxDisruptions = 64

// begin notes the beginning of a disruption and returns it. One that begins in
// the second in which another of its kind did goes on with that one, as they
// have one identity.
func (n *Record) begin(d *Disruption) *Disruption {
	d.Node = n
	if d.key == "" {
		d.key = secondKey(EarliestOf(d.Start))
	}
	for _, other := range n.Disruptions {
		if other.Kind == d.Kind && other.key == d.key {
			other.Over = false
			return other
		}
	}
	n.Begun = true
	n.Disruptions = append(n.Disruptions, d)
	if len(n.Disruptions) > MaxDisruptions {
		i := max(0, slices.IndexFunc(n.Disruptions, func(d *Disruption) bool { return d.Ledger.Sent || d.Over }))
		n.Disruptions = slices.Delete(n.Disruptions, i, i+1)
	}
	return d
}
