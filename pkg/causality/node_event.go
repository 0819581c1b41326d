package causality

import (
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// toldBy says which disruptions the reason of an Event about a node tells of:
// reasons of the kubelet and of the node controller.
var toldBy = map[string][]disruptionKind{
	"NodeNotReady":              {nodeNotReady, nodeUnreachable},
	"NodeReady":                 {nodeNotReady, nodeUnreachable, nodeRebooted},
	"Shutdown":                  {nodeNotReady},
	"NodeHasInsufficientMemory": {nodeMemoryPressure},
	"NodeHasSufficientMemory":   {nodeMemoryPressure},
	"SystemOOM":                 {nodeMemoryPressure},
	"NodeHasDiskPressure":       {nodeDiskPressure},
	"NodeHasNoDiskPressure":     {nodeDiskPressure},
	"FreeDiskSpaceFailed":       {nodeDiskPressure},
	"ImageGCFailed":             {nodeDiskPressure},
	"NodeHasInsufficientPID":    {nodePIDPressure},
	"NodeHasSufficientPID":      {nodePIDPressure},
	"NodeNotSchedulable":        {nodeCordoned},
	"NodeSchedulable":           {nodeCordoned},
	"Rebooted":                  {nodeRebooted},
	"RemovingNode":              {nodeDeleted},
	"DeletingNode":              {nodeDeleted},
}

// pressureOn is the condition that a lack of a resource shows as; the words are
// those of the kubelet's eviction manager.
func pressureOn(resource string) disruptionKind {
	switch resource {
	case "memory":
		return nodeMemoryPressure
	case "ephemeral-storage", "inodes":
		return nodeDiskPressure
	case "pids":
		return nodePIDPressure
	default:
		return ""
	}
}

// kubeletStarted reports whether the Event is a kubelet's first word. Other
// components (kube-proxy) have an Event of that name, too.
func kubeletStarted(ev *event) bool {
	return ev.reason == "Starting" && ev.component == attr.ServiceKubelet
}

// disruptionOf finds the disruption that an Event about the node tells of: of
// those that it fits in kind and time the one that began last. What a kubelet
// says just after its start is about its start. It is nil for the others.
func (n *nodeRecord) disruptionOf(ev *event) *disruption {
	kinds := toldBy[ev.reason]
	if resource, ok := strings.CutPrefix(ev.message(), "Attempting to reclaim "); ok && ev.reason == "EvictionThresholdMet" {
		kinds = []disruptionKind{pressureOn(resource)}
	}
	d := n.fitting(ev, kinds)
	if d == nil && ev.component == attr.ServiceKubelet {
		d = n.fitting(ev, []disruptionKind{nodeRebooted, nodeKubeletRestarted})
	}
	return d
}

func (n *nodeRecord) fitting(ev *event, kinds []disruptionKind) *disruption {
	t := ev.first()
	var in, next *disruption
	for _, d := range n.disruptions {
		if !slices.Contains(kinds, d.kind) || n.partOfReboot(d) {
			continue
		}
		switch {
		case d.covers(t, 0, d.tail()):
			if in == nil || !d.start.from().Before(in.start.from()) {
				in = d
			}
		case d.kind != nodeKubeletRestarted && d.covers(t, d.lead(), 0):
			if next == nil || d.start.from().Before(next.start.from()) {
				next = d
			}
		}
	}
	if in == nil {
		return next
	}
	return in
}

// wants reports whether a disruption that is still to be told will have an
// Event.
func (n *nodeRecord) wants(ev *event) bool {
	d := n.disruptionOf(ev)
	return d != nil && !d.ledger.sent
}

// observeKubelet finds the restarts of the node's kubelet, which only Events
// tell. Its very first start is none.
func (n *nodeRecord) observeKubelet() {
	for _, ev := range n.events {
		if ev.ledger.claimed || !kubeletStarted(ev) || !ev.first().After(n.created.Add(bootReach)) {
			continue
		}
		at := exactly(ev.first())
		if slices.ContainsFunc(n.disruptions, func(d *disruption) bool {
			return d.kind == nodeKubeletRestarted && d.key == secondKey(at.lo)
		}) {
			continue
		}
		d := &disruption{
			kind: nodeKubeletRestarted, start: at, end: at, over: true, outcome: attr.OutcomeComplete,
			seen: ev.arrival, event: ev,
		}
		if ev.initial {
			d.ledger.passOver() // what was there before the watcher was is known, and not told
		}
		n.begin(d)
	}
}

// partOfReboot reports whether a kubelet started because its node did.
func (n *nodeRecord) partOfReboot(d *disruption) bool {
	return d.kind == nodeKubeletRestarted && slices.ContainsFunc(n.disruptions, func(r *disruption) bool {
		return r.kind == nodeRebooted && r.covers(d.start.lo, r.lead(), r.tail())
	})
}
