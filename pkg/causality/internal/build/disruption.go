package build

import (
	"cmp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// DisruptionTrace builds the trace of a node's disruption, which ended at over, or is cut there.
func DisruptionTrace(d *nodes.Disruption, how attr.Outcome, over evidence.Moment, work *evidence.Work) spans.Trace {
	b := &builder{place: d.Place(), base: NodeAttributes(d.Node), work: work}
	start := d.Start.At()
	var events []*podlife.Event
	for _, ev := range d.Node.Untold() {
		if d.Node.DisruptionOf(ev) == d {
			events = append(events, ev)
			start = evidence.Earliest(start, ev.First())
		}
	}
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeDisruption)),
		attr.OutcomeKey.String(string(how)),
		attr.CauseKey.String(string(d.Kind)),
	}
	for _, kv := range []attribute.KeyValue{
		attr.ManagerNameKey.String(d.Manager),
		attr.ConditionReasonKey.String(d.Reason),
		attr.ConditionMessageKey.String(d.Message),
	} {
		if kv.Value.AsString() != "" {
			attrs = append(attrs, kv)
		}
	}
	if d.Ahead != 0 {
		attrs = append(attrs, evidence.Seconds(attr.ClockOffsetKey, d.Ahead.Round(time.Millisecond)))
	}
	attrs = append(attrs, d.Condition()...)
	root := b.add(SpanSpec{
		Kind: kind.NodeDisruption, Service: disruptionService(d), Subject: d.Node.Subject(),
		Start: start, End: evidence.Latest(over.At(), d.Start.At()), Attrs: attrs, StartProof: unheardStart(d, start),
	})
	switch {
	case d.Kind == nodes.NotReady, d.Kind == nodes.Unreachable, d.Kind == nodes.NetworkUnavailable, d.IsProblem():
		fail(root, evidence.Failure{Reason: cmp.Or(d.Reason, string(d.Kind)), Message: d.Message})
	}
	for _, ev := range events {
		attach(root, ev, root.End.Add(d.Tail()))
	}
	d.Ledger.Emit(b.remember(root))
	return b.done()
}

// unheardStart says of a disruption that had begun when its node was first seen, or soon after, and of whose
// beginning no Event tells, that it may have begun before the node's conditions said so.
func unheardStart(d *nodes.Disruption, start time.Time) (proof evidence.Proof) {
	if d.Kind == nodes.Cordoned || start.Before(nodes.EarliestOf(d.Start)) || !start.Add(-d.Lead()).Before(d.Node.FirstSeen) {
		return proof
	}
	return evidence.Proof{Precision: start.Sub(evidence.Latest(start.Add(-d.Lead()), d.Node.Created)), Source: attr.SourceInferred}
}

// disruptionService is who found the node so, or made it so.
func disruptionService(d *nodes.Disruption) string {
	if d.IsProblem() {
		return d.FoundBy()
	}
	switch d.Kind {
	case nodes.Cordoned:
		return cmp.Or(d.Manager, attr.ServiceNode)
	case nodes.Unreachable, nodes.NetworkUnavailable, nodes.Deleted:
		return attr.ServiceNode
	default:
		return attr.ServiceKubelet
	}
}

// NodeAttributes are on every span about a node.
func NodeAttributes(n *nodes.Record) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.K8SNodeName(n.Name),
		semconv.K8SNodeUID(string(n.UID)),
	}
}
