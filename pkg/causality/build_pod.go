package causality

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// podStart adds a pod's start: the span and its phases, which tile the time
// from creation to Ready, or to cut (zero: no limit) if it was not Ready by
// then; of a pod that is to finish, its whole run. It begins no earlier than
// its cause. With failed set, waiting at the cut is an error: the change failed
// meanwhile. Without a parent it is the root of its trace.
func (b *builder) podStart(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, cause, cut time.Time, failed bool) *spans.Span {
	ph, tl := b.podPhases(parent, p, attrs, cause, cut)
	end := ph.end
	if ph.cutShort || p.finished.known() && p.phase == podFailed {
		at := p.unstopped(end)
		busy := p.finite && p.runsAt(at) // it is to end, and was at it
		if f, self := p.trouble(tl, at); self || failed && !busy {
			ph.fail(f)
		}
	}
	ph.attachEvents(func(ev *event) bool {
		// The Events of the start: to its end, and those that a node whose
		// clock is ahead dates a little later.
		mark, isMark := markKinds[ev.reason]
		return !ev.first().After(end) || !ph.cutShort && isMark && mark != markBackOff && ev.first().Before(end.Add(startedSlack))
	})
	p.ledger.toldStart(b.remember(ph.root))
	return ph.root
}

// podPhases builds the spans of a pod's start, of which nothing is told yet.
func (b *builder) podPhases(parent trace.SpanID, p *pod, attrs []attribute.KeyValue, cause, cut time.Time) (*phases, timeline) {
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
	what := kind.PodStart
	if p.finite || p.unowned() {
		what = kind.PodRun
	}
	id := []string{what.ID(), string(p.uid)}
	if parent == (trace.SpanID{}) {
		id = nil
	}
	root := b.add(node{
		parent: parent, id: id,
		kind: what, subject: p.subject(),
		start: start, end: end, attrs: attrs,
	})
	ph := &phases{builder: b, pod: p, root: root, attrs: attrs, end: end, cutShort: cutShort}
	ph.build(tl)
	return ph, tl
}

// phases builds the spans below a Pod start.
type phases struct {
	*builder
	pod   *pod
	root  *spans.Span
	attrs []attribute.KeyValue
	end   time.Time
	// cutShort says that the pod was not Ready by the end.
	cutShort bool

	schedule *spans.Span
	sandbox  *spans.Span
	become   *spans.Span
	probing  []*spans.Span // parts of become
	// last is the phase that was going on at the end.
	last       *spans.Span
	containers map[string][]*spans.Span // the container's span, then its parts
	volumes    volumeSpans
}

func (ph *phases) add(n node) *spans.Span {
	if n.parent == (trace.SpanID{}) {
		n.parent = ph.root.SpanID
	}
	if n.subject == "" {
		n.subject = ph.pod.subject()
	}
	n.id = append([]string{n.kind.ID(), string(ph.pod.uid)}, n.id...)
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
		kind:  kind.Schedule,
		start: tl.created, end: ph.or(tl.scheduled),
	})
	ph.last = ph.schedule
	ph.refused(tl)
	if tl.scheduled.IsZero() {
		ph.claimWaits(tl)
		return
	}
	ph.sandbox = ph.add(node{
		kind:  kind.PrepareSandbox,
		start: tl.scheduled, end: ph.or(tl.sandbox),
	})
	ph.last = ph.sandbox
	ph.claimWaits(tl)
	ph.volumeMounts(tl)
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
		kind:  kind.BecomeReady,
		start: started, end: ph.end,
	})
	ph.probes(tl, started)
	if ph.last == ph.sandbox { // no container that failed keeps it up
		ph.last = ph.become
		if n := len(ph.probing); n > 0 {
			ph.last = ph.probing[n-1]
		}
	}
}

// probes tells apart what a pod whose containers have started still waits
// for: that they pass their startup probes, their readiness probes, and that
// the pod's readiness gates open.
func (ph *phases) probes(tl timeline, started time.Time) {
	hasStartup, hasReadiness := false, false
	booted := started
	for _, line := range tl.containers {
		hasReadiness = hasReadiness || line.hasReadinessProbe
		if line.hasStartupProbe && !line.sidecar {
			hasStartup = true
			booted = latest(booted, ph.or(line.bootedForGood()))
		}
	}
	ready := ph.end
	if ph.pod.gated && ph.pod.containersReady.known() {
		ready = latest(ph.pod.containersReady.at(), booted)
	}
	part := func(has bool, what kind.Kind, from, until time.Time) {
		if until.After(ph.end) {
			until = ph.end
		}
		if has && until.After(from) {
			s := ph.add(node{parent: ph.become.SpanID, kind: what, start: from, end: until})
			ph.probing = append(ph.probing, s)
		}
	}
	part(hasStartup, kind.StartupProbe, started, booted)
	part(hasReadiness, kind.ReadinessProbe, booted, ready)
	part(ph.pod.gated, kind.ReadinessGates, ready, ph.end)
}

// container adds the span of one container and what was done for it.
func (ph *phases) container(line *containerLine) {
	what := kind.Container
	if line.init {
		what = kind.InitContainer
	}
	attrs := line.attributes()
	if line.sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if n := len(line.runs); n > 0 {
		attrs = append(attrs, semconv.K8SContainerRestartCount(int(line.lastRestart(ph.end))))
	}
	if line.forgotten > 0 {
		attrs = append(attrs, attr.RestartsLeftOutKey.Int(line.forgotten))
	}
	s := ph.add(node{
		kind: what, id: []string{line.name},
		subject: ph.pod.subject() + " container/" + line.name,
		start:   line.begin, end: ph.or(line.end), attrs: attrs,
	})
	ph.containers[line.name] = []*spans.Span{s}
	if line.end.IsZero() || line.failed() {
		ph.last = s
	}
	// Told apart by their number among those of their kind, so that what
	// else is known of the container does not change their IDs.
	number := map[kind.Kind]int{}
	for _, g := range line.segments(s.End) {
		number[g.kind]++
		child := ph.add(node{
			parent: s.SpanID, kind: g.kind, id: []string{line.name, strconv.Itoa(number[g.kind])},
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
	ph.failVolumes(f)
}

// attachEvents puts the Events that belong to the start on the deepest span
// whose object and time they fit.
func (ph *phases) attachEvents(belongs func(*event) bool) {
	for _, ev := range ph.pod.events {
		if !ev.ledger.claimed && belongs(ev) {
			attach(ph.place(ev), ev, ph.end)
		}
	}
	ph.attachClaimEvents()
}

func (ph *phases) place(ev *event) *spans.Span {
	t := ev.first()
	if s := ph.placeVolumeEvent(ev); s != nil {
		return s
	}
	if s := ph.placeContainerEvent(ev); s != nil {
		return s
	}
	switch {
	case ev.container == "" && (ev.reason == "Scheduled" || ev.reason == "FailedScheduling" || ev.reason == bindingConditionsPending):
		return ph.schedule
	case ph.become != nil && !t.Before(ph.become.Start):
		return ph.waiting(ev)
	case len(ph.containers[ev.container]) > 0 && t.Before(ph.containers[ev.container][0].End.Add(startedSlack)):
		return ph.containers[ev.container][0]
	case ph.sandbox != nil && !t.Before(ph.sandbox.Start) && !t.After(ph.sandbox.End):
		return ph.sandbox
	case !t.After(ph.schedule.End):
		return ph.schedule
	default:
		return ph.root
	}
}

// placeContainerEvent is the part of a container's start in whose time an Event about
// the container lies; nil if there is none.
func (ph *phases) placeContainerEvent(ev *event) (best *spans.Span) {
	if ev.container == "" {
		return nil
	}
	t, family := ev.first(), ph.containers[ev.container]
	// Of two parts that meet at t, an Event reports the end of the first,
	// unless it says that something begins.
	begins := ev.reason == "Pulling"
	for _, s := range family {
		if t.Before(s.Start) || t.After(s.End) {
			continue
		}
		if best == nil || best == family[0] || begins {
			best = s
		}
	}
	return best
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
