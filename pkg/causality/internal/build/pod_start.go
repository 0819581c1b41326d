package build

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// podStart adds a pod's start: the span and its phases, which tile the time
// from creation to Ready, or to cut (zero: no limit) if it was not Ready by
// then; of a pod that is to finish, its whole run. It begins no earlier than
// its cause. With failed set, waiting at the cut is an error: the change failed
// meanwhile. Without a parent it is the root of its trace.
func (b *builder) podStart(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, cause, cut time.Time, failed bool) *spans.Span {
	ph, tl := b.podPhases(parent, pod, attrs, cause, cut)
	end := ph.end
	if ph.cutShort || pod.Finished.Known() && pod.Phase == podlife.PodFailed {
		at := pod.Unstopped(end)
		busy := pod.Finite && runsAt(pod, at) // it is to end, and was at it
		if f, self := pod.Trouble(tl, at); self || failed && !busy {
			ph.fail(f)
		}
	}
	ph.attachEvents(func(ev *podlife.Event) bool {
		// The Events of the start: to its end, and those that a node whose
		// clock is ahead dates a little later.
		mark, isMark := podlife.MilestoneKinds[ev.Reason]
		return !ev.First().After(end) || !ph.cutShort && isMark && mark != podlife.MilestoneBackOff && ev.First().Before(end.Add(podlife.StartedSlack))
	})
	pod.Ledger.EmitStart(b.remember(ph.root))
	return ph.root
}

// podPhases builds the spans of a pod's start, of which nothing is told yet.
func (b *builder) podPhases(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, cause, cut time.Time) (*phases, podlife.Timeline) {
	tl := pod.Timeline(cut)
	start := evidence.Latest(tl.Created, cause)
	end := tl.Over(pod)
	cutShort := end.IsZero()
	if cutShort {
		end = cut
		if at := pod.LostAt(); pod.Lost() && (end.IsZero() || at.At().Before(end)) {
			end = at.At()
		}
		tl = pod.Timeline(end)
	}
	end = evidence.Latest(end, start)
	attrs = append(slices.Clip(attrs), pod.Attributes()...)
	what := kind.PodStart
	if pod.Finite || pod.Unowned() {
		what = kind.PodRun
	}
	id := []string{what.ID(), string(pod.Uid)}
	if parent == (trace.SpanID{}) {
		id = nil
	}
	root := b.add(Node{
		parent: parent, id: id,
		Kind: what, Subject: pod.Subject(),
		Start: start, End: end, Attrs: attrs,
	})
	ph := &phases{builder: b, pod: pod, root: root, attrs: attrs, end: end, cutShort: cutShort}
	ph.build(tl)
	return ph, tl
}

// phases builds the spans below a Pod start.
type phases struct {
	*builder
	pod   *podlife.Pod
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

func (ph *phases) add(n Node) *spans.Span {
	if n.parent == (trace.SpanID{}) {
		n.parent = ph.root.SpanID
	}
	if n.Subject == "" {
		n.Subject = ph.pod.Subject()
	}
	n.id = append([]string{n.Kind.ID(), string(ph.pod.Uid)}, n.id...)
	n.Start = evidence.Latest(n.Start, ph.root.Start)
	n.Attrs = append(slices.Clip(ph.attrs), n.Attrs...)
	return ph.builder.add(n)
}

// or returns t, or the end of the start if t was not reached.
func (ph *phases) or(t time.Time) time.Time {
	if t.IsZero() {
		return ph.end
	}
	return t
}

func (ph *phases) build(tl podlife.Timeline) {
	ph.containers = map[string][]*spans.Span{}
	ph.schedule = ph.add(Node{
		Kind:  kind.Schedule,
		Start: tl.Created, End: ph.or(tl.Scheduled),
	})
	ph.last = ph.schedule
	ph.refused(tl)
	if tl.Scheduled.IsZero() {
		ph.claimWaits(tl)
		return
	}
	ph.sandbox = ph.add(Node{
		Kind:  kind.PrepareSandbox,
		Start: tl.Scheduled, End: ph.or(tl.Sandbox),
	})
	ph.last = ph.sandbox
	ph.claimWaits(tl)
	ph.volumeMounts(tl)
	if tl.Sandbox.IsZero() {
		return
	}
	started := time.Time{}
	all := true
	for i := range tl.Containers {
		line := &tl.Containers[i]
		if line.Begin.IsZero() {
			all = false
			continue
		}
		ph.container(line)
		if !line.Init {
			all = all && !line.End.IsZero()
			started = evidence.Latest(started, line.End)
		}
	}
	if !all || started.IsZero() || ph.pod.Finite {
		return
	}
	ph.become = ph.add(Node{
		Kind:  kind.BecomeReady,
		Start: started, End: ph.end,
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
func (ph *phases) probes(tl podlife.Timeline, started time.Time) {
	hasStartup, hasReadiness := false, false
	booted := started
	for _, line := range tl.Containers {
		hasReadiness = hasReadiness || line.HasReadinessProbe
		if line.HasStartupProbe && !line.Sidecar {
			hasStartup = true
			booted = evidence.Latest(booted, ph.or(line.BootedForGood()))
		}
	}
	ready := ph.end
	if ph.pod.Gated && ph.pod.ContainersReady.Known() {
		ready = evidence.Latest(ph.pod.ContainersReady.At(), booted)
	}
	part := func(has bool, what kind.Kind, from, until time.Time) {
		if until.After(ph.end) {
			until = ph.end
		}
		if has && until.After(from) {
			s := ph.add(Node{parent: ph.become.SpanID, Kind: what, Start: from, End: until})
			ph.probing = append(ph.probing, s)
		}
	}
	part(hasStartup, kind.StartupProbe, started, booted)
	part(hasReadiness, kind.ReadinessProbe, booted, ready)
	part(ph.pod.Gated, kind.ReadinessGates, ready, ph.end)
}

// container adds the span of one container and what was done for it.
func (ph *phases) container(line *podlife.ContainerLine) {
	what := kind.Container
	if line.Init {
		what = kind.InitContainer
	}
	attrs := line.Attributes()
	if line.Sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if n := len(line.Runs); n > 0 {
		attrs = append(attrs, semconv.K8SContainerRestartCount(int(lastRestart(line.Container, ph.end))))
	}
	if line.Forgotten > 0 {
		attrs = append(attrs, attr.RestartsLeftOutKey.Int(line.Forgotten))
	}
	s := ph.add(Node{
		Kind: what, id: []string{line.Name},
		Subject: ph.pod.Subject() + " container/" + line.Name,
		Start:   line.Begin, End: ph.or(line.End), Attrs: attrs,
	})
	ph.containers[line.Name] = []*spans.Span{s}
	if line.End.IsZero() || line.Failed() {
		ph.last = s
	}
	// Told apart by their number among those of their kind, so that what
	// else is known of the container does not change their IDs.
	number := map[kind.Kind]int{}
	for _, g := range line.Stages(s.End) {
		number[g.Kind]++
		child := ph.add(Node{
			parent: s.SpanID, Kind: g.Kind, id: []string{line.Name, strconv.Itoa(number[g.Kind])},
			Subject: s.Subject, Start: g.From, End: g.Until,
			Attrs: append(line.Attributes(), g.Attrs...),
		})
		if g.Failure != nil {
			fail(child, *g.Failure)
		}
		ph.containers[line.Name] = append(ph.containers[line.Name], child)
	}
}

// lastRestart is the restart count of the run that was on at t.
func lastRestart(container *podlife.Container, t time.Time) int32 {
	var n int32
	for _, r := range container.Runs {
		if !r.Started.At().After(t) {
			n = max(n, r.Restart)
		}
	}
	return n
}

// fail marks the start, and the phase it was stuck in, as failed.
func (ph *phases) fail(f evidence.Failure) {
	fail(ph.root, f)
	if ph.last != nil {
		fail(ph.last, f)
	}
	ph.failVolumes(f)
}

// attachEvents puts the Events that belong to the start on the deepest span
// whose object and time they fit.
func (ph *phases) attachEvents(belongs func(*podlife.Event) bool) {
	for _, ev := range ph.pod.Events {
		if !ev.Ledger.Claimed && belongs(ev) {
			attach(ph.place(ev), ev, ph.end)
		}
	}
	ph.attachClaimEvents()
}

func (ph *phases) place(ev *podlife.Event) *spans.Span {
	t := ev.First()
	if s := ph.placeVolumeEvent(ev); s != nil {
		return s
	}
	if s := ph.placeContainerEvent(ev); s != nil {
		return s
	}
	switch {
	case ev.Container == "" && (ev.Reason == "Scheduled" || ev.Reason == "FailedScheduling" || ev.Reason == podlife.BindingConditionsPending):
		return ph.schedule
	case ph.become != nil && !t.Before(ph.become.Start):
		return ph.waiting(ev)
	case len(ph.containers[ev.Container]) > 0 && t.Before(ph.containers[ev.Container][0].End.Add(podlife.StartedSlack)):
		return ph.containers[ev.Container][0]
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
func (ph *phases) placeContainerEvent(ev *podlife.Event) (best *spans.Span) {
	if ev.Container == "" {
		return nil
	}
	t, family := ev.First(), ph.containers[ev.Container]
	// Of two parts that meet at t, an Event reports the end of the first,
	// unless it says that something begins.
	begins := ev.Reason == "Pulling"
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
func (ph *phases) waiting(ev *podlife.Event) *spans.Span {
	for _, s := range ph.probing {
		if t := ev.First(); !t.Before(s.Start) && !t.After(s.End) {
			return s
		}
	}
	return ph.become
}

// refused adds the time that was spent in each refusal, below schedule. It
// returns the one that still held at the end.
func (ph *phases) refused(tl podlife.Timeline) {
	until := ph.or(tl.Scheduled)
	refusals := ph.pod.Refusals(until)
	for i, r := range refusals {
		end := until
		if i+1 < len(refusals) {
			end = evidence.Latest(refusals[i+1].At, tl.Created)
		}
		end = evidence.Earliest(end, r.Until)
		what := kind.Unschedulable
		switch r.Reason {
		case corev1.PodReasonSchedulingGated:
			what = kind.SchedulingGates
		case podlife.BindingConditionsPending:
			what = kind.BindDevices
		}
		s := ph.add(Node{
			parent: ph.schedule.SpanID, id: []string{strconv.Itoa(i)}, Kind: what,
			Start: evidence.Latest(r.At, tl.Created), End: end,
		})
		s.Attributes = append(s.Attributes, attr.WaitingReasonKey.String(r.Reason))
		if r.Message != "" {
			s.Attributes = append(s.Attributes, attr.WaitingMessageKey.String(r.Message))
		}
	}
}
