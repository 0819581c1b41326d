package causality

import (
	"slices"
	"time"
)

// timeline is when a pod went through its start, as far as the records tell.
// Times that are zero were not reached. It never runs backwards.
type timeline struct {
	created    time.Time
	scheduled  time.Time
	sandbox    time.Time
	containers []containerLine
	ready      time.Time
	finished   time.Time // of a pod that is to finish
}

// over is when the pod's start, or its run, was over; zero if it was not.
func (tl *timeline) over(p *pod) time.Time {
	if p.finite {
		return tl.finished
	}
	return tl.ready
}

// containerLine is a container's part of a pod's start.
type containerLine struct {
	*container
	begin time.Time // when it was its turn
	end   time.Time // init: finished; others: started, for good
	marks []mark

	finite bool // it is to finish
}

// timeline derives the pod's start from its records. What happened after
// until (zero: no limit) is left out.
func (p *pod) timeline(until time.Time) timeline {
	var tl timeline
	lines := make([]containerLine, 0, len(p.containers))
	for _, c := range p.containers {
		lines = append(lines, containerLine{
			container: c, marks: p.marks(c),
			finite: p.finite && !c.sidecar,
		})
	}
	narrowEnds(lines)
	narrowBoots(lines)

	var firstMark time.Time
	for _, line := range lines {
		for _, m := range line.marks {
			firstMark = earliest(firstMark, m.at)
		}
	}
	scheduled := p.scheduled
	for _, ev := range p.events {
		if ev.reason == "Scheduled" && ev.container == "" {
			scheduled = exactly(ev.first())
			break
		}
	}
	var ready time.Time
	if tr, ok := p.firstReady(); ok {
		ready = tr.at.at()
	}
	if !scheduled.exact() {
		scheduled = scheduled.before(firstMark)
	}
	if !ready.IsZero() {
		ready = readyAfterStarts(ready, lines)
	}

	tl.created = p.createdAt()
	tl.scheduled = atLeast(scheduled.at(), tl.created)
	// The condition may be reported late; a container that is worked on has
	// its sandbox.
	sandbox := p.sandboxBy(firstMark)
	if !firstMark.IsZero() && (sandbox.IsZero() || firstMark.Before(sandbox)) {
		sandbox = firstMark
	}
	tl.sandbox = atLeast(sandbox, latest(tl.scheduled, tl.created))
	tl.ready = ready
	if p.finite {
		tl.ready, tl.finished = time.Time{}, p.lastEnd(lines)
	}
	tl.cut(until)
	tl.turns(lines, until)
	return tl
}

// readyAfterStarts moves the estimate of Ready behind the containers' starts, as
// far as the second that the API states allows.
func readyAfterStarts(ready time.Time, lines []containerLine) time.Time {
	end := ready.Truncate(time.Second).Add(time.Second)
	for _, line := range lines {
		for _, m := range line.marks {
			if m.kind == markStarted {
				if m.at.Before(end) {
					ready = latest(ready, m.at)
				}
				break // of the first run; later ones are restarts
			}
		}
	}
	return ready
}

// createdAt dates the creation: by arrival, and not after the first thing
// that was done about the pod.
func (p *pod) createdAt() time.Time {
	at := p.created
	for _, ev := range p.events {
		at = at.before(ev.first())
	}
	at = at.before(p.announced)
	if p.scheduled.known() {
		at = at.before(p.scheduled.at())
	}
	return at.at()
}

// atLeast moves an effect that is known (not zero) behind its cause.
func atLeast(effect, cause time.Time) time.Time {
	if effect.IsZero() {
		return effect
	}
	return latest(effect, cause)
}

// cut forgets what came after until.
func (tl *timeline) cut(until time.Time) {
	if until.IsZero() {
		return
	}
	for _, t := range []*time.Time{&tl.scheduled, &tl.sandbox, &tl.ready, &tl.finished} {
		if t.After(until) {
			*t = time.Time{}
		}
	}
	if tl.created.After(until) {
		tl.created = until
	}
}

// turns works out when it was each container's turn. The kubelet runs init
// containers one after another, then turns to the others in order, each as
// soon as it has started the one before or failed to.
func (tl *timeline) turns(lines []containerLine, until time.Time) {
	limit := latest(tl.ready, tl.finished)
	if limit.IsZero() {
		limit = until
	}
	turn := tl.sandbox
	lastStart := time.Time{}
	following := firstsAfter(lines)
	for i := range lines {
		line := &lines[i]
		line.clip(turn, limit, !tl.ready.IsZero())
		line.begin = turn
		switch {
		case line.sidecar:
			line.end = line.upForGood()
			turn = line.sidecarTurn(following[i], limit)
			if line.end.IsZero() && !line.down() {
				line.end = turn // nothing but what came next tells of it
			}
			continue
		case line.init:
			line.end = line.initEnd()
			turn = line.initTurn(following[i]) // zero if it is not done: nothing comes after it
			continue
		case line.finite:
			line.end = line.endedForGood()
		default:
			line.end = line.startedForGood()
			lastStart = latest(lastStart, line.end)
		}
		if !turn.IsZero() {
			turn = line.nextTurn(lines[i+1:])
		}
	}
	tl.containers = lines
	tl.ready = atLeast(tl.ready, lastStart)
}

// firstsAfter are, for each container, the first that is known of those after it; zero
// where nothing is.
func firstsAfter(lines []containerLine) []time.Time {
	firsts := make([]time.Time, len(lines))
	var first time.Time
	for i := range slices.Backward(lines) {
		firsts[i] = first
		for _, m := range lines[i].marks {
			first = earliest(first, m.at)
		}
	}
	return firsts
}

// clip keeps the marks of the start, which ends at limit (because the pod is
// ready, or cut short), and not before the container's turn.
func (l *containerLine) clip(turn, limit time.Time, ready bool) {
	kept := l.marks[:0]
	for _, m := range l.marks {
		if !limit.IsZero() && m.at.After(limit) {
			// A pod is Ready after its containers have started, whatever the
			// clocks of the node and the watcher say.
			if !ready || m.kind != markBooted && started(kept) || m.at.Sub(limit) >= startedSlack {
				break
			}
			m.at = limit
		}
		if m.at.Before(turn) {
			m.at = turn
		}
		kept = append(kept, m)
	}
	l.marks = kept
}

func started(marks []mark) bool {
	return slices.ContainsFunc(marks, func(m mark) bool { return m.kind == markStarted })
}

// initEnd is when an init container was done: it has succeeded, and does not run
// again, as it does in another sandbox.
func (l *containerLine) initEnd() time.Time {
	for _, m := range slices.Backward(l.marks) {
		switch {
		case m.kind == markTerminated && m.run.exitCode == 0:
			return m.at
		case m.kind == markTerminated, m.kind == markStarted:
			return time.Time{}
		}
	}
	return time.Time{}
}

// initTurn is when the kubelet turned to the container after an init container: when
// that had succeeded for the last time before what comes after it was worked on.
func (l *containerLine) initTurn(next time.Time) time.Time {
	var turn time.Time
	for _, m := range l.marks {
		if m.kind == markTerminated && m.run.exitCode == 0 && (turn.IsZero() || next.IsZero() || !m.at.After(next)) {
			turn = m.at
		}
	}
	return turn
}

// startedForGood is when the run that lasted has started; zero if none has.
func (l *containerLine) startedForGood() time.Time {
	for _, m := range slices.Backward(l.marks) {
		switch {
		case m.kind == markStarted:
			return m.at
		case m.kind == markTerminated && !m.stopped, m.ended:
			return time.Time{}
		}
	}
	return time.Time{}
}

// endedForGood is when the container of a pod that is to finish ended for the
// last time; zero if it has not.
func (l *containerLine) endedForGood() time.Time {
	for _, m := range slices.Backward(l.marks) {
		switch {
		case m.kind == markTerminated && !l.policy.restarts(m.run.exitCode):
			return m.at
		case m.kind != markBackOff:
			return time.Time{}
		}
	}
	return time.Time{}
}

// bootedForGood is when the run that lasted has passed its startup probe.
func (l *containerLine) bootedForGood() time.Time {
	for _, m := range slices.Backward(l.marks) {
		switch {
		case m.kind == markBooted:
			return m.at
		case m.kind == markStarted, m.kind == markTerminated && !m.stopped, m.ended:
			return time.Time{}
		}
	}
	return time.Time{}
}

// failed reports whether the last run of a container that is not started again
// ended badly.
func (l *containerLine) failed() bool {
	for _, m := range slices.Backward(l.marks) {
		if m.kind == markTerminated {
			return l.finite && m.run.exitCode != 0
		}
	}
	return false
}

// lastEnd is when a pod that has finished did: its last container ended.
func (p *pod) lastEnd(lines []containerLine) time.Time {
	if !p.finished.known() {
		return time.Time{}
	}
	var last time.Time
	for _, line := range lines {
		for _, m := range line.marks {
			if m.kind == markTerminated {
				last = latest(last, m.at)
			}
		}
	}
	if last.IsZero() {
		return p.finished.at()
	}
	return last
}

// nextTurn is when the kubelet turned to the next container.
func (l *containerLine) nextTurn(rest []containerLine) time.Time {
	var done time.Time
	for _, m := range l.marks {
		if m.kind == markStarted || m.kind == markFailed {
			done = m.at
			break
		}
	}
	if len(rest) > 0 && len(rest[0].marks) > 0 {
		if first := latest(rest[0].marks[0].at, l.begin); done.IsZero() || first.Before(done) {
			done = first
		}
	}
	return done
}
