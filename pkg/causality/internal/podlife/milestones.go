package podlife

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// milestone is something that happened to a container, at a time: it was started at
// 10:02:07.123456789, as its Event Started says. The status of a container and the Events
// about it leave milestones; from them a timeline follows.
type milestone struct {
	Kind milestoneKind
	At   time.Time
	// Exact milestones have their time from an Event, and the others theirs from the status.
	Exact bool
	// stated is the second that an Event which repeats gives for its last
	// time: the milestone is not before that, and At is when its news came. It is
	// zero where At is better known.
	stated  time.Time
	message string
	reason  string
	run     *Run              // the run that was started, passed its startup probe, ended, or could not be started
	failure *evidence.Failure // why a run ended badly
	stopped bool              // the run ended because its pod was done
	ordered bool              // the kubelet ended the run, which did nothing wrong
	last    bool              // the run was ended with its pod, which had failed
	killed  time.Time         // when the kubelet began to end the run
	status  bool              // a failure of which only the status tells, which may come late
	ended   bool              // the run before had ended by then, which nothing else shows
}

// milestoneKind is what happened to a container.
type milestoneKind int

// The kinds are in the order in which milestones of one instant happen.
const (
	milestoneTerminated milestoneKind = iota
	milestonePulling
	milestonePulled
	MilestoneFailed // a pull, or creating or starting the container
	MilestoneBackOff
	milestoneCreated
	milestoneStarted
	milestoneBooted // passed its startup probe
)

// reasonPulling is the kubelet's word for what it does while it pulls an image.
const reasonPulling = "Pulling"

// MilestoneKinds are the kubelet's Event reasons
// (k8s.io/kubernetes/pkg/kubelet/events).
var MilestoneKinds = map[string]milestoneKind{
	reasonPulling: milestonePulling,
	"Pulled":      milestonePulled,
	"Failed":      MilestoneFailed,
	"BackOff":     MilestoneBackOff,
	"Created":     milestoneCreated,
	"Started":     milestoneStarted,
}

// StartedSlack is how far the kubelet's Started Event may be from the second
// that the status gives for the same start.
const StartedSlack = 3 * time.Second

// Milestones collects what Events and status say of a container, in order.
func (p *Pod) Milestones(container *Container) []milestone {
	n := 0
	for _, ev := range p.Events {
		if ev.Container == container.Name {
			n += len(ev.Occurrences)
		}
	}
	milestones := make([]milestone, 0, n+2*len(container.Runs))
	failedEvents := false
	for _, ev := range p.Events {
		kind, ok := MilestoneKinds[ev.Reason]
		if !ok || ev.Container != container.Name {
			continue
		}
		failedEvents = failedEvents || kind == MilestoneFailed
		for _, o := range ev.Occurrences {
			// Only the second is known of news that came too late to date it.
			vague := !o.Stated.IsZero() && !o.At.After(o.Stated)
			milestones = append(milestones, milestone{Kind: kind, At: o.At, Exact: !vague, stated: o.Stated, message: o.Message})
		}
	}
	for _, r := range container.Runs {
		milestones = p.addRun(milestones, container, r)
	}
	dateRepeats(milestones)
	milestones = addLostPulls(milestones)
	for _, w := range container.Waits {
		switch {
		case !w.from.Known() || w.isOfRun():
		case w.reason == "ImagePullBackOff" && failedEvents:
			// It follows a failure that is a milestone already.
		default:
			milestones = append(milestones, milestone{Kind: MilestoneFailed, At: w.from.At(), reason: w.reason, message: w.message, status: true})
		}
	}
	sortMilestones(milestones)
	if dateLateFailures(milestones) {
		sortMilestones(milestones)
	}
	noteUnseenEnds(milestones)
	return milestones
}

// backOffPeriod is how long the kubelet backs off at first. It restarts a container
// that crashed once at once, and then waits that long, and longer each time
// (k8s.io/kubernetes/pkg/kubelet: backOffPeriod).
const backOffPeriod = 10 * time.Second

// noteUnseenEnds finds runs of whose end the status says nothing: it was
// overwritten, or the pod is known by its Events alone. That the kubelet backs off
// from restarting the container, or has restarted it, shows that they were over. A
// restart that came later than at once dates nothing: it had been backed off from.
func noteUnseenEnds(milestones []milestone) {
	var running *milestone
	for i := range milestones {
		m := &milestones[i]
		unseen := running != nil && (running.run == nil || !running.run.Over())
		switch m.Kind {
		case milestonePulling, milestonePulled, milestoneCreated, milestoneStarted:
			if unseen && m.At.After(running.At) && m.At.Sub(running.At) < backOffPeriod {
				m.ended, running = true, nil
			}
			if m.Kind == milestoneStarted {
				running = m
			}
		case milestoneTerminated:
			running = nil
		case MilestoneBackOff:
			if !unseen || !RestartsFailed(m.message) {
				continue
			}
			// The news may be of a back off before that start.
			if since := evidence.Earliest(m.At, m.stated); since.After(running.At.Add(time.Second)) {
				m.ended, running = true, nil
			}
		}
	}
}

// RestartsFailed reports whether an Event BackOff says that the kubelet backs off from a container
// that crashed, and not from an image.
func RestartsFailed(message string) bool {
	return strings.Contains(message, "restarting failed container")
}

// addLostPulls adds the beginning of pulls whose Pulling Event is missing: the
// kubelet says how long each took.
func addLostPulls(milestones []milestone) []milestone {
	var lost []milestone
	pulling := false
	for _, m := range milestones {
		switch m.Kind {
		case milestonePulling:
			pulling = true
		case milestonePulled:
			if _, waiting, ok := pullTimes(m.message); ok && !pulling {
				lost = append(lost, milestone{Kind: milestonePulling, At: m.At.Add(-waiting), Exact: true})
			}
			pulling = false
		case MilestoneFailed:
			pulling = false
		}
	}
	return append(milestones, lost...)
}

// addRun adds a run's start and end; the start goes to the Started Event of
// the same run, if there is one, which is more precise.
func (p *Pod) addRun(milestones []milestone, container *Container, r *Run) []milestone {
	if r.NeverRan() {
		return addStillborn(milestones, r)
	}
	if r.Started.Known() {
		best := -1
		for i, m := range milestones {
			if m.Kind != milestoneStarted || m.run != nil {
				continue
			}
			late := m.At.Sub(r.Started.Earliest)
			if late > -StartedSlack && late < StartedSlack && (best < 0 || late.Abs() < milestones[best].At.Sub(r.Started.Earliest).Abs()) {
				best = i
			}
		}
		if best >= 0 {
			milestones[best].run = r
			if m := &milestones[best]; !m.stated.IsZero() {
				m.At = m.repeated().Before(r.Started.Latest).At()
			}
		} else {
			milestones = append(milestones, milestone{Kind: milestoneStarted, At: r.Started.At(), run: r})
		}
	}
	if r.booted.Known() {
		milestones = append(milestones, milestone{Kind: milestoneBooted, At: r.booted.At(), run: r})
	}
	if r.Over() {
		end := milestone{Kind: milestoneTerminated, At: r.Finished.At(), run: r, stopped: p.EndedWithPod(container, r), ordered: p.Ordered(container, r)}
		if r.ExitCode != 0 && !end.stopped && !end.ordered {
			f := p.WhyEnded(container, r)
			end.failure = &f
		}
		if kill, ok := p.killed(container, r); ok {
			end.killed = kill.At
			end.last = p.Failed.Known()
		}
		milestones = append(milestones, end)
	}
	return milestones
}

// addStillborn adds a container that could not be started; it is what a Failed
// Event at that time tells of, if there is one.
func addStillborn(milestones []milestone, r *Run) []milestone {
	for i, m := range milestones {
		if m.Kind == MilestoneFailed && m.Exact && m.run == nil && m.At.Sub(r.Finished.Earliest).Abs() < StartedSlack {
			milestones[i].run, milestones[i].reason = r, runContainerError
			return milestones
		}
	}
	return append(milestones, milestone{Kind: MilestoneFailed, At: r.Finished.At(), reason: runContainerError, message: r.refusal, run: r})
}

// narrowEnds moves the ends of runs, which the API gives in whole seconds,
// before what they made possible: the container's next start, for init
// containers the next container's, and the stop of the sidecars, if one is known.
func narrowEnds(lines []ContainerLine, sidecarsStopped time.Time) {
	dated := datedByEvents(lines)
	for i := range lines {
		line := &lines[i]
		for j := range line.milestones {
			m := &line.milestones[j]
			if m.Kind != milestoneTerminated {
				continue
			}
			started := StartOfRun(line.milestones, m.run)
			next := NextExact(line.milestones, m.run, started)
			if line.Init && !line.Sidecar {
				for _, later := range dated.after(i) {
					next = evidence.Earliest(next, NextExact(lines[later].milestones, m.run, started))
				}
			}
			if line.finite && !line.Init && m.killed.IsZero() && !sidecarsStopped.Before(m.run.Finished.Earliest) {
				next = evidence.Earliest(next, sidecarsStopped)
			}
			// A run ends after its start, however short it was, and after the
			// kubelet began to end it.
			end := m.run.Finished.Before(next)
			m.At = evidence.Latest(line.EndOfKilled(end, m.run, m.killed), started.Add(time.Nanosecond), m.killed)
		}
		sortMilestones(line.milestones)
	}
}

// dated are the places of the containers that have a milestone which an Event dates. Of the
// thousands of containers that a pod may have they are few, as its Events are.
type dated []int

func datedByEvents(lines []ContainerLine) dated {
	var d dated
	for i := range lines {
		if _, ok := firstExact(lines[i].milestones); ok {
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

func sortMilestones(milestones []milestone) {
	slices.SortStableFunc(milestones, func(a, b milestone) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind))
	})
}

// NextExact is the first thing an Event dates that the end of a run made
// possible: it is not before the second in which the run ended, and after its
// start.
func NextExact(milestones []milestone, r *Run, started time.Time) time.Time {
	for _, m := range milestones {
		if m.Exact && m.Kind != MilestoneFailed && !m.At.Before(r.Finished.Earliest) && m.At.After(started) {
			return m.At
		}
	}
	return time.Time{}
}

// StartOfRun dates the start of a run.
func StartOfRun(milestones []milestone, r *Run) time.Time {
	for _, m := range milestones {
		if m.Kind == milestoneStarted && m.run == r {
			return m.At
		}
	}
	return r.Started.At()
}

// pullTimes reads the kubelet's own figures from the message of a Pulled
// Event: how long the pull took, with and without waiting for its turn. Older
// kubelets give one figure. ok is false where the image was there already.
func pullTimes(message string) (pulling, withWaiting time.Duration, ok bool) {
	m := pulledIn.FindStringSubmatch(stream.EventWords(message))
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
