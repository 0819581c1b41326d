package causality

import (
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// The kubelet says of each container that it kills that it does so, and in words
// what for.

// killing is what the kubelet kills a container for.
type killing struct {
	words  string // by which the Event is known
	cause  string // of the restart
	reason string // what the run failed for; empty if it did nothing wrong
	probe  string // which probe it did not pass
}

// killings are from k8s.io/kubernetes/pkg/kubelet/kuberuntime. The first that fits
// counts.
var killings = []killing{
	{"failed liveness probe", attr.CauseProbe, livenessProbeFailed, "Liveness probe"},
	{"failed startup probe", attr.CauseProbe, startupProbeFailed, "Startup probe"},
	{"PostStartHook", attr.CauseHook, postStartHookError, ""},
	{"resize requires restart", attr.CauseResize, "", ""},
	{"definition changed", attr.CauseImage, "", ""}, // of what it compares only the image can change
	{stoppingWords, attr.CauseSandbox, "", ""},
	{"try killing it before restart", attr.CauseVanished, "", ""},
}

// restartAllWords are all that the kubelet says where it restarts all containers.
const restartAllWords = "killing"

// stoppingWords are what the kubelet says where it stops all of a pod: to end it, or
// to give it another sandbox.
const stoppingWords = "Stopping container "

func killingFor(message string) killing {
	if message == restartAllWords {
		return killing{cause: attr.CauseRule}
	}
	for _, k := range killings {
		if strings.Contains(message, k.words) || k.saidBy(message) {
			return k
		}
	}
	return killing{cause: attr.CauseKubelet}
}

// killed finds what says that the kubelet began to kill a run.
func (p *pod) killed(c *container, r *run) (kill occurrence, ok bool) {
	next := c.nextStart(r)
	for o := range p.said("Killing", c) {
		if !next.IsZero() && o.at.After(next) {
			continue // that was of a later run
		}
		// Both ends of the run are known to the second.
		if !o.at.Before(r.started.lo) && o.at.Before(r.finished.at().Add(time.Second)) && (!ok || o.at.After(kill.at)) {
			kill, ok = o, true
		}
	}
	if !ok {
		return p.killedUnsaid(c, r)
	}
	return kill, ok
}

// ordered reports whether the kubelet ended a run that did nothing wrong, to start
// the container anew. How it answers to that is no error.
func (p *pod) ordered(c *container, r *run) bool {
	if r.reason == restartingAll {
		return true
	}
	kill, ok := p.killed(c, r)
	if !ok || r.reason == oomKilled {
		return false
	}
	switch killingFor(kill.message).cause {
	case attr.CauseResize, attr.CauseImage, attr.CauseRule:
		return true
	case attr.CauseSandbox:
		return c.ranAfter(r)
	}
	return false
}

// stopsBy reports whether an Event says that the kubelet stops a container with its
// pod, by a clock that may not be the API server's.
func (p *pod) stopsBy(ev *event) bool {
	c := p.container(ev.container)
	if ev.reason != "Killing" || c == nil || !p.leaving() || len(c.runs) == 0 {
		return false
	}
	at, last := ev.first(), c.runs[len(c.runs)-1]
	return strings.Contains(ev.message(), stoppingWords) && at.After(last.started.at()) &&
		!at.Before(p.deleteAsked.lo.Add(-clockSlack))
}

// ranAfter reports whether the container was started again after a run.
func (c *container) ranAfter(r *run) bool {
	return len(c.runs) > 0 && c.runs[len(c.runs)-1] != r
}

// nextStart is by when the run after this one had started; zero if there is none.
func (c *container) nextStart(r *run) time.Time {
	i := slices.Index(c.runs, r) + 1
	if i >= len(c.runs) || !c.runs[i].started.known() {
		return time.Time{}
	}
	started := c.runs[i].started
	if started.hi.IsZero() {
		return started.lo.Add(time.Second)
	}
	return started.hi
}

// clockSlack is how far the clocks of a node and of the API server may be apart
// before a container that was stopped seems to have ended by itself.
const clockSlack = 10 * time.Second

// stoppedWith reports whether a run ended because its pod was to go. The kubelet
// dates the end, and the API server the request; and a mirror pod is deleted when
// its containers have been stopped already.
func (p *pod) stoppedWith(c *container, r *run) bool {
	if !p.lost() || !r.over() {
		return false
	}
	end, asked := r.finished.at(), p.lostAt().lo
	if !end.Before(asked) {
		return true
	}
	kill, ok := p.killed(c, r)
	return ok && !c.ranAfter(r) && strings.Contains(kill.message, stoppingWords) && !end.Before(asked.Add(-clockSlack))
}
