package nodes

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// ObserveCordon notes that no more pods are to come to the node: somebody
// means to drain it. A node that was born unschedulable, or registered so before
// the watcher came, never had pods to lose.
func (n *Record) ObserveCordon(in *corev1.Node, born bool, arrival, seen time.Time) {
	if !in.Spec.Unschedulable {
		n.unscheduled = false
		n.Cordon.finish(attr.OutcomeComplete, evidence.Arrived(seen), seen)
		n.Cordon = nil
		return
	}
	taint := taintedAt(in)
	if n.unscheduled {
		n.Cordon.identify(taint)
		return
	}
	n.unscheduled = true
	manager, written, registered := cordonedBy(in)
	if born || registered {
		return
	}
	at := evidence.Arrived(seen)
	if second := evidence.Earliest(written, taint); !second.IsZero() {
		at = evidence.InSecond(second, arrival)
	}
	n.Cordon = n.begin(&Disruption{Kind: Cordoned, Start: at, Seen: seen, Manager: manager})
	n.Cordon.identify(taint)
}

// identify names a cordon by the time of the taint that the node lifecycle
// controller adds for it: the one time that every watcher will see.
func (d *Disruption) identify(taint time.Time) {
	if d == nil || d.tainted || taint.IsZero() {
		return
	}
	key := secondKey(taint)
	for _, other := range d.Node.Disruptions {
		if other != d && other.Kind == d.Kind && other.key == key {
			return // it is still the taint of the cordon before
		}
	}
	d.key, d.tainted = key, true
}

// taintedAt is when the controller noticed the cordon.
func taintedAt(in *corev1.Node) time.Time {
	for i := range in.Spec.Taints {
		if t := &in.Spec.Taints[i]; t.Key == corev1.TaintNodeUnschedulable && t.TimeAdded != nil {
			return t.TimeAdded.Time
		}
	}
	return time.Time{}
}

// cordonedBy is who wrote spec.unschedulable, and the second in which they
// last wrote, by the managedFields; registered says that it is who made the Node,
// by a label that every kubelet registers with.
func cordonedBy(in *corev1.Node) (manager string, at time.Time, registered bool) {
	for i := range in.ManagedFields {
		m := &in.ManagedFields[i]
		if !kube.Owns(m, `"f:unschedulable"`) {
			continue
		}
		manager, registered = m.Manager, kube.Owns(m, `"f:`+corev1.LabelHostname+`"`)
		if m.Time != nil {
			at = m.Time.Time
		}
	}
	return manager, at, registered
}
