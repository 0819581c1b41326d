package podlife

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// defaultProbePeriod is that of a probe which states none
// (k8s.io/kubernetes/pkg/apis/core/v1: SetDefaults_Probe).
const defaultProbePeriod = 10 * time.Second

// ProbePeriod is how often a probe is tried, zero if there is none.
func ProbePeriod(probe *corev1.Probe) time.Duration {
	switch {
	case probe == nil:
		return 0
	case probe.PeriodSeconds > 0:
		return time.Duration(probe.PeriodSeconds) * time.Second
	default:
		return defaultProbePeriod
	}
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
		gap := min(ProbePeriod(probe)+time.Duration(max(probe.TimeoutSeconds, 1))*time.Second, maxKillReach)
		times := max(cmp.Or(probe.FailureThreshold, 3), 1)
		c.probeGap = max(c.probeGap, gap)
		c.killReach = max(c.killReach, min(time.Duration(times)*gap, maxKillReach))
	}
	c.killReach = min(max(c.killReach, c.probeGap)+c.longestKill, maxKillReach)
}

// spamBurst is how many Events about one pod a kubelet sends before it leaves some out
// (k8s.io/client-go/tools/record: defaultSpamBurst).
const spamBurst = 25

// SilentSince is since when the kubelet had not been at work on a pod that was not Ready
// yet, at a time at which it was started: it probes such a pod in every period, and says so
// where the probe fails. It went away within a period of that. The time is zero where that
// does not follow, as when the kubelet had said so much that it may have left Events out.
func (p *Pod) SilentSince(t time.Time) (since time.Time, period time.Duration) {
	var last, heard time.Time
	said := int32(0)
	for _, ev := range p.Events {
		if ev.First().After(t) {
			continue
		}
		o := ev.Until(t)
		said += o.Count
		if ev.Component == attr.ServiceKubelet {
			heard = evidence.Latest(heard, o.At)
		}
		// A probe that passes is not told of, and a container that does not run is not probed.
		if c := p.container(ev.Container); ev.Reason == reasonUnhealthy && c != nil && !c.readyAt(t) && c.RunningAt(t) {
			last = evidence.Latest(last, o.At)
		}
	}
	for _, container := range p.Containers {
		period = max(period, container.probePeriod)
	}
	if said >= spamBurst || last.IsZero() || heard.After(last) || t.Sub(last) <= 2*period {
		return time.Time{}, period
	}
	return last, period
}
