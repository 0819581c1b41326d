package build

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
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
	sb, tl := b.podPhases(parent, pod, attrs, cause, cut)
	end := sb.end
	if sb.cutBy != "" || pod.Finished.Known() && pod.Phase == podlife.PodFailed {
		at := pod.Unstopped(end)
		busy := pod.Finite && pod.RunsAt(at) // it is to end, and was at it
		if f, self := pod.Trouble(tl, at); self || failed && !busy {
			sb.fail(f, at)
		}
	}
	if sb.cutBy != "" && sb.root.Status != codes.Error {
		sb.root.Attributes = append(sb.root.Attributes, attr.CutShortKey.String(string(sb.cutBy)))
	}
	if pod.Finished.Known() && sb.cutBy == "" {
		sb.root.Attributes = append(sb.root.Attributes, pod.StatusReason()...)
	}
	sb.attachEvents(func(ev *podlife.Event) bool {
		// The Events of the start: to its end, and those that a node whose
		// clock is ahead dates a little later.
		if ev.First().Equal(end) && pod.StopsBy(ev) {
			return false // it ended because of that
		}
		if !ev.First().After(end) {
			return true
		}
		milestone, isMilestone := podlife.MilestoneKinds[ev.Reason]
		ofStart := isMilestone && milestone != podlife.MilestoneBackOff
		return ofStart && sb.cutBy == "" && ev.First().Before(end.Add(podlife.StartedSlack))
	})
	pod.Ledger.EmitStart(b.remember(sb.root))
	return sb.root
}

// podPhases builds the spans of a pod's start, without noting that they are handed out.
func (b *builder) podPhases(parent trace.SpanID, pod *podlife.Pod, attrs []attribute.KeyValue, cause, cut time.Time) (*startBuilder, podlife.Timeline) {
	b.tellsOf(pod)
	tl := pod.Timeline(cut)
	start := evidence.Latest(tl.Created, cause)
	end := tl.Over(pod)
	var by attr.Cut
	if end.IsZero() {
		end, by = cut, attr.CutUnfinished
		at := pod.LostAt().At()
		if pod.Mirrors != "" {
			at = pod.GivenUpAt()
		}
		if pod.Lost() && (end.IsZero() || !at.After(end)) {
			end, by = at, pod.CutBy()
		}
		tl = pod.Timeline(end)
	}
	end = evidence.Latest(end, start)
	attrs = append(slices.Clip(attrs), pod.Attributes()...)
	what := kind.PodStart
	if pod.Finite || pod.Unowned() {
		what = kind.PodRun
	}
	id := []string{what.ID(), string(pod.UID)}
	if parent == (trace.SpanID{}) {
		id = nil
	}
	root := b.add(SpanSpec{
		parent: parent, id: id,
		Kind: what, Subject: pod.Subject(), app: b.workload.AppOf(pod),
		Start: start, End: end, Attrs: attrs,
	})
	sb := &startBuilder{builder: b, pod: pod, root: root, attrs: attrs, end: end, cutBy: by}
	sb.build(tl)
	return sb, tl
}

// startBuilder builds the spans below a Pod start.
type startBuilder struct {
	*builder
	pod   *podlife.Pod
	root  *spans.Span
	attrs []attribute.KeyValue
	end   time.Time
	id    []string // tells the spans from those of the start that was cut, if that was
	cutBy attr.Cut // what cut it short; none if the pod was Ready by the end

	schedule *spans.Span
	sandbox  *spans.Span
	become   *spans.Span
	probing  []*spans.Span // parts of become
	// last is the phase that was going on at the end.
	last       *spans.Span
	stuck      []stuckContainer
	containers map[string][]*spans.Span // the container's span, then its parts
	volumes    volumeSpans
}

func (sb *startBuilder) add(spec SpanSpec) *spans.Span {
	if spec.parent == (trace.SpanID{}) {
		spec.parent = sb.root.SpanID
	}
	if spec.Subject == "" {
		spec.Subject = sb.pod.Subject()
	}
	spec.id = slices.Concat([]string{spec.Kind.ID(), string(sb.pod.UID)}, spec.id, sb.id)
	spec.app = cmp.Or(spec.app, sb.root.App)
	spec.Start = evidence.Latest(spec.Start, sb.root.Start)
	spec.Attrs = append(slices.Clip(sb.attrs), spec.Attrs...)
	return sb.builder.add(spec)
}

// or returns t, or the end of the start if t was not reached.
func (sb *startBuilder) or(t time.Time) time.Time {
	if t.IsZero() {
		return sb.end
	}
	return t
}

func (sb *startBuilder) build(tl podlife.Timeline) {
	sb.containers = map[string][]*spans.Span{}
	sb.schedule = sb.add(SpanSpec{
		Kind:  kind.Schedule,
		Start: tl.Created, End: sb.or(tl.Scheduled),
	})
	sb.last = sb.schedule
	sb.refused(tl)
	if tl.Scheduled.IsZero() {
		sb.claimWaits(tl)
		return
	}
	sb.sandbox = sb.add(SpanSpec{
		Kind:  kind.PrepareSandbox,
		Start: tl.Scheduled, End: sb.or(tl.Sandbox),
	})
	sb.last = sb.sandbox
	sb.claimWaits(tl)
	sb.volumeMounts(tl)
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
		sb.container(line)
		if !line.Init {
			all = all && !line.End.IsZero()
			started = evidence.Latest(started, line.End)
		}
	}
	if sb.pod.Finite {
		sb.stopSidecars(tl)
		return
	}
	if !all || started.IsZero() || sb.pod.ReadyUnknown && !sb.end.After(started) {
		return
	}
	sb.become = sb.add(SpanSpec{
		Kind:  kind.BecomeReady,
		Start: started, End: sb.end,
	})
	sb.probes(tl, started)
	if sb.last == sb.sandbox { // no container that failed keeps it up
		sb.last = sb.become
		if n := len(sb.probing); n > 0 {
			sb.last = sb.probing[n-1]
		}
	}
}

// probes tells apart what a pod whose containers have started still waits
// for: that they pass their startup probes, their readiness probes, and that
// the pod's readiness gates open.
func (sb *startBuilder) probes(tl podlife.Timeline, started time.Time) {
	hasStartup, hasReadiness := false, false
	booted := started
	for _, line := range tl.Containers {
		hasReadiness = hasReadiness || line.HasReadinessProbe
		if line.HasStartupProbe && !line.Sidecar {
			hasStartup = true
			booted = evidence.Latest(booted, sb.or(line.BootedForGood()))
		}
	}
	ready := sb.end
	if sb.pod.HasReadinessGates && sb.pod.ContainersReady.Known() {
		ready = evidence.Latest(sb.pod.ContainersReady.At(), booted)
	}
	part := func(has bool, what kind.Kind, from, until time.Time) {
		if until.After(sb.end) {
			until = sb.end
		}
		if has && until.After(from) {
			s := sb.add(SpanSpec{parent: sb.become.SpanID, Kind: what, Start: from, End: until})
			sb.probing = append(sb.probing, s)
		}
	}
	part(hasStartup, kind.StartupProbe, started, booted)
	part(hasReadiness, kind.ReadinessProbe, booted, ready)
	part(sb.pod.HasReadinessGates, kind.ReadinessGates, ready, sb.end)
}

// container adds the span of one container and what was done for it.
func (sb *startBuilder) container(line *podlife.ContainerLine) {
	what := kind.Container
	if line.Init {
		what = kind.InitContainer
	}
	attrs := line.Attributes()
	if line.Sidecar {
		attrs = append(attrs, attr.SidecarKey.Bool(true))
	}
	if len(line.Runs) > 0 {
		last := lastRun(line.Container, sb.end)
		attrs = append(attrs, last.Identity()...)
		restarts := 0
		if last != nil {
			restarts = int(last.Restart)
		}
		attrs = append(attrs, semconv.K8SContainerRestartCount(restarts))
	}
	if line.Forgotten > 0 {
		attrs = append(attrs, attr.RestartsLeftOutKey.Int(line.Forgotten))
	}
	app := sb.workload.AppIn(sb.pod, line.Container)
	s := sb.add(SpanSpec{
		Kind: what, id: []string{line.Name}, app: app,
		Subject: sb.pod.Subject() + " container/" + line.Name,
		Start:   line.Begin, End: sb.or(line.End), Attrs: attrs,
	})
	sb.containers[line.Name] = []*spans.Span{s}
	if line.End.IsZero() || line.Failed() {
		sb.last = s
		sb.stuck = append(sb.stuck, stuckContainer{s, line.Container})
	}
	// Told apart by their number among those of their kind, so that what
	// else is known of the container does not change their IDs.
	number := map[kind.Kind]int{}
	for _, g := range line.Stages(s.End) {
		number[g.Kind]++
		child := sb.add(SpanSpec{
			parent: s.SpanID, Kind: g.Kind, id: []string{line.Name, strconv.Itoa(number[g.Kind])}, app: app,
			Subject: s.Subject, Start: g.From, End: g.Until,
			Attrs: append(line.Attributes(), g.Attrs...),
		})
		if g.Failure != nil {
			fail(child, *g.Failure)
		}
		sb.containers[line.Name] = append(sb.containers[line.Name], child)
	}
}

// lastRun is the run of the highest number that had begun by t, nil if none had.
func lastRun(container *podlife.Container, t time.Time) (last *podlife.Run) {
	for _, r := range container.Runs {
		if !r.Started.At().After(t) && (last == nil || r.Restart > last.Restart) {
			last = r
		}
	}
	return last
}

// stuckContainer is a container that had not started for good at the end, and its span.
type stuckContainer struct {
	span      *spans.Span
	container *podlife.Container
}

// fail marks the start, and the phase it was stuck in at a time, as failed. Of several
// containers that were stuck each says what had become of itself.
func (sb *startBuilder) fail(f evidence.Failure, at time.Time) {
	fail(sb.root, f)
	told := false
	for _, c := range sb.stuck {
		own, failed := sb.pod.TroubleOf(c.container, at)
		if c.container.Name == f.Container {
			own, failed = f, true
		}
		if f.Container != "" && failed {
			fail(c.span, own)
			told = told || c.span == sb.last
		}
	}
	// A run that crashed before has an error of its own. What went on since is another.
	crash, crashed := sb.pod.CrashedBefore(at)
	ofBefore := crashed && crash == f
	if sb.last != nil && !told && !ofBefore && (f.Container == "" || !sb.isStuck(f.Container)) {
		fail(sb.last, f)
	}
	sb.failVolumes(f)
}

func (sb *startBuilder) isStuck(name string) bool {
	return slices.ContainsFunc(sb.stuck, func(c stuckContainer) bool { return c.container.Name == name })
}

// attachEvents puts the Events that belong to the start on the deepest span
// whose object and time they fit.
func (sb *startBuilder) attachEvents(belongs func(*podlife.Event) bool) {
	for _, ev := range sb.pod.Untold() {
		if belongs(ev) {
			attach(sb.place(ev), ev, sb.end)
		}
	}
	sb.attachClaimEvents()
}

func (sb *startBuilder) place(ev *podlife.Event) *spans.Span {
	t := ev.First()
	if s := sb.placeVolumeEvent(ev); s != nil {
		return s
	}
	if s := sb.placeContainerEvent(ev); s != nil {
		return s
	}
	switch {
	case ev.TellsOfBinding() || ev.Container == "" && (ev.Reason == "FailedScheduling" || ev.Reason == podlife.BindingConditionsPending):
		return sb.schedule
	case sb.become != nil && !t.Before(sb.become.Start):
		return sb.waiting(ev)
	case len(sb.containers[ev.Container]) > 0 && t.Before(sb.containers[ev.Container][0].End.Add(podlife.StartedSlack)):
		return sb.containers[ev.Container][0]
	case sb.sandbox != nil && within(t, sb.sandbox.Start, sb.sandbox.End):
		return sb.sandbox
	case !t.After(sb.schedule.End):
		return sb.schedule
	default:
		return sb.root
	}
}

// placeContainerEvent is the part of a container's start in whose time an Event about
// the container lies; nil if there is none.
func (sb *startBuilder) placeContainerEvent(ev *podlife.Event) *spans.Span {
	if ev.Container == "" {
		return nil
	}
	return deepest(sb.containers[ev.Container], ev)
}

// beginnings are the reasons of Events that report the beginning of something. Any other
// reports an end, or what goes on.
var beginnings = []string{"Pulling", "BackOff", podlife.ReasonKilling}

// deepest is the span about a container in whose time an Event about it lies, of those that
// come after the span they are part of; nil if there is none.
func deepest(family []*spans.Span, ev *podlife.Event) (best *spans.Span) {
	t := ev.First()
	// Of two parts that meet at t, an Event reports the end of the first,
	// unless it says that something begins.
	begins := slices.Contains(beginnings, ev.Reason)
	for _, s := range family {
		if !within(t, s.Start, s.End) {
			continue
		}
		if best == nil || best.SpanID == s.ParentID || begins {
			best = s
		}
	}
	return best
}

// waiting is the part of becoming ready that an Event, such as a probe's
// failure, falls into.
func (sb *startBuilder) waiting(ev *podlife.Event) *spans.Span {
	for _, s := range sb.probing {
		if within(ev.First(), s.Start, s.End) {
			return s
		}
	}
	return sb.become
}

// refused adds the time that was spent in each refusal, below schedule. It
// returns the one that still held at the end.
func (sb *startBuilder) refused(tl podlife.Timeline) {
	until := sb.or(tl.Scheduled)
	refusals := sb.pod.Refusals(until)
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
		s := sb.add(SpanSpec{
			parent: sb.schedule.SpanID, id: []string{strconv.Itoa(i)}, Kind: what,
			Start: evidence.Latest(r.At, tl.Created), End: end,
		})
		s.Attributes = append(s.Attributes, attr.WaitingReasonKey.String(r.Reason))
		if r.Message != "" {
			s.Attributes = append(s.Attributes, attr.WaitingMessageKey.String(r.Message))
		}
	}
}
