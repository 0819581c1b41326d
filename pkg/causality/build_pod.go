package causality

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// podStart adds a pod's start: the span and its phases, which tile the time
// from creation to Ready, or to cut (zero: no limit) if it was not Ready by
// then; of a pod that is to finish, its whole run. It begins no earlier than
// its cause. With failed set, waiting at the cut is an error: the change failed
// meanwhile. Without a parent it is the root of its trace.
func (b *builder) podStart(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, cause, cut time.Time, failed bool) *spans.Span {
	tl := p.timeline(cut)
	start := latest(tl.created, cause)
	end := tl.over(p)
	cutShort := end.IsZero()
	if cutShort {
		end = cut
		if at := p.lostAt(); p.lost() && (end.IsZero() || at.at().Before(end)) {
			end = at.at()
		}
		tl = p.timeline(end)
	}
	end = latest(end, start)
	attrs = append(slices.Clip(attrs), p.attributes()...)
	name, id := "Pod start", []string{"pod start", string(p.uid)}
	if p.finite || p.unowned() {
		name = "Pod run"
	}
	if parent == (trace.SpanID{}) {
		id = nil
	}
	root := b.add(node{
		parent: parent, id: id,
		name: name, service: serviceKubelet, subject: p.subject(),
		start: start, end: end, attrs: attrs,
	})
	ph := &phases{builder: b, pod: p, root: root, attrs: attrs, end: end}
	ph.build(tl)
	if cutShort || p.finished.known() && p.phase == podFailed {
		if f, self := p.trouble(tl, end); failed || self {
			ph.fail(f)
		}
	}
	ph.attachEvents(func(ev *event) bool {
		// The Events of the start: to its end, and those that a node whose
		// clock is ahead dates a little later.
		kind, isMark := markKinds[ev.reason]
		return !ev.first().After(end) || !cutShort && isMark && kind != markBackOff && ev.first().Before(end.Add(startedSlack))
	})
	p.startSent, p.startSpan = true, b.remember(root)
	return root
}

// phases builds the spans below a Pod start.
type phases struct {
	*builder
	pod   *pod
	root  *spans.Span
	attrs []attribute.KeyValue
	end   time.Time

	schedule *spans.Span
	sandbox  *spans.Span
	become   *spans.Span
	probing  []*spans.Span // parts of become
	// last is the phase that was going on at the end.
	last       *spans.Span
	containers map[string][]*spans.Span // the container's span, then its parts
}

func (ph *phases) add(n node) *spans.Span {
	if n.parent == (trace.SpanID{}) {
		n.parent = ph.root.SpanID
	}
	if n.subject == "" {
		n.subject = ph.pod.subject()
	}
	n.id = append([]string{n.name, string(ph.pod.uid)}, n.id...)
	n.start = latest(n.start, ph.root.Start)
	n.attrs = append(slices.Clip(ph.attrs), n.attrs...)
	return ph.builder.add(n)
}

// or returns t, or the end of the start if t was not reached.
func (ph *phases) or(t time.Time) time.Time {
	if t.IsZero() {
		return ph.end
	}
	return t
}

func (ph *phases) build(tl timeline) {
	ph.containers = map[string][]*spans.Span{}
	ph.schedule = ph.add(node{
		name: "schedule", service: serviceScheduler,
		start: tl.created, end: ph.or(tl.scheduled),
	})
	ph.last = ph.schedule
	if tl.scheduled.IsZero() {
		return
	}
	ph.sandbox = ph.add(node{
		name: "prepare sandbox", service: serviceKubelet,
		start: tl.scheduled, end: ph.or(tl.sandbox),
	})
	ph.last = ph.sandbox
	if tl.sandbox.IsZero() {
		return
	}
	started := time.Time{}
	all := true
	for i := range tl.containers {
		line := &tl.containers[i]
		if line.begin.IsZero() {
			all = false
			continue
		}
		ph.container(line)
		if !line.init {
			all = all && !line.end.IsZero()
			started = latest(started, line.end)
		}
	}
	if !all || started.IsZero() || ph.pod.finite {
		return
	}
	ph.become = ph.add(node{
		name: "become ready", service: serviceKubelet,
		start: started, end: ph.end,
	})
	ph.last = ph.become
	ph.probes(tl, started)
}

// probes tells apart what a pod whose containers have started still waits
// for: that they pass their startup probes, their readiness probes, and that
// the pod's readiness gates open.
func (ph *phases) probes(tl timeline, started time.Time) {
	hasStartup, hasReadiness := false, false
	booted := started
	for _, line := range tl.containers {
		hasStartup = hasStartup || line.hasStartupProbe
		hasReadiness = hasReadiness || line.hasReadinessProbe
		if line.hasStartupProbe {
			done := line.startupDone.at()
			if done.IsZero() {
				done = ph.end
			}
			booted = latest(booted, done)
		}
	}
	ready := ph.end
	if ph.pod.gated && ph.pod.containersReady.known() {
		ready = latest(ph.pod.containersReady.at(), booted)
	}
	part := func(has bool, name string, from, until time.Time) {
		if until.After(ph.end) {
			until = ph.end
		}
		if has && until.After(from) {
			s := ph.add(node{parent: ph.become.SpanID, name: name, service: serviceKubelet, start: from, end: until})
			ph.probing = append(ph.probing, s)
			ph.last = s
		}
	}
	part(hasStartup, "startup probe", started, booted)
	part(hasReadiness, "readiness probe", booted, ready)
	part(ph.pod.gated, "readiness gates", ready, ph.end)
}

// container adds the span of one container and what was done for it.
func (ph *phases) container(line *containerLine) {
	name := "container"
	if line.init {
		name = "init container"
	}
	attrs := line.attributes()
	if n := len(line.runs); n > 0 {
		attrs = append(attrs, semconv.K8SContainerRestartCount(int(line.lastRestart(ph.end))))
	}
	s := ph.add(node{
		name: name, id: []string{line.name}, service: serviceKubelet,
		subject: ph.pod.subject() + " container/" + line.name,
		start:   line.begin, end: ph.or(line.end), attrs: attrs,
	})
	ph.containers[line.name] = []*spans.Span{s}
	if line.end.IsZero() || line.failed() {
		ph.last = s
	}
	// Told apart by their number among those of their name, so that what
	// else is known of the container does not change their IDs.
	number := map[string]int{}
	for _, g := range line.segments(s.End) {
		number[g.name]++
		child := ph.add(node{
			parent: s.SpanID, name: g.name, id: []string{line.name, strconv.Itoa(number[g.name])}, service: serviceKubelet,
			subject: s.Subject, start: g.from, end: g.until,
			attrs: append(line.attributes(), g.attrs...),
		})
		if g.failure != nil {
			fail(child, *g.failure)
		}
		ph.containers[line.name] = append(ph.containers[line.name], child)
	}
}

// lastRestart is the restart count of the run that was on at t.
func (c *container) lastRestart(t time.Time) int32 {
	var n int32
	for _, r := range c.runs {
		if !r.started.at().After(t) {
			n = max(n, r.restart)
		}
	}
	return n
}

// fail marks the start, and the phase it was stuck in, as failed.
func (ph *phases) fail(f failure) {
	fail(ph.root, f)
	if ph.last != nil {
		fail(ph.last, f)
	}
}

// attachEvents puts the Events that belong to the start on the deepest span
// whose object and time they fit.
func (ph *phases) attachEvents(belongs func(*event) bool) {
	for _, ev := range ph.pod.events {
		if !ev.claimed && belongs(ev) {
			attach(ph.place(ev), ev, ph.end)
		}
	}
}

func (ph *phases) place(ev *event) *spans.Span {
	t := ev.first()
	if ev.container != "" {
		family := ph.containers[ev.container]
		// Of two parts that meet at t, an Event reports the end of the first,
		// unless it says that something begins.
		begins := ev.reason == "Pulling"
		var best *spans.Span
		for _, s := range family {
			if t.Before(s.Start) || t.After(s.End) {
				continue
			}
			if best == nil || best == family[0] || begins {
				best = s
			}
		}
		if best != nil {
			return best
		}
	}
	switch {
	case ev.container == "" && (ev.reason == "Scheduled" || ev.reason == "FailedScheduling"):
		return ph.schedule
	case ph.become != nil && !t.Before(ph.become.Start):
		return ph.waiting(ev)
	case len(ph.containers[ev.container]) > 0:
		return ph.containers[ev.container][0]
	case ph.sandbox != nil && !t.Before(ph.sandbox.Start) && !t.After(ph.sandbox.End):
		return ph.sandbox
	case !t.After(ph.schedule.End):
		return ph.schedule
	default:
		return ph.root
	}
}

// waiting is the part of becoming ready that an Event, such as a probe's
// failure, falls into.
func (ph *phases) waiting(ev *event) *spans.Span {
	for _, s := range ph.probing {
		if t := ev.first(); !t.Before(s.Start) && !t.After(s.End) {
			return s
		}
	}
	return ph.become
}

// podStop adds a pod's end: deletion requested to gone.
func (b *builder) podStop(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, cause, cut time.Time) *spans.Span {
	start := latest(p.stopAsked(), cause)
	end := p.gone.at()
	if end.IsZero() {
		end = cut
	}
	attrs = append(slices.Clip(attrs), p.attributes()...)
	if p.grace > 0 {
		attrs = append(attrs, seconds(keyGrace, p.grace))
	}
	if p.disruption != "" {
		attrs = append(attrs, keyDisruption.String(p.disruption))
	}
	s := b.add(node{
		parent: parent, id: []string{"pod stop", string(p.uid)},
		name: "Pod stop", service: serviceKubelet, subject: p.subject(),
		start: start, end: end, attrs: attrs,
	})
	for _, ev := range p.events {
		// A probe that is cut off may say so before the request is dated.
		early := p.startSpan != nil && ev.first().After(p.startSpan.end) && !ev.first().Before(start.Add(-arrivalSlack))
		if early || !ev.first().Before(start) || ev.reason == "Killing" && !ev.first().Before(p.deleteAsked.lo) && p.deleteAsked.known() {
			attach(s, ev, s.End)
		}
	}
	p.stopSent, p.stopSpan = true, b.remember(s)
	return s
}

// stopAsked dates the request to delete the pod: not after the kubelet began
// to kill its containers.
func (p *pod) stopAsked() time.Time {
	at := p.deleteAsked
	for _, ev := range p.events {
		if ev.reason == "Killing" && !ev.first().Before(at.lo) {
			at = at.before(ev.first())
		}
	}
	return at.at()
}

// trouble says what kept a pod from being ready at a time. self is set if the
// pod, or a container of it, had failed rather than not been done yet.
func (p *pod) trouble(tl timeline, at time.Time) (f failure, self bool) {
	if p.failed.known() && p.reason != "" && !p.failed.at().After(at) || p.finished.known() && p.reason != "" {
		return failure{p.reason, p.message}, true
	}
	for _, c := range p.containers {
		w, waiting := c.waitAt(at)
		waiting = waiting && (w.until.IsZero() || !w.until.Before(at))
		crash := c.lastCrash(at)
		switch {
		case waiting && w.reason == "CrashLoopBackOff":
			return failure{w.reason, crash.describe()}, true
		case waiting:
			return failure{w.reason, c.explain(w.reason, w.message)}, true
		case crash != nil && !c.runningAt(at):
			return failure{crash.endReason(), crash.exit()}, true
		}
	}
	if tl.scheduled.IsZero() {
		if p.unschedulable != "" {
			return failure{"FailedScheduling", cutSentence(p.unschedulable)}, false
		}
		return failure{"PodNotScheduled", ""}, false
	}
	if w := p.lastWarning(tl, at); w != nil {
		return failure{w.reason, w.until(at).message}, false
	}
	return failure{"ContainersNotReady", ""}, false
}

// lastWarning is the last Warning Event by a time, which says what a pod that
// has not failed waits for: a volume, a sandbox, a probe.
func (p *pod) lastWarning(tl timeline, at time.Time) *event {
	var last *event
	for _, ev := range p.events {
		if ev.eventType == "Warning" && !ev.first().Before(tl.scheduled) && !ev.first().After(at) &&
			(last == nil || last.first().Before(ev.first())) {
			last = ev
		}
	}
	return last
}

func (c *container) lastCrash(at time.Time) *run {
	for _, r := range slices.Backward(c.runs) {
		if r.over() && r.exitCode != 0 && !r.finished.lo.After(at) {
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

// endReason is why a run that failed ended, in the runtime's word; some give
// none.
func (r *run) endReason() string { return cmp.Or(r.reason, "Error") }

func (r *run) exit() string { return fmt.Sprintf("exit code %d", r.exitCode) }

// describe says how the last run ended, for a failure that is named after
// something else.
func (r *run) describe() string {
	if r == nil {
		return ""
	}
	s := r.exit()
	if r.reason != "" && r.reason != "Error" {
		s = r.reason + ", " + s
	}
	return s
}

// explain shortens the kubelet's message about a waiting container: of a pull
// the image and the last word of the chain of errors, else all of it.
func (c *container) explain(reason, message string) string {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable":
		if message == "" {
			return c.image
		}
		return c.image + ": " + lastClause(message)
	default:
		return message
	}
}
