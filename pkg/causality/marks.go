package causality

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// mark is something that happened to a container.
type mark struct {
	kind markKind
	at   time.Time
	// exact marks come from Events; the others from the status.
	exact bool
	// stated is the second that an Event which repeats gives for its last
	// time: the mark is not before that, and at is when its news came. It is
	// zero where at is better known.
	stated  time.Time
	message string
	reason  string
	run     *run      // started, booted, terminated, or failed to start
	failure *failure  // why a run ended badly
	stopped bool      // the run ended because its pod was done
	ordered bool      // the kubelet ended the run, which did nothing wrong
	last    bool      // the run was ended with its pod, which had failed
	killed  time.Time // when the kubelet began to end the run
	ended   bool      // the run before had ended, and nothing else tells
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
	markBooted // passed its startup probe
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
			// Only the second is known of news that came too late to date it.
			vague := !o.stated.IsZero() && !o.at.After(o.stated)
			marks = append(marks, mark{kind: kind, at: o.at, exact: !vague, stated: o.stated, message: o.message})
		}
	}
	for _, r := range c.runs {
		marks = p.addRun(marks, c, r)
	}
	dateRepeats(marks)
	marks = addLostPulls(marks)
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
	noteUnseenEnds(marks)
	return marks
}

// backOffPeriod is how long the kubelet backs off at first. It restarts a container
// that crashed once at once, and then waits that long, and longer each time
// (k8s.io/kubernetes/pkg/kubelet: backOffPeriod).
const backOffPeriod = 10 * time.Second

// noteUnseenEnds finds runs of whose end the status says nothing: it was
// overwritten, or the pod is known by its Events alone. That the kubelet backs off
// from restarting the container, or has restarted it, shows that they were over. A
// restart that came later than at once dates nothing: it had been backed off from.
func noteUnseenEnds(marks []mark) {
	var running *mark
	for i := range marks {
		m := &marks[i]
		unseen := running != nil && (running.run == nil || !running.run.over())
		switch m.kind {
		case markPulling, markPulled, markCreated, markStarted:
			if unseen && m.at.After(running.at) && m.at.Sub(running.at) < backOffPeriod {
				m.ended, running = true, nil
			}
			if m.kind == markStarted {
				running = m
			}
		case markTerminated:
			running = nil
		case markBackOff:
			if !unseen || !strings.Contains(m.message, "restarting failed container") {
				continue
			}
			// The news may be of a back off before that start.
			if since := earliest(m.at, m.stated); since.After(running.at.Add(time.Second)) {
				m.ended, running = true, nil
			}
		}
	}
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
func (p *pod) addRun(marks []mark, c *container, r *run) []mark {
	if r.stillborn() {
		return addStillborn(marks, r)
	}
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
			if m := &marks[best]; !m.stated.IsZero() {
				m.at = m.repeated().before(r.started.hi).at()
			}
		} else {
			marks = append(marks, mark{kind: markStarted, at: r.started.at(), run: r})
		}
	}
	if r.booted.known() {
		marks = append(marks, mark{kind: markBooted, at: r.booted.at(), run: r})
	}
	if r.over() {
		end := mark{kind: markTerminated, at: r.finished.at(), run: r, stopped: p.endedWithPod(c, r), ordered: p.ordered(c, r)}
		if r.exitCode != 0 && !end.stopped && !end.ordered {
			f := p.whyEnded(c, r)
			end.failure = &f
		}
		if kill, ok := p.killed(c, r); ok {
			end.killed = kill.at
			end.last = p.failed.known()
		}
		marks = append(marks, end)
	}
	return marks
}

// addStillborn adds a container that could not be started; it is what a Failed
// Event at that time tells of, if there is one.
func addStillborn(marks []mark, r *run) []mark {
	for i, m := range marks {
		if m.kind == markFailed && m.exact && m.run == nil && m.at.Sub(r.finished.lo).Abs() < startedSlack {
			marks[i].run, marks[i].reason = r, runContainerError
			return marks
		}
	}
	return append(marks, mark{kind: markFailed, at: r.finished.at(), reason: runContainerError, message: r.refusal, run: r})
}

// narrowEnds moves the ends of runs, which the API gives in whole seconds,
// before what they made possible: the container's next start and, for init
// containers, the next container's.
func narrowEnds(lines []containerLine) {
	dated := datedByEvents(lines)
	for i := range lines {
		line := &lines[i]
		for j := range line.marks {
			m := &line.marks[j]
			if m.kind != markTerminated {
				continue
			}
			started := startOfRun(line.marks, m.run)
			next := nextExact(line.marks, m.run, started)
			if line.init && !line.sidecar {
				for _, later := range dated.after(i) {
					next = earliest(next, nextExact(lines[later].marks, m.run, started))
				}
			}
			// A run ends after its start, however short it was, and after the
			// kubelet began to end it.
			m.at = latest(m.run.finished.before(next).at(), started.Add(time.Nanosecond), m.killed)
		}
		sortMarks(line.marks)
	}
}

// dated are the places of the containers that have a mark which an Event dates. Of the
// thousands of containers that a pod may have they are few, as its Events are.
type dated []int

func datedByEvents(lines []containerLine) dated {
	var d dated
	for i := range lines {
		if _, ok := firstExact(lines[i].marks); ok {
			d = append(d, i)
		}
	}
	return d
}

// after are those of the containers that come after the one at i.
func (d dated) after(i int) dated {
	first, _ := slices.BinarySearch(d, i+1)
	return d[first:]
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
