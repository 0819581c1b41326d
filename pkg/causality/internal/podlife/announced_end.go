package podlife

import (
	"slices"
	"strings"
	"time"
)

// Who ends a pod, or one of its containers, says so in an Event before the pod's status
// shows it: for as long as its grace period, the pod looks as if nothing were the matter.

// announcements are the reasons of Events about a pod by which somebody says that the pod
// is to go: the kubelet's eviction manager and its preemption for critical pods
// (k8s.io/kubernetes/pkg/kubelet, eviction and preemption), the scheduler's preemption,
// and the controller that evicts from tainted nodes (k8s.io/kubernetes/pkg/controller,
// tainteviction).
var announcements = []string{"Evicted", "Preempting", "Preempted", "TaintManagerEviction"}

// ReasonKilling is the reason of the kubelet's Event that it begins to stop a container.
const ReasonKilling = "Killing"

// AnnouncesLoss reports whether an Event about a pod says that it is to go.
func (ev *Event) AnnouncesLoss() bool {
	return slices.Contains(announcements, ev.Reason) && !strings.HasPrefix(ev.Message(), "Cancelling ")
}

// EndIsAnnounced reports whether somebody has said that the pod, or a container that still
// runs, is to be ended, and nothing shows yet that it was. An Event that no span has says so.
func (p *Pod) EndIsAnnounced() bool {
	if p.Lost() || p.Finished.Known() || p.Gone.Known() {
		return false
	}
	for _, ev := range p.Events {
		if ev.Told() {
			continue
		}
		if ev.AnnouncesLoss() && !ev.Initial {
			return true
		}
		container := p.container(ev.Container)
		if ev.Reason != ReasonKilling || container == nil || len(container.Runs) == 0 {
			continue
		}
		last, at := container.Runs[len(container.Runs)-1], ev.Occurrences[len(ev.Occurrences)-1].At
		if !last.Over() && last.Started.Known() && at.After(last.Started.At()) {
			return true
		}
	}
	return false
}

// LossAnnounced is when somebody first said, after a time, that the pod was to go, or when
// the kubelet began to stop its containers for that; zero if nobody did.
func (p *Pod) LossAnnounced(after time.Time) time.Time {
	var first time.Time
	for _, ev := range p.Events {
		stops := ev.Reason == ReasonKilling && strings.Contains(ev.Message(), stoppingWords)
		if !stops && !ev.AnnouncesLoss() || ev.First().Before(after) {
			continue
		}
		if first.IsZero() || ev.First().Before(first) {
			first = ev.First()
		}
	}
	return first
}

// LastStart is when the last run of any of the containers began.
func (p *Pod) LastStart() time.Time {
	var last time.Time
	for _, container := range p.Containers {
		if n := len(container.Runs); n > 0 && container.Runs[n-1].Started.At().After(last) {
			last = container.Runs[n-1].Started.At()
		}
	}
	return last
}
