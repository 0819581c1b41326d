package podlife

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// The API has no word for a run that the kubelet ended because of a probe.
const (
	livenessProbeFailed = "LivenessProbeFailed"
	startupProbeFailed  = "StartupProbeFailed"
)

// Reasons of the kubelet's Events: that it begins to stop a container, and that a probe failed.
const (
	ReasonKilling   = "Killing"
	reasonUnhealthy = "Unhealthy"
)

// The kubelet's words for the states of containers that are named here.
const (
	postStartHookError = "PostStartHookError"
	crashLoopBackOff   = "CrashLoopBackOff"
	runContainerError  = "RunContainerError"
	OOMKilled          = "OOMKilled"
)

// WhyEnded says why a run ended. What the kernel or the kubelet did to it is
// more specific than the code it left with.
func (p *Pod) WhyEnded(container *Container, r *Run) evidence.Failure {
	if r.NeverRan() {
		return evidence.Failure{Reason: runContainerError, Message: container.explain(runContainerError, r.refusal)}
	}
	exit := evidence.Failure{Reason: r.endReason(), Message: r.Exit()}
	if exit.Reason == OOMKilled {
		return exit
	}
	kill, ok := p.killed(container, r)
	if !ok {
		exit.Reason = cmp.Or(p.endedFor(container, r), exit.Reason) // the Event Killing was lost
		return exit
	}
	if k := StopReasonFor(kill.Message); k.reason != "" {
		exit.Reason = k.reason
		if said := p.lastProbe(container, k.probe, r.Started.Earliest, kill.At); said != "" {
			exit.Message = fmt.Sprintf("%s (%s)", said, exit.Message)
		}
		return exit
	}
	if why := p.endedFor(container, r); why != "" || p.Failed.Known() && p.Reason != "" {
		return evidence.Failure{Reason: cmp.Or(why, p.Reason), Message: exit.Message} // it was stopped with its pod: Evicted, DeadlineExceeded
	}
	words := stream.EventWords(kill.Message)
	if strings.HasPrefix(words, StoppingWords) {
		return exit // with its pod, and the kubelet has no more to say of it
	}
	return evidence.Failure{Reason: exit.Reason, Message: exit.Message + ": " + words}
}

// lastProbe is what a kind of probe last said of a container in a span of time:
// "HTTP probe failed with statuscode: 503".
func (p *Pod) lastProbe(container *Container, probe string, from, until time.Time) string {
	if probe == "" {
		return ""
	}
	var last Occurrence
	for o := range p.OccurrencesOf(reasonUnhealthy, container) {
		if strings.HasPrefix(stream.EventWords(o.Message), probe) && !o.At.Before(from) && !o.At.After(until) && o.At.After(last.At) {
			last = o
		}
	}
	_, said, _ := strings.Cut(stream.EventWords(last.Message), ": ")
	return strings.TrimSpace(said)
}

// EndedWithPod reports whether a sidecar was only stopped because the
// containers it serves were done.
func (p *Pod) EndedWithPod(container *Container, r *Run) bool {
	if !container.Sidecar {
		return false
	}
	for _, other := range p.Containers {
		if other.Init {
			continue
		}
		n := len(other.Runs)
		if n == 0 || !other.Runs[n-1].Over() || other.Runs[n-1].Finished.Earliest.After(r.Finished.At()) {
			return false
		}
	}
	return p.Phase == "Succeeded" || p.Phase == "Failed"
}

// StoppedSidecar is the run of a sidecar that the kubelet stopped as the containers it serves
// were done; nil if there is none. Where the pod is deleted meanwhile it is stopped with that.
func (p *Pod) StoppedSidecar(container *Container) *Run {
	r := container.lastRun()
	if r == nil || !container.Sidecar || !r.Over() || !p.EndedWithPod(container, r) || p.StoppedWith(container, r) {
		return nil
	}
	return r
}

// endReason is why a run that failed ended, in the runtime's word; some give
// none.
func (r *Run) endReason() string { return cmp.Or(r.Reason, "Error") }

// Exit is the exit code in words: "exit code 137".
func (r *Run) Exit() string { return fmt.Sprintf("exit code %d", r.ExitCode) }

// Describe says how a run ended, for a failure that is named after something
// else.
func Describe(f evidence.Failure) string {
	switch {
	case f.Reason == "" || f.Reason == "Error":
		return f.Message
	case strings.HasPrefix(f.Message, "exit code"):
		return f.Reason + ", " + f.Message // as in "OOMKilled, exit code 137"
	default:
		return f.Reason + ": " + f.Message
	}
}

// MayRestart reports whether the end of the run at i, after a time, may begin a restart that was
// not handed out yet. Of one instant, a pod is Ready with the next run.
func (p *Pod) MayRestart(container *Container, i int, after time.Time) bool {
	ended := container.Runs[i]
	end := ended.Finished.At()
	if !ended.Over() || container.staysEnded(i) || ended.NeverRan() || end.Before(after) {
		return false
	}
	if next := container.NextRun(i); next != nil && end.Equal(after) && !next.Started.At().After(after) {
		return false
	}
	sent, ok := p.Ledger.RestartSent[container.Name]
	return !ok || ended.Restart > sent
}
