package build

import (
	"slices"
	"strconv"

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

// addDisrupted shows in the starts of pods the time in which their node was not what they
// needed, and links the change to what ailed it.
func (b *changeBuilder) addDisrupted() {
	var linked []*nodes.Disruption
	var parts map[trace.SpanID][]*spans.Span
	for _, pod := range b.plan.Pods {
		start := b.startSpans[pod]
		if start == nil {
			continue
		}
		for _, d := range b.plan.Around.DisruptionsOf(pod, start.Start, start.End) {
			if parts == nil {
				parts = b.parts()
			}
			b.disrupted(pod, d, phasesOf(start, parts))
			if !slices.Contains(linked, d) && len(linked) < maxDisruptions {
				linked = append(linked, d)
				Link(b.root, b.plan.Around.PlaceOfDisruption(d), attr.LinkCausedBy)
			}
		}
	}
}

// disrupted shows a disruption in each phase of a pod's start that it fell into. A kubelet
// that was started had been away since it was last heard of, where that can be told.
func (b *changeBuilder) disrupted(pod *podlife.Pod, d *nodes.Disruption, phases []*spans.Span) {
	from, until := d.Start.At(), b.startSpans[pod].End
	if d.Over {
		until = evidence.Earliest(until, d.End.At())
	}
	var proof evidence.Proof
	if silent, period := pod.SilentSince(from); d.Restarted() && !silent.IsZero() {
		from, proof = silent, evidence.Proof{Precision: period, Source: attr.SourceInferred}
	}
	n := 0
	for _, phase := range phases {
		begin, end := evidence.Latest(from, phase.Start), evidence.Earliest(until, phase.End)
		if !begin.Before(end) {
			continue
		}
		s := b.add(SpanSpec{
			parent: phase.SpanID, id: []string{kind.Disrupted.ID(), string(pod.UID), d.Place().TraceID().String(), strconv.Itoa(n)},
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

// phasesOf are the spans below one that have no parts.
func phasesOf(s *spans.Span, parts map[trace.SpanID][]*spans.Span) (phases []*spans.Span) {
	for _, part := range parts[s.SpanID] {
		if len(parts[part.SpanID]) == 0 {
			phases = append(phases, part)
		}
		phases = append(phases, phasesOf(part, parts)...)
	}
	return phases
}
