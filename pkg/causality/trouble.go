package causality

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// trouble says what kept a pod from being ready at a time. self is set if the
// pod, or a container of it, had failed rather than not been done yet.
func (p *pod) trouble(tl timeline, at time.Time) (f failure, self bool) {
	if p.saysWhyItFailed(at) {
		return p.statusFailure(), true
	}
	for _, c := range p.containers {
		if f, failed := p.containerTrouble(c, at); failed {
			return f, true
		}
	}
	for i := range tl.containers {
		if why, ok := tl.containers[i].backingOff(at); ok && why.reason != "CrashLoopBackOff" {
			return why, true // only Events say so
		}
	}
	if tl.scheduled.IsZero() {
		return p.schedulingTrouble(at), false
	}
	return p.waitingTrouble(tl, at), false
}

// saysWhyItFailed reports whether a pod's own status gives a reason for what had become
// of it at a time. One that was to finish and was only let go of, as by
// `kubectl delete --cascade=orphan`, goes on.
func (p *pod) saysWhyItFailed(at time.Time) bool {
	if p.reason == "" {
		return false
	}
	left := p.finite && p.released()
	failed := p.failed.known() && !left && !p.failed.at().After(at)
	return failed || p.finished.known()
}

// containerTrouble says what a container waited for at a time, or how its last run
// failed; ok is false if neither.
func (p *pod) containerTrouble(c *container, at time.Time) (f failure, ok bool) {
	w, waiting := c.waitAt(at)
	waiting = waiting && (w.until.IsZero() || !w.until.Before(at))
	ended := c.lastEnded(at)
	switch {
	case waiting && ended != nil && (w.reason == "CrashLoopBackOff" || w.reason == postStartHookError):
		return failure{w.reason, p.whyEnded(c, ended).describe()}, true
	case waiting && w.reason == "CrashLoopBackOff":
		return failure{w.reason, ""}, true
	case waiting:
		return failure{w.reason, c.explain(w.reason, w.message)}, true
	case ended != nil && ended.exitCode != 0 && !c.runningAt(at) && !p.endedWithPod(c, ended):
		return p.whyEnded(c, ended), true
	}
	return failure{}, false
}

// statusFailure is why a pod failed as a whole, in its status's words.
func (p *pod) statusFailure() failure {
	message := strings.TrimPrefix(p.message, "Pod was rejected: ")
	if p.reason == "Evicted" {
		message = cutSentence(message) // what follows are figures
	}
	return failure{p.reason, message}
}

// schedulingTrouble says why a pod had no node.
func (p *pod) schedulingTrouble(at time.Time) failure {
	if f, ok := p.claimTrouble(at); ok {
		return f
	}
	refusals := p.refusals(at)
	if len(refusals) == 0 {
		return failure{"PodNotScheduled", ""}
	}
	last := refusals[len(refusals)-1]
	if !last.until.IsZero() && !last.until.After(at) {
		return failure{"PodNotScheduled", ""}
	}
	return failure{last.errorType(), last.message}
}

// waitingTrouble says what a pod that has a node, and has not failed, waited for.
func (p *pod) waitingTrouble(tl timeline, at time.Time) failure {
	unready, _ := p.unready.at(at)
	if unready.reason == "ReadinessGatesNotReady" {
		return failure{unready.reason, unready.message}
	}
	if w, ok := p.lastWarning(tl.lastStep(), at); ok {
		return w
	}
	for _, line := range tl.containers {
		if line.init && !line.begin.IsZero() && line.end.IsZero() {
			// In the words of the condition Initialized.
			return failure{"ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: [%s]", line.name)}
		}
	}
	if unready.reason != "" && !tl.sandbox.IsZero() {
		return failure{unready.reason, unready.message}
	}
	return failure{"ContainersNotReady", ""}
}

// lastStep is when the last step of the start began that shows.
func (tl *timeline) lastStep() time.Time {
	last := latest(tl.scheduled, tl.sandbox)
	for _, line := range tl.containers {
		if !line.begin.IsZero() {
			last = latest(last, line.begin, line.end)
		}
	}
	return last
}

// lastWarning is what the last Warning Event said in a span of time: which
// volume, sandbox or probe a pod that has not failed waits for.
func (p *pod) lastWarning(from, at time.Time) (failure, bool) {
	var last occurrence
	var reason string
	for _, ev := range p.events {
		if ev.eventType != "Warning" || ev.first().After(at) || ev.container != "" && p.container(ev.container) == nil {
			continue // the last is of an ephemeral container, which nobody waits for
		}
		o := ev.until(at)
		if o.at.Before(from) {
			continue
		}
		vague, wasVague := isVague(o.message), isVague(last.message)
		if reason == "" || wasVague && !vague || wasVague == vague && !o.at.Before(last.at) {
			reason, last = ev.reason, o
		}
	}
	return failure{reason, last.message}, reason != ""
}

// isVague knows the kubelet's summary of the volumes that it waits for; that of
// each volume says why.
func isVague(message string) bool {
	return strings.HasPrefix(message, "Unable to attach or mount volumes")
}

// lastEnded is the last run of a container that had ended by a time.
func (c *container) lastEnded(at time.Time) *run {
	for _, r := range slices.Backward(c.runs) {
		if r.over() && !r.finished.lo.After(at) {
			return r
		}
	}
	return nil
}

func (c *container) runningAt(at time.Time) bool {
	for _, r := range c.runs {
		if r.started.known() && !r.started.lo.After(at) && (!r.over() || r.finished.at().After(at)) {
			return true
		}
	}
	return false
}

// explain shortens the kubelet's message about a waiting container: of an image
// its name and the last word of the chain of errors, of a start what the
// runtime's layers hand up, else all of it.
func (c *container) explain(reason, message string) string {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "InvalidImageName", "SignatureValidationFailed":
		if message == "" {
			return c.image
		}
		return c.image + ": " + lastClause(message)
	case runContainerError:
		return innermost(message)
	case postStartHookError:
		// It has what the hook printed, which the kubelet keeps out of its
		// Events lest a secret leaks.
		return ""
	default:
		return message
	}
}

// layers are the words with which containerd, runc and the kubelet pass on an
// error from further inside.
var layers = []string{"Error: ", "failed to create containerd task: ", "failed to create shim task: ", "OCI runtime create failed: ",
	"runc create failed: ", "unable to start container process: ", "error during container init: "}

// innermost drops the layers around an error.
func innermost(message string) string {
	for _, layer := range layers {
		message = strings.TrimPrefix(message, layer)
	}
	return strings.TrimSuffix(message, ": unknown")
}

// lastClause is what an error says last, and most specifically: "not found" of
// "failed to pull: failed to resolve: not found".
func lastClause(message string) string {
	message = strings.TrimSpace(message)
	if i := strings.LastIndex(message, ": "); i >= 0 {
		return message[i+2:]
	}
	return message
}
