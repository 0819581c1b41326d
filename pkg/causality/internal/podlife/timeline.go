package podlife

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// Timeline is when a pod went through its start, as far as the records tell.
// Times that are zero were not reached. It never runs backwards.
type Timeline struct {
	Created    time.Time
	Scheduled  time.Time
	Sandbox    time.Time
	Containers []ContainerLine
	Ready      time.Time
	finished   time.Time // of a pod that is to finish
}

// Over is when the pod's start, or its run, was over; zero if it was not.
func (tl *Timeline) Over(pod *Pod) time.Time {
	if pod.Finite {
		return tl.finished
	}
	return tl.Ready
}

// ContainerLine is a container's part of a pod's start: the kubelet turned to it at 10:02:03,
// and it had started for good at 10:02:07.
type ContainerLine struct {
	*Container
	Begin      time.Time // when it was its turn
	End        time.Time // when an init container had finished, or another had started, for good
	milestones []milestone

	finite bool // the container is to finish, as that of a Job's pod
}

// Timeline derives the pod's start from its records. What happened after
// until (zero: no limit) is left out.
func (p *Pod) Timeline(until time.Time) Timeline {
	var tl Timeline
	lines := make([]ContainerLine, 0, len(p.Containers))
	for _, container := range p.Containers {
		lines = append(lines, ContainerLine{
			Container: container, milestones: p.Milestones(container),
			finite: p.Finite && !container.Sidecar,
		})
	}
	narrowEnds(lines, p.sidecarsStopped())
	narrowBoots(lines)

	var firstMilestone time.Time
	for _, line := range lines {
		for _, m := range line.milestones {
			firstMilestone = evidence.Earliest(firstMilestone, m.At)
		}
	}
	scheduled := p.bound()
	var ready time.Time
	if tr, ok := p.FirstReady(); ok {
		ready = tr.At.At()
	}
	if !scheduled.Exact() {
		scheduled = scheduled.Before(firstMilestone)
	}
	if !ready.IsZero() {
		ready = readyAfterStarts(ready, lines)
	}

	tl.Created = p.CreatedAt()
	tl.Scheduled = atLeast(scheduled.At(), tl.Created)
	// The condition may be reported late; a container that is worked on has
	// its sandbox.
	sandbox := p.sandboxBy(firstMilestone)
	if !firstMilestone.IsZero() && (sandbox.IsZero() || firstMilestone.Before(sandbox)) {
		sandbox = firstMilestone
	}
	tl.Sandbox = atLeast(sandbox, evidence.Latest(tl.Scheduled, tl.Created))
	tl.Ready = ready
	if p.Finite {
		tl.Ready, tl.finished = time.Time{}, p.lastEnd(lines)
	}
	tl.cut(until)
	tl.turns(lines, until)
	return tl
}

// readyAfterStarts moves the estimate of Ready behind the containers' starts, as
// far as the second that the API states allows.
func readyAfterStarts(ready time.Time, lines []ContainerLine) time.Time {
	end := ready.Truncate(time.Second).Add(time.Second)
	for _, line := range lines {
		for _, m := range line.milestones {
			if m.Kind == milestoneStarted {
				if m.At.Before(end) {
					ready = evidence.Latest(ready, m.At)
				}
				break // of the first run; later ones are restarts
			}
		}
	}
	return ready
}

// CreatedAt dates the creation: by arrival, and not after the first thing
// that was done about the pod.
func (p *Pod) CreatedAt() time.Time {
	at := p.Created
	for _, ev := range p.Events {
		at = at.Before(ev.First())
	}
	at = at.Told(p.Announced)
	if p.Scheduled.Known() {
		at = at.Before(p.Scheduled.At())
	}
	return at.At()
}

// atLeast moves an effect that is known (not zero) behind its cause.
func atLeast(effect, cause time.Time) time.Time {
	if effect.IsZero() {
		return effect
	}
	return evidence.Latest(effect, cause)
}

// cut forgets what came after until.
func (tl *Timeline) cut(until time.Time) {
	if until.IsZero() {
		return
	}
	for _, t := range []*time.Time{&tl.Scheduled, &tl.Sandbox, &tl.Ready, &tl.finished} {
		if t.After(until) {
			*t = time.Time{}
		}
	}
	if tl.Created.After(until) {
		tl.Created = until
	}
}

// turns works out when it was each container's turn. The kubelet runs init
// containers one after another, then turns to the others in order, each as
// soon as it has started the one before or failed to.
func (tl *Timeline) turns(lines []ContainerLine, until time.Time) {
	limit := evidence.Latest(tl.Ready, tl.finished)
	if limit.IsZero() {
		limit = until
	}
	turn := tl.Sandbox
	lastStart := time.Time{}
	following := firstsAfter(lines)
	for i := range lines {
		line := &lines[i]
		line.clip(turn, limit, !tl.Ready.IsZero())
		line.Begin = turn
		switch {
		case line.Sidecar:
			line.End = line.upForGood()
			turn = line.sidecarTurn(following[i], limit)
			if line.End.IsZero() && !line.down() {
				line.End = turn // nothing but what came next tells of it
			}
			continue
		case line.Init:
			line.End = line.initEnd()
			turn = line.initTurn(following[i]) // zero if it is not done: nothing comes after it
			continue
		case line.finite:
			line.End = line.endedForGood()
		default:
			line.End = line.startedForGood()
			lastStart = evidence.Latest(lastStart, line.End)
		}
		if !turn.IsZero() {
			turn = line.nextTurn(lines[i+1:])
		}
	}
	tl.Containers = lines
	tl.Ready = atLeast(tl.Ready, lastStart)
}

// firstsAfter are, for each container, the first that is known of those after it; zero
// where nothing is.
func firstsAfter(lines []ContainerLine) []time.Time {
	firsts := make([]time.Time, len(lines))
	var first time.Time
	for i := range slices.Backward(lines) {
		firsts[i] = first
		for _, m := range lines[i].milestones {
			first = evidence.Earliest(first, m.At)
		}
	}
	return firsts
}

// clip keeps the milestones of the start, which ends at limit (because the pod is
// ready, or cut short), and not before the container's turn.
func (l *ContainerLine) clip(turn, limit time.Time, ready bool) {
	kept := l.milestones[:0]
	for _, m := range l.milestones {
		if !limit.IsZero() && m.At.After(limit) {
			// A pod is Ready after its containers have started, whatever the
			// clocks of the node and the watcher say.
			if !ready || m.Kind != milestoneBooted && started(kept) || m.At.Sub(limit) >= StartedSlack {
				break
			}
			m.At = limit
		}
		if m.At.Before(turn) {
			m.At = turn
		}
		kept = append(kept, m)
	}
	l.milestones = kept
}

func started(milestones []milestone) bool {
	return slices.ContainsFunc(milestones, func(m milestone) bool { return m.Kind == milestoneStarted })
}

// initEnd is when an init container was done: it has succeeded, and does not run
// again, as it does in another sandbox.
func (l *ContainerLine) initEnd() time.Time {
	for _, m := range slices.Backward(l.milestones) {
		switch {
		case m.Kind == milestoneTerminated && m.run.ExitCode == 0:
			return m.At
		case m.Kind == milestoneTerminated, m.Kind == milestoneStarted:
			return time.Time{}
		}
	}
	return time.Time{}
}

// initTurn is when the kubelet turned to the container after an init container: when
// that had succeeded for the last time before what comes after it was worked on.
func (l *ContainerLine) initTurn(next time.Time) time.Time {
	var turn time.Time
	for _, m := range l.milestones {
		if m.Kind == milestoneTerminated && m.run.ExitCode == 0 && (turn.IsZero() || next.IsZero() || !m.At.After(next)) {
			turn = m.At
		}
	}
	return turn
}

// startedForGood is when the run that lasted has started; zero if none has.
func (l *ContainerLine) startedForGood() time.Time {
	for _, m := range slices.Backward(l.milestones) {
		switch {
		case m.Kind == milestoneStarted:
			return m.At
		case m.Kind == milestoneTerminated && !m.stopped, m.ended:
			return time.Time{}
		}
	}
	return time.Time{}
}

// endedForGood is when the container of a pod that is to finish ended for the
// last time; zero if it has not.
func (l *ContainerLine) endedForGood() time.Time {
	for _, m := range slices.Backward(l.milestones) {
		switch {
		case m.Kind == milestoneTerminated && !l.policy.Restarts(m.run.ExitCode):
			return m.At
		case m.Kind != MilestoneBackOff:
			return time.Time{}
		}
	}
	return time.Time{}
}

// BootedForGood is when the run that lasted has passed its startup probe.
func (l *ContainerLine) BootedForGood() time.Time {
	for _, m := range slices.Backward(l.milestones) {
		switch {
		case m.Kind == milestoneBooted:
			return m.At
		case m.Kind == milestoneStarted, m.Kind == milestoneTerminated && !m.stopped, m.ended:
			return time.Time{}
		}
	}
	return time.Time{}
}

// Failed reports whether the last run of a container that is not started again
// ended badly.
func (l *ContainerLine) Failed() bool {
	for _, m := range slices.Backward(l.milestones) {
		if m.Kind == milestoneTerminated {
			return l.finite && m.run.ExitCode != 0
		}
	}
	return false
}

// lastEnd is when a pod that has finished did: its last container ended, or the pod was abandoned.
func (p *Pod) lastEnd(lines []ContainerLine) time.Time {
	if !p.Finished.Known() {
		return time.Time{}
	}
	var last time.Time
	for _, line := range lines {
		for _, m := range line.milestones {
			if m.Kind == milestoneTerminated {
				last = evidence.Latest(last, m.At)
			}
		}
	}
	if last.IsZero() || p.abandoned {
		return p.Finished.At()
	}
	return last
}

// nextTurn is when the kubelet turned to the next container.
func (l *ContainerLine) nextTurn(rest []ContainerLine) time.Time {
	var done time.Time
	for _, m := range l.milestones {
		if m.Kind == milestoneStarted || m.Kind == MilestoneFailed {
			done = m.At
			break
		}
	}
	if len(rest) > 0 && len(rest[0].milestones) > 0 {
		if first := evidence.Latest(rest[0].milestones[0].At, l.Begin); done.IsZero() || first.Before(done) {
			done = first
		}
	}
	return done
}
