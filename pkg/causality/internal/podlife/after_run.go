package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// What the kubelet does for a container that is started again is what it does for one that
// is started: it pulls the image, starts it, and backs off from what failed.

// LineAfter is what went on of a container from a time on, at or after the end of a run (nil:
// of none that is known): of the runs only the later ones.
func (p *Pod) LineAfter(container *Container, ended *Run, from time.Time) ContainerLine {
	line := ContainerLine{Container: container}
	earlier := container.Runs[:slices.Index(container.Runs, ended)+1]
	for _, m := range p.Milestones(container) {
		if m.At.Before(from) || m.run != nil && slices.Contains(earlier, m.run) {
			continue
		}
		line.milestones = append(line.milestones, m)
	}
	return line
}

// StagesAfter are what was done for the container between two times, after the end of a run
// (nil: of none that is known). With backOff, what it waited for at first is the next try.
// The end of the run that was started is no part of it, but for one that is to finish.
func (l *ContainerLine) StagesAfter(ended *Run, from, until time.Time, backOff bool) []Stage {
	s := stager{line: l, idle: from}
	if backOff {
		s.crashed(from, "")
		if ended != nil {
			s.crashed(from, l.saidOfCrash(ended))
		}
	}
	for _, m := range l.milestones {
		if m.At.After(until) || m.Kind == milestoneTerminated && !m.At.Before(until) && (!l.Init || l.Sidecar) {
			break // what comes next is another restart
		}
		m.At = evidence.Latest(m.At, from)
		s.next(m)
		if m.Kind == milestoneTerminated && !m.At.Before(until) {
			return tiled(s.out, from)
		}
	}
	s.finish(until)
	return tiled(s.out, from)
}

// tiled has stages follow one after the other from a time on: what shows late has begun when
// nothing else was to be done, but for a pull, of which both ends are known.
func tiled(stages []Stage, from time.Time) []Stage {
	out := make([]Stage, 0, len(stages))
	for _, g := range stages {
		if g.From.After(from) {
			if g.Kind == kind.PullImage {
				out = append(out, Stage{Kind: kind.BackOff, From: from, Until: g.From})
			} else {
				g.From = from
			}
		}
		out = append(out, g)
		from = evidence.Latest(from, g.Until)
	}
	return out
}

// BootOf is when a run had passed its startup probe, between two times; the last of them if
// that is not known.
func (r *Run) BootOf(from, until time.Time) time.Time {
	if !r.booted.Known() {
		return until
	}
	return evidence.Earliest(evidence.Latest(r.booted.At(), from), until)
}

// NextRun is the run after the one at i. What the runtime created and could not start is
// none: the kubelet tries again.
func (c *Container) NextRun(i int) *Run {
	for _, r := range c.Runs[i+1:] {
		if !r.NeverRan() {
			return r
		}
	}
	return nil
}

// RunBefore is the run before another; nil if there is none.
func (c *Container) RunBefore(r *Run) *Run {
	if i := slices.Index(c.Runs, r); i > 0 {
		return c.Runs[i-1]
	}
	return nil
}

// StartOf dates the start of a run.
func (l *ContainerLine) StartOf(r *Run) time.Time { return StartOfRun(l.milestones, r) }

// TriedFrom is when the kubelet first worked on the container at or after a time, by an
// Event; zero if nothing says so.
func (l *ContainerLine) TriedFrom(from time.Time) time.Time {
	for _, m := range l.milestones {
		if m.Exact && m.Kind != MilestoneFailed && m.Kind != MilestoneBackOff && !m.At.Before(from) {
			return m.At
		}
	}
	return time.Time{}
}

// WorkedOnFrom is when the kubelet first worked on any container of the pod after a time, by
// an Event; zero if nothing says so.
func (p *Pod) WorkedOnFrom(after time.Time) (at time.Time) {
	for _, container := range p.Containers {
		for _, m := range p.Milestones(container) {
			if m.Exact && m.Kind != MilestoneBackOff && m.At.After(after) {
				at = evidence.Earliest(at, m.At)
				break
			}
		}
	}
	return at
}

// StopOfRun is how the kubelet stopped a run that did nothing wrong, as it stopped all of
// the pod's: to restart them by a rule, or to give the pod another sandbox.
type StopOfRun struct {
	*Container
	Run         *Run
	From, Until time.Time
}

// StoppedForAll are the runs that ended in a span of time as the kubelet stopped all
// containers of the pod, but for those of one container.
func (p *Pod) StoppedForAll(except *Container, from, until time.Time) (stops []StopOfRun) {
	for _, container := range p.Containers {
		if container == except {
			continue
		}
		for _, r := range container.Runs {
			end := r.Finished.Before(until).At()
			if !r.Over() || !end.After(from) || end.After(until) || r.Started.At().After(from) || p.StoppedWith(container, r) {
				continue
			}
			kill, ok := p.killed(container, r)
			if cause := StopReasonFor(kill.Message).Cause; r.Reason == RestartingAll || ok && (cause == attr.CauseRule || cause == attr.CauseSandbox) {
				stops = append(stops, StopOfRun{Container: container, Run: r, From: kill.At, Until: end})
			}
		}
	}
	return stops
}

// RestartedAllFrom is when the kubelet began to restart all containers of the pod by a rule,
// if it did so for a run that ended by itself in a span of time; zero if it did not.
func (p *Pod) RestartedAllFrom(container *Container, from, until time.Time) (at time.Time) {
	for _, ev := range p.Events {
		if ev.Reason != ReasonKilling || ev.Container == container.Name {
			continue
		}
		for _, o := range ev.Occurrences {
			if stream.EventWords(o.Message) == restartAllWords && !o.At.Before(from) && !o.At.After(until) {
				at = evidence.Earliest(at, o.At)
			}
		}
	}
	return at
}

// TroubleSince says what kept a pod from being ready at a time, after a run of a container had
// ended: what that container is in trouble with, or else what Trouble says.
func (p *Pod) TroubleSince(container *Container, ended *Run, at time.Time) (f evidence.Failure, self bool) {
	line := p.LineAfter(container, ended, ended.Finished.Earliest)
	s := stager{line: &line, idle: ended.Finished.At()}
	for _, m := range line.milestones {
		if !m.At.After(at) {
			s.next(m)
		}
	}
	if !s.pulling.IsZero() {
		return evidence.Failure{Reason: reasonPulling, Message: container.Image, Container: p.Of(container, evidence.Failure{}).Container}, false
	}
	if f, failed := p.containerTrouble(container, at); failed {
		return p.Of(container, f), true
	}
	return p.Trouble(p.Timeline(at), at)
}
