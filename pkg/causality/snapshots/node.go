package snapshots

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// reasonRebooted is how the kubelet says that its node has another boot ID than before
// (k8s.io/kubernetes/pkg/kubelet/events: NodeRebooted).
const reasonRebooted = "Rebooted"

// rebooted is when the kubelet said for the last time that its node was rebooted, since the
// beginning; zero if it did not. A Node states the ID of its boot, and not since when.
func (snap *snapshot) rebooted(in *corev1.Node) (last time.Time) {
	// Kubelets give the name of their Node for its UID.
	for _, uid := range []types.UID{in.UID, types.UID(in.Name)} {
		for _, ev := range snap.eventsOf[uid] {
			if ev.Reason == reasonRebooted && ev.InvolvedObject.Name == in.Name && ev.last().After(snap.begin) {
				last = evidence.Latest(last, ev.last())
			}
		}
	}
	return last
}

// anotherBoot stands for the ID of the boot before, which nothing tells.
const anotherBoot = "another"

// emitReboot emits what led to the state of a Node that was rebooted at a time: another boot
// before, and from then on this one. Its conditions come last, as they state when themselves.
func (snap *snapshot) emitReboot(in *corev1.Node, rebooted, until time.Time) {
	before := in.DeepCopy()
	before.Status.NodeInfo.BootID, before.Status.Conditions = anotherBoot, nil
	snap.emit(evidence.Latest(snap.begin, in.CreationTimestamp.Time), rankListed, watch.Added, before)
	booted := in.DeepCopy()
	booted.Status.Conditions = nil
	snap.emit(rebooted, rankSpec, watch.Modified, booted)
	snap.emit(evidence.Latest(rebooted, until), rankStatus, watch.Modified, in)
}
