package podlife

import (
	"slices"
	"strings"
	"time"
)

// Who ends a pod, or one of its containers, says so in an Event before the pod's status
// shows it: for as long as its grace period, the pod looks as if nothing were the matter.

// announcesLoss reports whether an Event about a pod says that it is to go, whoever says so.
func (ev *Event) announcesLoss() bool { return AnnouncesEnd(ev) || saysDeleted(ev) }

// EndIsAnnounced reports whether somebody has said that the pod, or a container that still
// runs, is to be ended, and nothing shows yet that it was: in an Event that no span has. A
// probe says so for as long as the kubelet may take to kill the container for it.
func (p *Pod) EndIsAnnounced(now time.Time) bool {
	if p.Lost() || p.Finished.Known() || p.Gone.Known() {
		return false
	}
	for _, ev := range p.Events {
		if ev.Told() {
			continue
		}
		if ev.announcesLoss() && (!ev.Initial() || now.Before(ev.LastArrival.Add(maxKillReach))) {
			return true
		}
		container := p.container(ev.Container)
		if container == nil {
			continue
		}
		run, last := container.lastRun(), ev.Last()
		if run == nil || run.Over() || !run.Started.Known() || !last.At.After(run.Started.At()) {
			continue
		}
		if ev.Reason == ReasonKilling || ev.failsKillingProbe() && now.Before(ev.LastArrival.Add(container.killReach+clockSlack)) {
			return true
		}
	}
	return false
}

// failsKillingProbe reports whether a probe failed for which the kubelet kills containers.
func (ev *Event) failsKillingProbe() bool {
	return ev.Reason == reasonUnhealthy && slices.ContainsFunc(stopReasons, func(k stopReason) bool { return k.saidBy(ev.Last().Message) })
}

// maxKillReach bounds how long what a probe says waits for what comes of it: pods may state
// any time.
const maxKillReach = time.Hour

// LossAnnounced is when somebody first said that the pod was to go, or when the kubelet
// began to stop its containers for that, of what no span has; zero if nobody did.
func (p *Pod) LossAnnounced() (first time.Time) {
	for _, ev := range p.Untold() {
		stops := ev.Reason == ReasonKilling && strings.Contains(ev.Message(), StoppingWords)
		if stops || ev.announcesLoss() {
			return ev.First()
		}
	}
	return first
}
