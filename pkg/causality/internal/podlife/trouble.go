package podlife

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// Trouble says what kept a pod from being ready at a time. self is set if the
// pod, or a container of it, had failed rather than not been done yet.
func (p *Pod) Trouble(tl Timeline, at time.Time) (f evidence.Failure, self bool) {
	if p.saysWhyItFailed(at) {
		return p.statusFailure(), true
	}
	for _, container := range p.Containers {
		if f, failed := p.TroubleOf(container, at); failed {
			return f, true
		}
	}
	if p.abandoned && p.Phase == PodFailed && p.Disruption != "" && !p.Finished.At().After(at) {
		return evidence.Failure{Reason: p.Disruption, Message: ""}, true
	}
	for i := range tl.Containers {
		if why, ok := tl.Containers[i].backingOff(at); ok && why.Reason != crashLoopBackOff {
			return p.Of(tl.Containers[i].Container, why), true // only Events say so
		}
	}
	if tl.Scheduled.IsZero() {
		return p.schedulingTrouble(at), false
	}
	if f, ok := p.statedTrouble(tl, at); ok {
		return f, false
	}
	if f, ok := p.CrashedBefore(at); ok {
		return f, true
	}
	return p.notDoneYet(tl, at), false
}

// saysWhyItFailed reports whether a pod's own status gives a reason for what had become
// of it at a time. One that was to finish and was only let go of, as by
// `kubectl delete --cascade=orphan`, goes on.
func (p *Pod) saysWhyItFailed(at time.Time) bool {
	if p.Reason == "" {
		return false
	}
	left := p.Finite && p.Released()
	failed := p.Failed.Known() && !left && !p.Failed.At().After(at)
	return failed || p.Finished.Known()
}

// TroubleOf says how a container of the pod had failed by a time; ok is false if it had not.
func (p *Pod) TroubleOf(container *Container, at time.Time) (f evidence.Failure, ok bool) {
	f, ok = p.containerTrouble(container, at)
	return p.Of(container, f), ok
}

// containerTrouble says what a container waited for at a time, or how its last run
// failed; ok is false if neither.
func (p *Pod) containerTrouble(container *Container, at time.Time) (f evidence.Failure, ok bool) {
	w, waiting := container.waitAt(at)
	waiting = waiting && (w.until.IsZero() || !w.until.Before(at))
	ended := container.LastEnded(at)
	switch {
	case waiting && ended != nil && (w.reason == crashLoopBackOff || w.reason == postStartHookError):
		return evidence.Failure{Reason: w.reason, Message: Describe(p.WhyEnded(container, ended))}, true
	case waiting && w.reason == crashLoopBackOff:
		return evidence.Failure{Reason: w.reason, Message: ""}, true
	case waiting:
		return evidence.Failure{Reason: w.reason, Message: container.explain(w.reason, w.message)}, true
	case ended != nil && ended.ExitCode != 0 && !container.RunningAt(at) && !p.EndedWithPod(container, ended):
		return p.WhyEnded(container, ended), true
	}
	return evidence.Failure{}, false
}

// statusFailure is why a pod failed as a whole, in its status's words.
func (p *Pod) statusFailure() evidence.Failure {
	message := strings.TrimPrefix(p.Message, "Pod was rejected: ")
	if p.Reason == reasonEvicted {
		message = kube.CutSentence(message) // what follows are figures
	}
	return evidence.Failure{Reason: p.Reason, Message: message}
}

// schedulingTrouble says why a pod had no node.
func (p *Pod) schedulingTrouble(at time.Time) evidence.Failure {
	if f, ok := p.claimTrouble(at); ok {
		return f
	}
	refusals := p.Refusals(at)
	if len(refusals) == 0 {
		return evidence.Failure{Reason: "PodNotScheduled", Message: ""}
	}
	last := refusals[len(refusals)-1]
	if !last.Until.IsZero() && !last.Until.After(at) {
		return evidence.Failure{Reason: "PodNotScheduled", Message: ""}
	}
	return evidence.Failure{Reason: last.errorType(), Message: last.Message}
}

// statedTrouble says what a pod that has a node, and has not failed, waited for, if somebody
// states more of that than that it is not done yet.
func (p *Pod) statedTrouble(tl Timeline, at time.Time) (f evidence.Failure, ok bool) {
	if unready, _ := p.Unready.At(at); unready.Reason == "ReadinessGatesNotReady" {
		return evidence.Failure{Reason: unready.Reason, Message: unready.Message}, true
	}
	return p.lastWarning(tl.lastStep(), at)
}

// CrashedBefore says how the last run ended of a container that runs again at a time, and that its
// pod, which is to stay, has not been Ready with since. That it runs is not how it fares.
func (p *Pod) CrashedBefore(at time.Time) (f evidence.Failure, ok bool) {
	if p.Finite {
		return evidence.Failure{}, false
	}
	var last time.Time
	for _, container := range p.Containers {
		r := container.LastEnded(at)
		if r == nil || container.IsDone(r) || p.Ordered(container, r) || container.readyAt(at) || !container.RunningAt(at) {
			continue
		}
		if end := r.Finished.At(); end.After(last) && !p.wasReadyBetween(end, at) {
			last = end
			f, ok = p.Of(container, p.WhyEnded(container, r)), true
		}
	}
	return f, ok
}

// wasReadyBetween reports whether the pod became Ready after a time and before another. A list shows the latest
// transition alone: one to not Ready that came later than a kubelet writes shows that it was.
func (p *Pod) wasReadyBetween(from, to time.Time) bool {
	if unready, _ := p.Unready.At(to); len(p.Ready) == 0 && unready.Stated.After(from.Add(reported)) {
		return true
	}
	return slices.ContainsFunc(p.Ready, func(tr transition) bool {
		return tr.Status && tr.At.At().After(from) && tr.At.At().Before(to)
	})
}

// notDoneYet says what a pod had still to do of which nothing says that it had failed.
func (p *Pod) notDoneYet(tl Timeline, at time.Time) evidence.Failure {
	for _, line := range tl.Containers {
		if line.Init && !line.Begin.IsZero() && line.End.IsZero() {
			// In the words of the condition Initialized.
			return evidence.Failure{Reason: "ContainersNotInitialized", Message: fmt.Sprintf("containers with incomplete status: [%s]", line.Name)}
		}
	}
	if unready, _ := p.Unready.At(at); unready.Reason != "" && !tl.Sandbox.IsZero() {
		return evidence.Failure{Reason: unready.Reason, Message: unready.Message}
	}
	return evidence.Failure{Reason: "ContainersNotReady", Message: p.unreadyWords(at)}
}

// unreadyWords name the containers that were not ready at a time, in the words of the
// condition Ready, if the status tells them from others.
func (p *Pod) unreadyWords(at time.Time) string {
	var names []string
	ready := false
	for _, container := range p.Containers {
		switch {
		case container.Init:
		case container.readyAt(at):
			ready = true
		default:
			names = append(names, container.Name)
		}
	}
	if !ready || len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("containers with unready status: [%s]", strings.Join(names, " "))
}

// Of is a failure of a container: in a pod that has several it says of which.
func (p *Pod) Of(container *Container, f evidence.Failure) evidence.Failure {
	if len(p.Containers) > 1 {
		f.Container = container.Name
	}
	return f
}

// lastStep is when the last step of the start began that shows.
func (tl *Timeline) lastStep() time.Time {
	last := evidence.Latest(tl.Scheduled, tl.Sandbox)
	for _, line := range tl.Containers {
		if !line.Begin.IsZero() {
			last = evidence.Latest(last, line.Begin, line.End)
		}
	}
	return last
}

// lastWarning is what the last Warning Event said in a span of time: which
// volume, sandbox or probe a pod that has not failed waits for.
func (p *Pod) lastWarning(from, at time.Time) (evidence.Failure, bool) {
	var last Occurrence
	var reason string
	var about *Container
	for _, ev := range p.Events {
		container := p.container(ev.Container)
		if ev.EventType != "Warning" || ev.First().After(at) || ev.Container != "" && container == nil {
			continue // the last is of an ephemeral container, which nobody waits for
		}
		if ev.Reason == reasonUnhealthy && container != nil && container.readyAt(at) {
			continue // nor is that one waited for any more
		}
		o := ev.Until(at)
		if o.At.Before(from) {
			continue
		}
		vague, wasVague := isVague(o.Message), isVague(last.Message)
		if reason == "" || wasVague && !vague || wasVague == vague && !o.At.Before(last.At) {
			reason, last, about = ev.Reason, o, container
		}
	}
	f := evidence.Failure{Reason: reason, Message: stream.EventWords(last.Message)}
	if reason == reasonUnhealthy {
		// Of a probe that says nothing there is only what it was.
		f.Message = strings.TrimSuffix(strings.TrimSpace(f.Message), ":")
	}
	if about != nil {
		f = p.Of(about, f)
	}
	return f, reason != ""
}

// isVague knows the kubelet's summary of the volumes that it waits for; that of
// each volume says why.
func isVague(message string) bool {
	return strings.HasPrefix(stream.EventWords(message), "Unable to attach or mount volumes")
}

// LastEnded is the last run of a container that had ended by a time.
func (c *Container) LastEnded(at time.Time) *Run {
	for _, r := range slices.Backward(c.Runs) {
		if r.Over() && !r.Finished.Earliest.After(at) {
			return r
		}
	}
	return nil
}

// RunningAt reports whether the container ran at a time, as far as is known.
func (c *Container) RunningAt(at time.Time) bool {
	for _, r := range c.Runs {
		if r.Started.Known() && !r.Started.Earliest.After(at) && (!r.Over() || r.Finished.At().After(at)) {
			return true
		}
	}
	return false
}

// explain shortens the kubelet's message about a waiting container: of an image
// its name and the last word of the chain of errors, of a start what the
// runtime's layers hand up, else all of it.
func (c *Container) explain(reason, message string) string {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "InvalidImageName", "SignatureValidationFailed":
		image := c.imageIn(message)
		if message == "" {
			return image
		}
		return image + ": " + LastClause(message)
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

// LastClause is what an error says last, and most specifically: "not found" of
// "failed to pull: failed to resolve: not found".
func LastClause(message string) string {
	message = strings.TrimSpace(message)
	if i := strings.LastIndex(message, ": "); i >= 0 {
		return message[i+2:]
	}
	return message
}
