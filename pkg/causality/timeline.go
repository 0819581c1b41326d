package causality

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
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

	finite bool // the pod is to finish
	never  bool // a container that ended is not started again
}

// mark is something that happened to a container.
type mark struct {
	kind markKind
	at   time.Time
	// exact marks come from Events; the others from the status.
	exact   bool
	message string
	reason  string
	run     *run // started, terminated
}

type markKind int

// In the order in which marks of one instant happened.
const (
	markTerminated markKind = iota
	markPulling
	markPulled
	markFailed // a pull, or creating or starting the container
	markBackOff
	markCreated
	markStarted
)

// markKinds are the kubelet's Event reasons
// (k8s.io/kubernetes/pkg/kubelet/events).
var markKinds = map[string]markKind{
	"Pulling": markPulling,
	"Pulled":  markPulled,
	"Failed":  markFailed,
	"BackOff": markBackOff,
	"Created": markCreated,
	"Started": markStarted,
}

// startedSlack is how far the kubelet's Started Event may be from the second
// that the status gives for the same start.
const startedSlack = 3 * time.Second

// timeline derives the pod's start from its records. What happened after
// until (zero: no limit) is left out.
func (p *pod) timeline(until time.Time) timeline {
	var tl timeline
	lines := make([]containerLine, 0, len(p.containers))
	for _, c := range p.containers {
		lines = append(lines, containerLine{container: c, marks: p.marks(c), finite: p.finite, never: p.never})
	}
	narrowEnds(lines)

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
	sandbox := p.sandbox.at()
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

// marks collects what Events and status say of a container, in order.
func (p *pod) marks(c *container) []mark {
	var marks []mark
	failedEvents := false
	for _, ev := range p.events {
		kind, ok := markKinds[ev.reason]
		if !ok || ev.container != c.name {
			continue
		}
		failedEvents = failedEvents || kind == markFailed
		for _, o := range ev.occurrences {
			marks = append(marks, mark{kind: kind, at: o.at, exact: true, message: o.message})
		}
	}
	sortMarks(marks)
	marks = addLostPulls(marks)
	for _, r := range c.runs {
		marks = addRun(marks, r)
	}
	for _, w := range c.waits {
		switch {
		case !w.from.known() || w.reason == "CrashLoopBackOff":
		case w.reason == "ImagePullBackOff" && failedEvents:
			// It follows a failure that is marked already.
		default:
			marks = append(marks, mark{kind: markFailed, at: w.from.at(), reason: w.reason, message: w.message})
		}
	}
	sortMarks(marks)
	return marks
}

// addLostPulls adds the beginning of pulls whose Pulling Event is missing: the
// kubelet says how long each took.
func addLostPulls(marks []mark) []mark {
	var lost []mark
	pulling := false
	for _, m := range marks {
		switch m.kind {
		case markPulling:
			pulling = true
		case markPulled:
			if _, waiting, ok := pullTimes(m.message); ok && !pulling {
				lost = append(lost, mark{kind: markPulling, at: m.at.Add(-waiting), exact: true})
			}
			pulling = false
		case markFailed:
			pulling = false
		}
	}
	return append(marks, lost...)
}

// addRun adds a run's start and end; the start goes to the Started Event of
// the same run, if there is one, which is more precise.
func addRun(marks []mark, r *run) []mark {
	if r.started.known() {
		best := -1
		for i, m := range marks {
			if m.kind != markStarted || m.run != nil {
				continue
			}
			late := m.at.Sub(r.started.lo)
			if late > -startedSlack && late < startedSlack && (best < 0 || late.Abs() < marks[best].at.Sub(r.started.lo).Abs()) {
				best = i
			}
		}
		if best >= 0 {
			marks[best].run = r
		} else {
			marks = append(marks, mark{kind: markStarted, at: r.started.at(), run: r})
		}
	}
	if r.over() {
		marks = append(marks, mark{kind: markTerminated, at: r.finished.at(), run: r})
	}
	return marks
}

// narrowEnds moves the ends of runs, which the API gives in whole seconds,
// before what they made possible: the container's next start and, for init
// containers, the next container's.
func narrowEnds(lines []containerLine) {
	for i := range lines {
		line := &lines[i]
		for j := range line.marks {
			m := &line.marks[j]
			if m.kind != markTerminated {
				continue
			}
			started := startOfRun(line.marks, m.run)
			next := nextExact(line.marks, m.run, started)
			if line.init {
				for _, later := range lines[i+1:] {
					next = earliest(next, nextExact(later.marks, m.run, started))
				}
			}
			// A run ends after its start, however short it was.
			m.at = latest(m.run.finished.before(next).at(), started.Add(time.Nanosecond))
		}
		sortMarks(line.marks)
	}
}

func sortMarks(marks []mark) {
	slices.SortStableFunc(marks, func(a, b mark) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind))
	})
}

// nextExact is the first thing an Event dates that the end of a run made
// possible: it is not before the second in which the run ended, and after its
// start.
func nextExact(marks []mark, r *run, started time.Time) time.Time {
	for _, m := range marks {
		if m.exact && m.kind != markFailed && !m.at.Before(r.finished.lo) && m.at.After(started) {
			return m.at
		}
	}
	return time.Time{}
}

// startOfRun dates the start of a run.
func startOfRun(marks []mark, r *run) time.Time {
	for _, m := range marks {
		if m.kind == markStarted && m.run == r {
			return m.at
		}
	}
	return r.started.at()
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
	for i := range lines {
		line := &lines[i]
		line.clip(turn, limit, !tl.ready.IsZero())
		line.begin = turn
		if line.init {
			line.end = line.initEnd()
			turn = line.end // zero if it is not done: nothing comes after it
			continue
		}
		if line.finite {
			line.end = line.endedForGood()
		} else {
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

// clip keeps the marks of the start, which ends at limit (because the pod is
// ready, or cut short), and not before the container's turn.
func (l *containerLine) clip(turn, limit time.Time, ready bool) {
	kept := l.marks[:0]
	for _, m := range l.marks {
		if !limit.IsZero() && m.at.After(limit) {
			// A pod is Ready after its containers have started, whatever the
			// clocks of the node and the watcher say.
			if !ready || started(kept) || m.at.Sub(limit) >= startedSlack {
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

// initEnd is when an init container was done: a sidecar once it has started,
// any other when it has succeeded.
func (l *containerLine) initEnd() time.Time {
	for _, m := range slices.Backward(l.marks) {
		if l.sidecar && m.kind == markStarted || m.kind == markTerminated && m.run.exitCode == 0 {
			return m.at
		}
	}
	return time.Time{}
}

// startedForGood is when the run that lasted has started; zero if none has.
func (l *containerLine) startedForGood() time.Time {
	for _, m := range slices.Backward(l.marks) {
		switch m.kind {
		case markStarted:
			return m.at
		case markTerminated:
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
		case m.kind == markTerminated && (l.never || m.run.exitCode == 0):
			return m.at
		case m.kind != markBackOff:
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

// pullTimes reads the kubelet's own figures from the message of a Pulled
// Event: how long the pull took, with and without waiting for its turn. Older
// kubelets give one figure. ok is false where the image was there already.
func pullTimes(message string) (pulling, withWaiting time.Duration, ok bool) {
	m := pulledIn.FindStringSubmatch(message)
	if m == nil {
		return 0, 0, false
	}
	pulling, err := time.ParseDuration(m[1])
	if err != nil {
		return 0, 0, false
	}
	withWaiting = pulling
	if d, err := time.ParseDuration(m[2]); err == nil && d >= pulling {
		withWaiting = d
	}
	return pulling, withWaiting, true
}

var pulledIn = regexp.MustCompile(`^Successfully pulled image .* in ([0-9a-zµ.]+)(?: \(([0-9a-zµ.]+) including waiting\))?`)

// imageSize reads the size in bytes that newer kubelets add.
var imageSize = regexp.MustCompile(`Image size: ([0-9]+) bytes`)

// lastClause is what an error says last, and most specifically: "not found" of
// "failed to pull: failed to resolve: not found".
func lastClause(message string) string {
	message = strings.TrimSpace(message)
	if i := strings.LastIndex(message, ": "); i >= 0 {
		return message[i+2:]
	}
	return message
}
