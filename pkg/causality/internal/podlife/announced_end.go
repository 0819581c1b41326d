package podlife

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Who ends a pod, or one of its containers, says so in an Event before the pod's status
// shows it: for as long as its grace period, the pod looks as if nothing were the matter.

// announcements are the reasons of Events about a pod by which somebody says that the pod
// is to go: the kubelet's eviction manager and its preemption for critical pods
// (k8s.io/kubernetes/pkg/kubelet, eviction and preemption), the scheduler's preemption,
// and the controller that evicts from tainted nodes (k8s.io/kubernetes/pkg/controller,
// tainteviction).
var announcements = []string{"Evicted", "Preempting", "Preempted", "TaintManagerEviction"}

// AnnouncesLoss reports whether an Event about a pod says that it is to go.
func (ev *Event) AnnouncesLoss() bool {
	return slices.Contains(announcements, ev.Reason) && !strings.HasPrefix(ev.Message(), "Cancel")
}

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
		if ev.AnnouncesLoss() && (!ev.Initial || now.Before(ev.LastArrival.Add(maxKillReach))) {
			return true
		}
		container := p.container(ev.Container)
		if container == nil {
			continue
		}
		run, last := container.lastRun(), ev.Occurrences[len(ev.Occurrences)-1]
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
	return ev.Reason == reasonUnhealthy && slices.ContainsFunc(stopReasons, func(k stopReason) bool { return k.saidBy(ev.Message()) })
}

// ProbeGap is how far apart two failures in a row of a probe are for which the kubelet kills
// the container.
func (c *Container) ProbeGap() time.Duration { return c.probeGap }

// readProbes notes how far apart the failures of a liveness or startup probe are, and how
// long after one of them the container may have ended because of it: when the probe has
// failed as often as it may, and the container's time to stop is over. Where the pod does
// not say, these are the API server's defaults.
func (c *Container) readProbes(s *corev1.Container) {
	for _, probe := range []*corev1.Probe{s.LivenessProbe, s.StartupProbe} {
		if probe == nil {
			continue
		}
		seconds := max(cmp.Or(probe.PeriodSeconds, 10), 1) + max(cmp.Or(probe.TimeoutSeconds, 1), 1)
		gap := min(time.Duration(seconds)*time.Second, maxKillReach)
		times := max(cmp.Or(probe.FailureThreshold, 3), 1)
		c.probeGap = max(c.probeGap, gap)
		c.killReach = max(c.killReach, min(time.Duration(times)*gap, maxKillReach))
	}
	c.killReach = min(max(c.killReach, c.probeGap)+c.longestKill, maxKillReach)
}

// maxKillReach bounds how long what a probe says waits for what comes of it: pods may state
// any time.
const maxKillReach = time.Hour

// LossAnnounced is when somebody first said that the pod was to go, or when the kubelet
// began to stop its containers for that, of what no span has; zero if nobody did.
func (p *Pod) LossAnnounced() (first time.Time) {
	for _, ev := range p.Untold() {
		stops := ev.Reason == ReasonKilling && strings.Contains(ev.Message(), stoppingWords)
		if stops || ev.AnnouncesLoss() {
			return ev.First()
		}
	}
	return first
}
