package nodes

import (
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// kindsByReason says which disruptions the reason of an Event about a node tells of:
// reasons of the kubelet and of the node controller.
var kindsByReason = map[string][]disruptionKind{
	"NodeNotReady":              {NotReady, Unreachable},
	"NodeReady":                 {NotReady, Unreachable, Rebooted},
	"Shutdown":                  {NotReady},
	"NodeHasInsufficientMemory": {memoryPressure},
	"NodeHasSufficientMemory":   {memoryPressure},
	"SystemOOM":                 {memoryPressure},
	"NodeHasDiskPressure":       {diskPressure},
	"NodeHasNoDiskPressure":     {diskPressure},
	"FreeDiskSpaceFailed":       {diskPressure},
	"ImageGCFailed":             {diskPressure},
	"NodeHasInsufficientPID":    {pidPressure},
	"NodeHasSufficientPID":      {pidPressure},
	"NodeNotSchedulable":        {Cordoned},
	"NodeSchedulable":           {Cordoned},
	"Rebooted":                  {Rebooted},
	"RemovingNode":              {Deleted},
	"DeletingNode":              {Deleted},
}

// pressureOn is the condition that a lack of a resource shows as; the words are
// those of the kubelet's eviction manager.
func pressureOn(resource string) disruptionKind {
	switch resource {
	case "memory":
		return memoryPressure
	case "ephemeral-storage", "inodes":
		return diskPressure
	case "pids":
		return pidPressure
	default:
		return ""
	}
}

// KubeletStarted reports whether the Event is a kubelet's first word. Other
// components (kube-proxy) have an Event of that name, too.
func KubeletStarted(ev *podlife.Event) bool {
	return ev.Reason == "Starting" && ev.Component == attr.ServiceKubelet
}

// DisruptionOf finds the disruption that an Event about the node tells of: of
// those that it fits in kind and time the one that began last. What a kubelet
// says just after its start is about its start. It is nil for the others.
func (n *Record) DisruptionOf(ev *podlife.Event) *Disruption {
	kinds := kindsByReason[ev.Reason]
	if resource, ok := strings.CutPrefix(stream.EventWords(ev.Message()), "Attempting to reclaim "); ok && ev.Reason == "EvictionThresholdMet" {
		kinds = []disruptionKind{pressureOn(resource)}
	}
	if kinds == nil {
		kinds = n.problemsNamedBy(ev)
	}
	d := n.fitting(ev, kinds)
	if d == nil && ev.Component == attr.ServiceKubelet {
		d = n.fitting(ev, []disruptionKind{Rebooted, KubeletRestarted})
	}
	return d
}

func (n *Record) fitting(ev *podlife.Event, kinds []disruptionKind) *Disruption {
	t := ev.First()
	var in, next *Disruption
	for _, d := range n.Disruptions {
		if !slices.Contains(kinds, d.Kind) || n.PartOfReboot(d) {
			continue
		}
		switch {
		case d.covers(t, 0, d.Tail()):
			if in == nil || !EarliestOf(d.Start).Before(EarliestOf(in.Start)) {
				in = d
			}
		case d.Kind != KubeletRestarted && d.covers(t, d.Lead(), 0):
			if next == nil || EarliestOf(d.Start).Before(EarliestOf(next.Start)) {
				next = d
			}
		}
	}
	if in == nil {
		return next
	}
	return in
}

// Wants reports whether a disruption that is still to be handed out will have an Event.
func (n *Record) Wants(ev *podlife.Event) bool {
	d := n.DisruptionOf(ev)
	return d != nil && !d.Ledger.Sent
}

// ObserveKubelet finds the restarts of the node's kubelet, which only Events
// tell. Its very first start is none.
func (n *Record) ObserveKubelet() {
	for _, ev := range n.Events {
		if ev.Ledger.Claimed || !KubeletStarted(ev) || !ev.First().After(n.Created.Add(BootReach)) {
			continue
		}
		if n.SeenJoining && (n.spoken.IsZero() || !ev.First().After(n.spoken)) {
			continue // the Node was made before there was its kubelet
		}
		at := evidence.Exactly(ev.First())
		if slices.ContainsFunc(n.Disruptions, func(d *Disruption) bool {
			return d.Kind == KubeletRestarted && d.key == secondKey(ev.Stated())
		}) {
			continue
		}
		d := &Disruption{
			Kind: KubeletRestarted, key: secondKey(ev.Stated()), Start: at, End: at, Over: true, Outcome: attr.OutcomeComplete,
			Seen: ev.LastArrival, event: ev,
		}
		if ev.Initial() {
			d.Ledger.PassOver() // what was there before the watcher was is known, and not told
		}
		n.begin(d)
	}
}

// PartOfReboot reports whether a kubelet started because its node did.
func (n *Record) PartOfReboot(d *Disruption) bool {
	return d.Kind == KubeletRestarted && slices.ContainsFunc(n.Disruptions, func(r *Disruption) bool {
		return r.Kind == Rebooted && r.covers(d.Start.Earliest, r.Lead(), r.Tail())
	})
}
