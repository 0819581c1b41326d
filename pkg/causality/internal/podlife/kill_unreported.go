package podlife

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// A container that its probe has killed again and again uses up what the kubelet's
// recorder lets through of a pod's Events, and its last Events Killing are not there.
// What the probe said shortly before may be.

// signaled reports whether a run left with the code of one that SIGTERM or SIGKILL
// ended.
func (r *Run) signaled() bool {
	return !r.Vanished && EndedBySignal(r.ExitCode, r.Reason)
}

// EndedBySignal reports the same of the code and the reason with which a status has a run end.
func EndedBySignal(code int32, reason string) bool {
	return (code == exitSIGKILL || code == exitSIGTERM) && reason != OOMKilled
}

// KilledUnreported finds the failure of a probe for which the kubelet must have killed a
// run, though no Event says that it did: it sends such signals only to what it stops,
// and the run ended in the time that this takes.
func (p *Pod) KilledUnreported(container *Container, r *Run) (failed Occurrence, ok bool) {
	if !r.signaled() || p.Failed.Known() || p.Lost() && !r.Finished.At().Before(p.LostAt().Earliest) {
		return failed, false
	}
	// The end is known to the second.
	from, until := r.Finished.Earliest.Add(-container.longestKill-time.Second), r.Finished.At()
	if r.Finished.SecondOnly() {
		until = r.Finished.LastOfSecond()
	}
	for o := range p.OccurrencesOf(reasonUnhealthy, container) {
		if o.At.Before(from) || o.At.Before(r.Started.Earliest) || o.At.After(until) || !o.At.After(failed.At) {
			continue
		}
		if slices.ContainsFunc(stopReasons, func(k stopReason) bool { return k.saidBy(o.Message) }) {
			failed, ok = o, true
		}
	}
	return failed, ok
}

// saidBy reports whether these are the words of the probe itself, and not of one that
// could not be made.
func (k stopReason) saidBy(message string) bool {
	return k.probe != "" && strings.HasPrefix(stream.EventWords(message), k.probe+" failed")
}

// longestKill is how long the kubelet takes at most to kill a container for a probe: it
// sends SIGKILL when the grace period is over.
func longestKill(in *corev1.Pod, s *corev1.Container) time.Duration {
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

// longestKill is how long the kubelet takes at most to kill any of the pod's containers.
func (p *Pod) longestKill() (longest time.Duration) {
	for _, container := range p.Containers {
		longest = max(longest, container.longestKill)
	}
	return longest
}

// timeUp is when the kubelet sent SIGKILL to a run that it had begun to kill at a time, if
// that is what ended it: the grace period was over in the second in which it ended. Zero if
// it was not, or if the grace period was another one.
func (c *Container) timeUp(end evidence.Moment, r *Run, killed time.Time) time.Time {
	if killed.IsZero() || r.ExitCode != exitSIGKILL || r.Reason == OOMKilled || r.Vanished {
		return time.Time{}
	}
	up := killed.Add(c.longestKill)
	if up.Before(end.Earliest.Add(-time.Second)) || !up.Before(end.At()) {
		return time.Time{}
	}
	return evidence.Latest(end.Earliest, up)
}

// EndOfKilled dates the end of a run that the kubelet had begun to kill at a time.
func (c *Container) EndOfKilled(end evidence.Moment, r *Run, killed time.Time) time.Time {
	return cmp.Or(c.timeUp(end, r, killed), end.At())
}
