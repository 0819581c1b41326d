package build

import (
	"cmp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// LateEventsTrace builds a span below one that went out before, with the Events that came
// after it. app is the service whose pods they are about, if that is known. n has what is
// not in these; the Events' repetitions count up to until.
func LateEventsTrace(s *ledger.SentSpan, base []attribute.KeyValue, app *spans.App, spec SpanSpec, events []*podlife.Event, until time.Time) spans.Trace {
	b := &builder{place: s.Place, base: base, late: true, app: app}
	b.belowSent(s)
	spec.parent, spec.id = s.SpanID, append([]string{kind.LateEvents.ID()}, events[0].Identity()...)
	spec.Service = cmp.Or(events[0].Component, spec.Service)
	spec.Start = evidence.Latest(s.Start, events[0].First())
	span := b.add(spec)
	for _, ev := range events {
		attach(span, ev, until)
	}
	return b.done()
}

// LateStartTrace builds the start of a pod that was not over when its change was; it is
// cut where it is not over yet.
func LateStartTrace(p *plans.Plan, pod *podlife.Pod, at plans.Attribution, cut time.Time) spans.Trace {
	b := NewLate(p, at.Change)
	parent, cause := lateParent(p, b, at)
	b.podStart(parent, pod, at.Set.Attributes(), cause, cut, false)
	b.markCritical(at.Change)
	return b.done()
}

// LateStopTrace builds the stop of a pod that was not gone when its change was over.
func LateStopTrace(p *plans.Plan, pod *podlife.Pod, at plans.Attribution, now time.Time) spans.Trace {
	b := NewLate(p, at.Change)
	parent, cause := lateParent(p, b, at)
	linkStop(p, b.podStop(parent, pod, at.Set.Attributes(), p.StopAsked(pod), cause, now), at)
	b.markCritical(at.Change)
	return b.done()
}

// NewLate collects spans of a change that come after its root.
func NewLate(p *plans.Plan, c *workloads.Change) *builder {
	b := newBuilder(p, c)
	b.late = true
	return &b
}

func newBuilder(p *plans.Plan, c *workloads.Change) builder {
	b := builder{place: p.PlaceOf(c), base: p.Workload.Attributes(), workload: p.Workload, app: p.Workload.App(c), work: p.Work}
	if p.Workload.Controller.Pods != workloads.PodItself {
		return b // it may have many pods, and of each of these a trace that comes late
	}
	for _, pod := range p.Pods { // the workload is the pod
		b.base = append(b.base, pod.Attributes()...)
	}
	return b
}

// lateParent is the span, handed out before, that caused a pod's start or stop,
// and when that began.
func lateParent(p *plans.Plan, b *builder, at plans.Attribution) (trace.SpanID, time.Time) {
	root := at.Change.Ledger.Root
	b.belowSent(root)
	if at.Step != nil && !at.Step.Ledger.SentStart.IsZero() && p.Workload.ChangeAt(at.Step.Write) == at.Change {
		step := b.place.SpanID(stepIdentity(at.Set, at.Step)...)
		b.below(step, parent{kind.ScaleUp.Service(), at.Step.Ledger.SentStart})
		return step, at.Step.Ledger.SentStart
	}
	return b.place.RootID(), root.Start
}

// RecoveryTrace builds what became of a failed rollout that completed after all.
func RecoveryTrace(p *plans.Plan, c *workloads.Change) spans.Trace {
	c.Ledger.EmitRecovery()
	b := NewLate(p, c)
	b.belowSent(c.Ledger.Root)
	b.tellsOf(p.Workload.Object)
	failed := c.End.At()
	end := evidence.Latest(c.Recovery.At(), failed)
	span := b.add(SpanSpec{
		parent: b.place.RootID(), id: []string{kind.Recovery.ID()},
		Kind: kind.Recovery, Object: p.Workload.Kind, Service: p.Workload.Service(), Subject: p.Workload.Subject(),
		Start: failed, End: end,
	})
	for _, pod := range p.Pods {
		at := p.Starts[pod]
		ready, ok := pod.FirstReady()
		if at.Change != c || !ok || !ready.At.At().After(failed) {
			continue
		}
		if !c.CutsPods() && !c.Retried(pod.FirstSeen) {
			continue // it came back with the pods from before
		}
		if !pod.Ledger.StartSent {
			b.podStart(span.SpanID, pod, at.Set.Attributes(), failed, time.Time{}, false)
			continue
		}
		if !c.CutsPods() {
			continue // its start was told whole
		}
		b.podRecovery(span.SpanID, pod, at.Set.Attributes(), failed, ready.At.At())
	}
	for _, set := range p.Sets {
		for _, ev := range set.Untold() {
			if _, at, ok := podInMessage(p, set, ev); ok && at.Change == c && !ev.First().Before(failed) {
				attach(span, ev, end)
			}
		}
	}
	attachDuring(span, p.Workload.Object)
	for _, ev := range p.Workload.Untold() {
		if c == p.Workload.Current() && c.Retried(evidence.Write{Arrival: ev.FirstArrival()}) {
			attach(span, ev, end) // the controller says so a little later
		}
	}
	return b.done()
}
