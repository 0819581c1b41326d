package causality

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// nodeCause finds the disruption of its node that led to the loss of a pod; nil
// if none did. Disruptions that began after until, when what came of the loss
// was over, are not looked at, so that it does not matter how late one asks.
func (e *Engine) nodeCause(p *pod, until time.Time) *disruption {
	n := e.nodeOf(p)
	if n == nil || !p.lost() {
		return nil
	}
	var best *disruption
	for _, kind := range p.nodeKinds() {
		for _, d := range n.disruptions {
			if d.kind == kind && !d.start.from().After(until) && d.tookPod(p) &&
				(best == nil || d.start.from().After(best.start.from())) {
				best = d
			}
		}
	}
	return best
}

// nodeOf finds the Node that a pod ran on: of those that have had the name the
// one that was there when the pod was bound to it.
func (e *Engine) nodeOf(p *pod) *nodeRecord {
	bound := p.scheduled.at()
	if bound.IsZero() {
		bound = p.created.at()
	}
	var last *nodeRecord
	for _, n := range e.nodes.named[p.node] {
		if !n.created.After(bound) && (last == nil || n.created.After(last.created)) {
			last = n
		}
	}
	return last
}

// tookPod reports whether the disruption was on when the pod was lost.
func (d *disruption) tookPod(p *pod) bool {
	at := p.lostAt().at()
	if d.kind == nodeDeleted {
		// The garbage collector of pods comes when it comes.
		return !at.Before(d.start.at().Add(-arrivalSlack))
	}
	lead := d.lead()
	if p.shutDown() {
		lead = kubeletPeriod // the kubelet may post it after it has begun to
	}
	return d.covers(at, lead, arrivalSlack)
}

// shutDown reports whether the kubelet ended the pod, or did not admit it, as
// its machine was being shut down.
func (p *pod) shutDown() bool {
	return p.failed.known() && (p.reason == "Terminated" || p.reason == "NodeShutdown" || p.reason == "Shutdown")
}

// nodeKinds are the disruptions that may be behind the loss of a pod, by what
// the pod says of it.
func (p *pod) nodeKinds() []disruptionKind {
	switch {
	case p.disruption == "DeletionByTaintManager":
		return []disruptionKind{nodeNotReady, nodeUnreachable}
	case p.disruption == "EvictionByEvictionAPI":
		return []disruptionKind{nodeCordoned}
	case p.disruption == "DeletionByPodGC":
		return []disruptionKind{nodeDeleted, nodeNotReady, nodeUnreachable}
	case p.failed.known() && p.reason == "Evicted":
		if kind := evictedFor(p.message); kind != "" {
			return []disruptionKind{kind}
		}
		return nil
	case p.reason == "NodeLost":
		return []disruptionKind{nodeDeleted, nodeNotReady, nodeUnreachable}
	case p.shutDown():
		return []disruptionKind{nodeNotReady, nodeUnreachable}
	case p.disruption == "" && p.leaving() && !p.failed.known():
		// Somebody, or the garbage collector of Kubernetes before 1.26, gave
		// it up.
		return []disruptionKind{nodeDeleted, nodeNotReady, nodeUnreachable}
	default:
		return nil
	}
}

// evictedFor reads the kubelet's message of an eviction, or of its refusal to
// admit a pod; "" if the pod was evicted for what it used itself.
func evictedFor(message string) disruptionKind {
	if _, rest, ok := strings.Cut(message, "low on resource: "); ok {
		resource, _, _ := strings.Cut(rest, ".")
		return pressureOn(resource)
	}
	if _, rest, ok := strings.Cut(message, "had condition: ["); ok {
		for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
			if strings.HasPrefix(rest, string(kind)) {
				return disruptionKind(kind)
			}
		}
	}
	return ""
}

// lossCauseOn is lossCause with what is known of the node. The reason that
// Kubernetes gives stands, unless the node says more.
func lossCauseOn(p *pod, d *disruption) string {
	cause := lossCause(p)
	switch {
	case d == nil:
	case d.kind == nodeCordoned:
		return attr.CauseDrain
	case cause == attr.CauseDelete || cause == attr.CauseFailed:
		return attr.CauseNodeLost
	}
	return cause
}

// beyond is what lies around a workload, for its plan.
type beyond struct{ *Engine }

// causesOfLoss are where the causes of a pod's loss are told that lie beyond the
// workload: the disruption of its node, if one led to it, and what brought the pod it
// had to make room for.
func (e beyond) causesOfLoss(lost *pod, on *disruption) (causes []place) {
	if on != nil {
		causes = append(causes, e.issued.give(on.place()))
	}
	if by, ok := e.broughtBy(e.preemptor(lost)); ok {
		causes = append(causes, by)
	}
	return causes
}

// noteConsequence notes for the causes of a pod's loss that its replacement will be
// there to link to.
func (e *Engine) noteConsequence(lost *pod, on *disruption) {
	if on != nil {
		on.ledger.lost(consequenceOf(lost))
	}
	if by := e.preemptor(lost); by != nil {
		by.ledger.lost(consequenceOf(lost))
	}
}

// nodeCauseOfRestart finds the reboot, or else the start of the kubelet, with
// which a container's run ended; nil if there was none.
func (e *Engine) nodeCauseOfRestart(rs *restart) *disruption {
	n := e.nodeOf(rs.pod)
	if n == nil || rs.cause() == attr.CauseOOM {
		return nil
	}
	began, died, again := rs.ended.started.from(), rs.ended.finished.at(), time.Time{}
	if rs.next != nil {
		again = rs.next.started.at()
	}
	var best *disruption
	for _, d := range n.disruptions {
		at := d.start.at()
		if !began.Before(at) || died.After(at.Add(kubeletPeriod)) && !rs.ended.vanished || n.partOfReboot(d) {
			continue
		}
		switch d.kind {
		case nodeRebooted:
			// The run was cut off when the machine went down, whenever that
			// was; the next one came after it was up.
			if again.IsZero() || !again.Before(at.Add(-d.lead())) {
				return d
			}
		case nodeKubeletRestarted:
			probed := rs.killed != nil && strings.Contains(rs.killed.message, "probe")
			if !died.Before(at.Add(-arrivalSlack)) && !probed {
				best = d
			}
		}
	}
	return best
}

// causeOn is cause with what is known of the node.
func (rs *restart) causeOn(d *disruption) string {
	switch {
	case d == nil:
		return rs.cause()
	case d.kind == nodeRebooted:
		return attr.CauseReboot
	default:
		return attr.CauseKubelet
	}
}

// nodeGone reports whether a Node was there, and none of its name is any more.
func (e *Engine) nodeGone(name string) bool {
	named := e.nodes.named[name]
	return len(named) > 0 && !slices.ContainsFunc(named, func(n *nodeRecord) bool { return !n.gone })
}
