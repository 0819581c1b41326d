package podlife

import (
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The kubelet says of each container that it kills that it does so, and in words
// what for.

// stopReason is what the kubelet kills a container for.
type stopReason struct {
	words  string // by which the Event is known
	Cause  string // of the restart
	reason string // what the run failed for; empty if it did nothing wrong
	probe  string // which probe it did not pass
}

// stopReasons are from k8s.io/kubernetes/pkg/kubelet/kuberuntime. The first that fits
// counts.
var stopReasons = []stopReason{
	{"failed liveness probe", attr.CauseProbe, livenessProbeFailed, "Liveness probe"},
	{"failed startup probe", attr.CauseProbe, startupProbeFailed, "Startup probe"},
	{"PostStartHook", attr.CauseHook, postStartHookError, ""},
	{"resize requires restart", attr.CauseResize, "", ""},
	{"definition changed", attr.CauseImage, "", ""}, // of what it compares only the image can change
	{StoppingWords, attr.CauseSandbox, "", ""},
	{"try killing it before restart", attr.CauseVanished, "", ""},
}

// restartAllWords are all that the kubelet says where it restarts all containers.
const restartAllWords = "killing"

// StoppingWords are what the kubelet says where it stops all of a pod: to end it, or
// to give it another sandbox.
const StoppingWords = "Stopping container "

// StopReasonFor is what the message of an Event Killing, or the failure of a probe, says that
// the kubelet killed a container for.
func StopReasonFor(message string) stopReason {
	if stream.EventWords(message) == restartAllWords {
		return stopReason{Cause: attr.CauseRule}
	}
	for _, k := range stopReasons {
		if strings.Contains(message, k.words) || k.saidBy(message) {
			return k
		}
	}
	return stopReason{Cause: attr.CauseKubelet}
}

// killed finds what says that the kubelet began to kill a run.
func (p *Pod) killed(container *Container, r *Run) (kill Occurrence, ok bool) {
	next := container.nextStart(r)
	for o := range p.OccurrencesOf(ReasonKilling, container) {
		if !next.IsZero() && o.At.After(next) {
			continue // that was of a later run
		}
		// Both ends of the run are known to the second.
		if !o.At.Before(r.Started.Earliest) && o.At.Before(r.Finished.At().Add(time.Second)) && (!ok || o.At.After(kill.At)) {
			kill, ok = o, true
		}
	}
	if !ok {
		return p.KilledUnreported(container, r)
	}
	return kill, ok
}

// Ordered reports whether the kubelet ended a run that did nothing wrong, to start
// the container anew. How it answers to that is no error.
func (p *Pod) Ordered(container *Container, r *Run) bool {
	if r.Reason == RestartingAll {
		return true
	}
	kill, ok := p.killed(container, r)
	if !ok || r.Reason == OOMKilled {
		return false
	}
	switch StopReasonFor(kill.Message).Cause {
	case attr.CauseResize, attr.CauseImage, attr.CauseRule:
		return true
	case attr.CauseSandbox:
		return container.ranAfter(r)
	}
	return false
}

// StopsBy reports whether an Event says that the kubelet stops a container with its
// pod, by a clock that may not be the API server's.
func (p *Pod) StopsBy(ev *Event) bool {
	container := p.container(ev.Container)
	if ev.Reason != ReasonKilling || container == nil || !p.Leaving() {
		return false
	}
	at, last := ev.First(), container.lastRun()
	if last == nil {
		return false
	}
	from := evidence.Earliest(p.DeleteAsked.Earliest.Add(-clockSlack), p.StopFrom())
	return strings.Contains(ev.Message(), StoppingWords) && at.After(last.Started.At()) &&
		!at.Before(from)
}

// stopSaid reports whether the kubelet said after a time that it stops a run with the pod. It says so
// only of what runs, so a run that seems to have ended before is dated by a clock that jumped.
func (p *Pod) stopSaid(container *Container, r *Run, after time.Time) bool {
	if container.ranAfter(r) || container.WaitedAfter(r) {
		return false
	}
	for o := range p.OccurrencesOf(ReasonKilling, container) {
		if strings.Contains(o.Message, StoppingWords) && !o.At.Before(after.Add(-clockSlack)) {
			return true
		}
	}
	return false
}

// ranAfter reports whether the container was started again after a run.
func (c *Container) ranAfter(r *Run) bool {
	last := c.lastRun()
	return last != nil && last != r
}

// nextStart is by when the run after this one had started; zero if there is none.
func (c *Container) nextStart(r *Run) time.Time {
	i := slices.Index(c.Runs, r) + 1
	if i >= len(c.Runs) || !c.Runs[i].Started.Known() {
		return time.Time{}
	}
	started := c.Runs[i].Started
	if started.Latest.IsZero() {
		return started.Earliest.Add(time.Second)
	}
	return started.Latest
}

// clockSlack is how far the clocks of a node and of the API server may be apart
// before a container that was stopped seems to have ended by itself.
const clockSlack = 10 * time.Second

// StoppedWith reports whether a run ended because its pod was to go. The kubelet
// dates the end, and the API server the request; and a mirror pod is deleted when
// its containers have been stopped already.
func (p *Pod) StoppedWith(container *Container, r *Run) bool {
	if !p.Lost() || !r.Over() {
		return false
	}
	if p.EndedUndeleted() {
		return p.endedWith(container, r)
	}
	end, asked := r.Finished.At(), p.LostAt().Earliest
	if p.Mirrors != "" && p.Leaving() {
		asked = p.StopFrom()
	}
	if !end.Before(asked) || p.stopSaid(container, r, asked) {
		return true
	}
	kill, ok := p.killed(container, r)
	return ok && !container.ranAfter(r) && strings.Contains(kill.Message, StoppingWords) && !end.Before(asked.Add(-clockSlack))
}
