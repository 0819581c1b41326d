package causality

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A container that its probe has killed again and again uses up what the kubelet's
// recorder lets through of a pod's Events, and its last Events Killing are not there.
// What the probe said shortly before may be.

// signaled reports whether a run left with the code of one that SIGTERM or SIGKILL
// ended.
func (r *run) signaled() bool {
	return (r.exitCode == exitSIGKILL || r.exitCode == exitSIGTERM) && r.reason != oomKilled && !r.vanished
}

// killedUnsaid finds the failure of a probe for which the kubelet must have killed a
// run, though no Event says that it did: it sends such signals only to what it stops,
// and the run ended in the time that this takes.
func (p *pod) killedUnsaid(c *container, r *run) (failed occurrence, ok bool) {
	if !r.signaled() || p.failed.known() || p.lost() && !r.finished.at().Before(p.lostAt().lo) {
		return failed, false
	}
	// The end is known to the second.
	from, until := r.finished.lo.Add(-c.killTakes-time.Second), r.finished.at()
	for o := range p.said("Unhealthy", c) {
		if o.at.Before(from) || o.at.Before(r.started.lo) || o.at.After(until) || !o.at.After(failed.at) {
			continue
		}
		if slices.ContainsFunc(killings, func(k killing) bool { return k.saidBy(o.message) }) {
			failed, ok = o, true
		}
	}
	return failed, ok
}

// saidBy reports whether these are the words of the probe itself, and not of one that
// could not be made.
func (k killing) saidBy(message string) bool {
	return k.probe != "" && strings.HasPrefix(message, k.probe+" failed")
}

// killTakes is how long the kubelet takes at most to kill a container for a probe: it
// sends SIGKILL when the grace period is over.
func killTakes(in *corev1.Pod, s *corev1.Container) time.Duration {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if g := in.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	for _, probe := range []*corev1.Probe{s.LivenessProbe, s.StartupProbe} {
		if probe != nil && probe.TerminationGracePeriodSeconds != nil {
			grace = max(grace, *probe.TerminationGracePeriodSeconds)
		}
	}
	return time.Duration(grace) * time.Second
}
