package causality

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// The API has no word for a run that the kubelet ended because of a probe.
const (
	livenessProbeFailed = "LivenessProbeFailed"
	startupProbeFailed  = "StartupProbeFailed"
)

// The kubelet's words for the states of containers that are named here.
const (
	postStartHookError = "PostStartHookError"
	runContainerError  = "RunContainerError"
	oomKilled          = "OOMKilled"
)

// whyEnded says why a run ended. What the kernel or the kubelet did to it is
// more specific than the code it left with.
func (p *pod) whyEnded(c *container, r *run) failure {
	if r.stillborn() {
		return failure{runContainerError, c.explain(runContainerError, r.refusal)}
	}
	exit := failure{r.endReason(), r.exit()}
	if exit.reason == oomKilled {
		return exit
	}
	kill, ok := p.killed(c, r)
	if !ok {
		return exit
	}
	if k := killingFor(kill.message); k.reason != "" {
		exit.reason = k.reason
		if said := p.lastProbe(c, k.probe, r.started.lo, kill.at); said != "" {
			exit.message = fmt.Sprintf("%s (%s)", said, exit.message)
		}
		return exit
	}
	if p.failed.known() && p.reason != "" {
		return failure{p.reason, exit.message} // it was stopped with its pod: Evicted, DeadlineExceeded
	}
	if strings.HasPrefix(kill.message, stoppingWords) {
		return exit // with its pod, and the kubelet has no more to say of it
	}
	return failure{exit.reason, exit.message + ": " + kill.message}
}

// lastProbe is what a kind of probe last said of a container in a span of time:
// "HTTP probe failed with statuscode: 503".
func (p *pod) lastProbe(c *container, probe string, from, until time.Time) string {
	if probe == "" {
		return ""
	}
	var last occurrence
	for o := range p.said("Unhealthy", c) {
		if strings.HasPrefix(o.message, probe) && !o.at.Before(from) && !o.at.After(until) && o.at.After(last.at) {
			last = o
		}
	}
	_, said, _ := strings.Cut(last.message, ": ")
	return strings.TrimSpace(said)
}

// endedWithPod reports whether a sidecar was only stopped because the
// containers it serves were done.
func (p *pod) endedWithPod(c *container, r *run) bool {
	if !c.sidecar {
		return false
	}
	for _, other := range p.containers {
		if other.init {
			continue
		}
		n := len(other.runs)
		if n == 0 || !other.runs[n-1].over() || other.runs[n-1].finished.lo.After(r.finished.at()) {
			return false
		}
	}
	return p.phase == "Succeeded" || p.phase == "Failed"
}

// endReason is why a run that failed ended, in the runtime's word; some give
// none.
func (r *run) endReason() string { return cmp.Or(r.reason, "Error") }

func (r *run) exit() string { return fmt.Sprintf("exit code %d", r.exitCode) }

// describe says how a run ended, for a failure that is named after something
// else.
func (f failure) describe() string {
	switch {
	case f.reason == "" || f.reason == "Error":
		return f.message
	case strings.HasPrefix(f.message, "exit code"):
		return f.reason + ", " + f.message // as in "OOMKilled, exit code 137"
	default:
		return f.reason + ": " + f.message
	}
}
