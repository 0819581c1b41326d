package build

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// restartBuilder builds the spans below a Container restart. They tile it: stopping the old
// run, and the others if all are stopped; what then goes on as in a pod's start.
type restartBuilder struct {
	*Restart
	*builder
	root *spans.Span
	at   time.Time // up to which the restart is told
	// containers are the spans about each container, in the order in which they were added:
	// one comes before its parts.
	containers map[string][]*spans.Span
	sandbox    *spans.Span
	// id and attrs are set where the restart is told within a change: they tell its spans
	// from others there, and say which pod they are about.
	id    []string
	attrs []attribute.KeyValue
}

// phases builds what the restart consisted of.
func (restart *Restart) phases(b *builder, root *spans.Span) *restartBuilder {
	rb := &restartBuilder{Restart: restart, builder: b, root: root, containers: map[string][]*spans.Span{}}
	rb.build()
	return rb
}

func (rb *restartBuilder) build() {
	rb.at = evidence.Latest(rb.root.Start, rb.From)
	own := rb.container
	line := rb.Pod.LineAfter(own, rb.Ended, rb.From)
	attempt := rb.attempt(&line)
	rb.part(own, rb.Ended, kind.StopContainer, rb.at, evidence.Earliest(rb.stopped, attempt))
	stopped := rb.at
	rb.others(attempt)
	if until := rb.newSandbox(attempt); !until.IsZero() {
		rb.sandbox = rb.ofPod(kind.PrepareSandbox, rb.at, until)
	}
	rb.initContainers(stopped, attempt)
	rb.stages(&line, stopped)
	rb.becoming()
}

// attempt is when the kubelet first worked on the container again.
func (rb *restartBuilder) attempt(line *podlife.ContainerLine) time.Time {
	started := rb.Until
	if rb.Next != nil && rb.Next.Started.Known() {
		started = line.StartOf(rb.Next)
	}
	return evidence.Earliest(line.TriedFrom(rb.From), started)
}

// span adds a span, if it takes time or has failed, and goes on from its end.
func (rb *restartBuilder) span(parent *spans.Span, spec SpanSpec, failed bool) *spans.Span {
	spec.parent, spec.id = parent.SpanID, append(append([]string{spec.Kind.ID()}, rb.id...), spec.id...)
	spec.Attrs = append(slices.Clip(rb.attrs), spec.Attrs...)
	spec.Start = evidence.Latest(spec.Start, rb.root.Start)
	if spec.End.After(rb.root.End) {
		spec.End = rb.root.End
	}
	if !spec.End.After(spec.Start) && !failed {
		return nil
	}
	rb.at = evidence.Latest(rb.at, spec.End)
	return rb.add(spec)
}

// part adds a span about a run of a container; about none if that is nil.
func (rb *restartBuilder) part(container *podlife.Container, run *podlife.Run, what kind.Kind, from, until time.Time, id ...string) *spans.Span {
	return rb.partOf(rb.root, container, SpanSpec{id: id, Kind: what, Start: from, End: until, Attrs: run.Identity()}, nil)
}

func (rb *restartBuilder) partOf(parent *spans.Span, container *podlife.Container, spec SpanSpec, failure *evidence.Failure) *spans.Span {
	spec.Subject, spec.app = rb.Pod.Subject()+" container/"+container.Name, rb.workload.AppIn(rb.Pod, container)
	if rb.id != nil {
		spec.Attrs = append(container.Attributes(), spec.Attrs...)
	}
	s := rb.span(parent, spec, failure != nil)
	if s == nil {
		return nil
	}
	if failure != nil {
		fail(s, *failure)
	}
	if container != rb.container {
		rb.isAbout(s, container)
	}
	rb.containers[container.Name] = append(rb.containers[container.Name], s)
	return s
}

// ofPod adds a span about the pod as a whole.
func (rb *restartBuilder) ofPod(what kind.Kind, from, until time.Time) *spans.Span {
	s := rb.span(rb.root, SpanSpec{Kind: what, Subject: rb.Pod.Subject(), app: rb.workload.AppOf(rb.Pod), Start: from, End: until}, false)
	rb.isAbout(s, nil)
	return s
}

// isAbout says that a span below the restart is about another container, or about the
// pod as a whole.
func (rb *restartBuilder) isAbout(s *spans.Span, other *podlife.Container) {
	if s == nil || rb.id != nil {
		return
	}
	own := rb.container.Attributes()
	pods := slices.DeleteFunc(slices.Concat(s.Resource, s.Attributes), func(kv attribute.KeyValue) bool {
		return slices.ContainsFunc(own, func(o attribute.KeyValue) bool { return o.Key == kv.Key })
	})
	var others []attribute.KeyValue
	if other != nil {
		others = other.Attributes()
	}
	rb.describe(s, pods, others)
}

// others adds the stops of the other containers, where the kubelet stopped all of them: it
// goes on when the last one has ended. They are told as far as they took longer than that of
// the container itself.
func (rb *restartBuilder) others(attempt time.Time) {
	rb.Restart.work.Spend(len(rb.Pod.Containers))
	stops := rb.Pod.StoppedForAll(rb.container, rb.at, evidence.Earliest(attempt, rb.Pod.WorkedOnFrom(rb.From)))
	slices.SortStableFunc(stops, func(a, b podlife.StopOfRun) int { return a.Until.Compare(b.Until) })
	stops = stops[max(len(stops)-MaxReruns, 0):]
	var first time.Time
	for _, stop := range stops {
		first = evidence.Earliest(first, stop.From)
	}
	rb.part(rb.container, nil, kind.BackOff, rb.at, first, "all") // until the kubelet turns to them
	from := rb.at
	for _, stop := range stops {
		rb.Restart.work.Spend(workPerRerun)
		rb.part(stop.Container, stop.Run, kind.StopContainer, from, stop.Until, stop.Name, stop.Run.ID)
	}
}

// newSandbox is when the pod had another sandbox, if that was what the container
// waited for until it was worked on again; else zero.
func (restart *Restart) newSandbox(attempt time.Time) time.Time {
	changed := slices.ContainsFunc(restart.Pod.Events, func(ev *podlife.Event) bool {
		return ev.Reason == "SandboxChanged" && !ev.First().Before(restart.From.Add(-evidence.ArrivalSlack)) && ev.First().Before(attempt)
	})
	if !changed {
		return time.Time{}
	}
	until := attempt
	for _, m := range restart.Pod.Sandboxes {
		if m.At().After(restart.From) {
			until = evidence.Earliest(until, m.At())
		}
	}
	// A container that is worked on has its sandbox, whatever the condition says.
	restart.work.Spend(len(restart.Pod.Containers) * (1 + len(restart.Pod.Events)))
	return evidence.Earliest(until, restart.Pod.WorkedOnFrom(restart.From))
}

// rerun is an init container's run in a pod that had been Ready.
type rerun struct {
	*podlife.Container
	run   *podlife.Run
	until time.Time
}

// MaxReruns bounds the runs of init containers that one restart tells of: a pod may
// have thousands of either. What it waited for last says most.
const MaxReruns = 64

// workPerRerun is the work that it takes to put one into order and to build its span.
const workPerRerun = 64

// reruns are the runs of init containers that the container waited for, in order.
func (restart *Restart) reruns(from, until time.Time) []rerun {
	var all []rerun
	for _, container := range restart.Pod.Containers {
		restart.work.Spend(1 + len(container.Runs))
		if !container.Init || container.Sidecar || container == restart.container {
			continue
		}
		for _, r := range container.Runs {
			if !r.Over() || r.Started.At().Before(from) || r.Finished.Earliest.After(until) {
				continue
			}
			all = append(all, rerun{container, r, evidence.Earliest(r.Finished.At(), until)})
		}
	}
	restart.work.Spend(workPerRerun * len(all))
	slices.SortStableFunc(all, func(a, b rerun) int { return a.until.Compare(b.until) })
	return all
}

// initContainers adds the init containers that ran again first, and what was done for them.
func (rb *restartBuilder) initContainers(from, attempt time.Time) {
	reruns := rb.reruns(from, attempt)
	for _, again := range reruns[max(len(reruns)-MaxReruns, 0):] {
		begin := rb.at
		s := rb.part(again.Container, again.run, kind.InitContainer, begin, again.until, again.Name, again.run.ID)
		if s == nil {
			continue
		}
		rb.Restart.work.Spend(1 + len(rb.Pod.Events))
		before := again.RunBefore(again.run)
		failed := before != nil && before.Over() && before.ExitCode != 0 && !before.Started.At().Before(from)
		line := rb.Pod.LineAfter(again.Container, before, begin)
		rb.addStages(s, &line, line.StagesAfter(before, begin, s.End, failed), again.Name, again.run.ID)
	}
}

// stages adds what was done for the container, from when nothing else kept it.
func (rb *restartBuilder) stages(line *podlife.ContainerLine, stopped time.Time) {
	from := rb.at
	rb.addStages(rb.root, line, line.StagesAfter(rb.Ended, from, rb.root.End, !from.After(stopped)))
}

// addStages adds stages below a span. Of each kind the first has no number, so that what
// is usual has the same ID whatever else there is. A run that ended badly is an error in the
// trace of its own restart alone, and not in those of what waited for it.
func (rb *restartBuilder) addStages(parent *spans.Span, line *podlife.ContainerLine, stages []podlife.Stage, id ...string) {
	number := map[kind.Kind]int{}
	for _, g := range stages {
		number[g.Kind]++
		if g.OfRun && g.Failure != nil && (rb.id != nil || line.Container != rb.container) {
			g.Failure, g.Attrs = nil, nil
		}
		spec := SpanSpec{id: slices.Clone(id), Kind: g.Kind, Start: evidence.Latest(g.From, parent.Start), End: g.Until, Attrs: g.Attrs}
		if n := number[g.Kind]; n > 1 {
			spec.id = append(spec.id, strconv.Itoa(n))
		}
		rb.partOf(parent, line.Container, spec, g.Failure)
	}
}

// becoming adds the time from the start of the new run on: to its startup probe, and to when
// the pod is Ready.
func (rb *restartBuilder) becoming() {
	own := rb.container
	if rb.Next == nil || own.Init && !own.Sidecar {
		return
	}
	become := rb.part(own, rb.Next, kind.BecomeReady, rb.at, rb.Until)
	if become == nil {
		return
	}
	booted := become.Start
	if own.HasStartupProbe {
		booted = rb.Next.BootOf(become.Start, become.End)
		rb.partOf(become, own, SpanSpec{Kind: kind.StartupProbe, Start: become.Start, End: booted, Attrs: rb.Next.Identity()}, nil)
	}
	if own.HasReadinessProbe {
		rb.partOf(become, own, SpanSpec{Kind: kind.ReadinessProbe, Start: booted, End: become.End, Attrs: rb.Next.Identity()}, nil)
	}
}

// place is the deepest span whose object and time an Event fits.
func (rb *restartBuilder) place(ev *podlife.Event) *spans.Span {
	if ev.Container == "" {
		if rb.sandbox != nil && within(ev.First(), rb.sandbox.Start, rb.sandbox.End) {
			return rb.sandbox
		}
		return rb.root
	}
	if s := deepest(rb.containers[ev.Container], ev); s != nil {
		return s
	}
	return rb.root
}

// waitsFor is the reason for which the kubelet backs off at the end of a restart that is
// open; "" if it does not.
func (rb *restartBuilder) waitsFor() string {
	for _, s := range rb.containers[rb.container.Name] {
		if reason, ok := s.Attribute(attr.WaitingReasonKey); ok && s.End.Equal(rb.root.End) {
			return reason.AsString()
		}
	}
	return ""
}

// initialized are the names of the init containers that the restart waited for.
func (restart *Restart) initialized() map[string]bool {
	if restart.Next == nil {
		return nil
	}
	names := map[string]bool{}
	for _, again := range restart.reruns(restart.From, restart.Next.Started.At()) {
		names[again.Name] = true
	}
	return names
}
