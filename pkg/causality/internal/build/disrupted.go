package build

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// maxDisruptions bounds the disruptions that one change is linked to.
const maxDisruptions = 128

// addDisrupted shows in the starts of pods, and in the stops that the change waits for, the time in
// which their node was not what they needed, and links the change to what ailed it.
func (b *changeBuilder) addDisrupted() {
	var linked []*nodes.Disruption
	var parts map[trace.SpanID][]*spans.Span
	for _, pod := range b.plan.Pods {
		for _, s := range []*spans.Span{b.startSpans[pod], b.stopWaitedFor(pod)} {
			if s == nil {
				continue
			}
			for _, d := range b.plan.Around.DisruptionsOf(pod, s.Start, s.End) {
				if parts == nil {
					parts = b.parts()
				}
				b.disrupted(pod, d, s, phasesOf(s, parts))
				if !slices.Contains(linked, d) && len(linked) < maxDisruptions {
					linked = append(linked, d)
					Link(b.root, b.plan.Around.PlaceOfDisruption(d), attr.LinkCausedBy)
				}
			}
		}
	}
}

// stopWaitedFor is the stop of a pod that its controller removed for the change, and waited for;
// nil if there is none. That of a pod that was lost says itself what took the pod.
func (b *changeBuilder) stopWaitedFor(pod *podlife.Pod) *spans.Span {
	waits := b.recreates() || b.change.Kind == attr.ChangeDelete || b.plan.Workload.Controller.Replaces.InTheWay()
	stop := b.stopSpans[pod]
	if stop == nil || !waits {
		return nil
	}
	if _, said := stop.Attribute(attr.LinkCausedBy.TraceIDKey()); said {
		return nil
	}
	return stop
}

// disrupted shows a disruption in each phase of a pod's start, or stop, that it fell into. A
// kubelet that was started had been away since it was last heard of, where that can be told.
func (b *changeBuilder) disrupted(pod *podlife.Pod, d *nodes.Disruption, of *spans.Span, phases []phase) {
	from, until := d.Start.At(), of.End
	if d.Over {
		until = evidence.Earliest(until, d.End.At())
	}
	var stop []string
	var proof evidence.Proof
	if of.Kind == kind.PodStop {
		stop = []string{of.Kind.ID()}
	} else if silent, period := pod.SilentSince(from); d.Restarted() && !silent.IsZero() {
		from, proof = silent, evidence.Proof{Precision: period, Source: attr.SourceInferred}
	}
	n := 0
	for _, phase := range phases {
		begin, end := evidence.Latest(from, phase.Start), evidence.Earliest(until, phase.until)
		if !begin.Before(end) {
			continue
		}
		s := b.add(SpanSpec{
			parent: phase.SpanID, id: append([]string{kind.Disrupted.ID(), string(pod.UID), d.Place().TraceID().String(), strconv.Itoa(n)}, stop...),
			Kind: kind.Disrupted, Subject: d.Node.Subject(), Start: begin, End: end,
			Attrs:      append(b.podAttributes(pod), attr.CauseKey.String(string(d.Kind))),
			StartProof: proof,
		})
		proof = evidence.Proof{} // the next phase begins when it does
		Link(s, b.plan.Around.PlaceOfDisruption(d), attr.LinkCausedBy)
		n++
	}
}

// parts are the spans of the trace so far, by what they are below of.
func (b *changeBuilder) parts() map[trace.SpanID][]*spans.Span {
	b.work.Spend(len(b.spans))
	parts := map[trace.SpanID][]*spans.Span{}
	for _, s := range b.spans {
		parts[s.ParentID] = append(parts[s.ParentID], s)
	}
	return parts
}

// phase is the time that a span takes until it goes on with the first of its parts, if it has any.
type phase struct {
	*spans.Span
	until time.Time
}

// phasesOf are the spans below one that have no parts, and of a stop the time before its parts:
// nobody may get to its containers.
func phasesOf(s *spans.Span, parts map[trace.SpanID][]*spans.Span) (phases []phase) {
	until := s.End
	for _, part := range parts[s.SpanID] {
		until = evidence.Earliest(until, part.Start)
	}
	if s.Kind == kind.PodStop {
		phases = append(phases, phase{s, until})
	}
	for _, part := range parts[s.SpanID] {
		if len(parts[part.SpanID]) == 0 {
			phases = append(phases, phase{part, part.End})
		}
		phases = append(phases, phasesOf(part, parts)...)
	}
	return phases
}
