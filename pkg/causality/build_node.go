package causality

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// disruptions hands out the disruptions of nodes that are over, as far as wanted
// says.
func (e *Engine) disruptions(wanted extent) []spans.Trace {
	if wanted == everything {
		for _, n := range e.nodes.byID {
			e.nodes.due[n] = true
		}
	}
	due := make([]*nodeRecord, 0, len(e.nodes.due))
	for n := range e.nodes.due {
		due = append(due, n)
	}
	slices.SortFunc(due, func(a, b *nodeRecord) int { return a.compare(b.objectID) })
	var out []spans.Trace
	for _, n := range due {
		delete(e.nodes.due, n)
		var told []spans.Trace
		if f := e.guard(func() { told = e.disruptionsOf(n, wanted) }); f != nil {
			e.contain(f, "disruption", n.objectID, n.name)
			e.drop(n.objectID)
			continue
		}
		out = append(out, told...)
	}
	return out
}

// disruptionsOf hands out the disruptions of one node that are over.
func (e *Engine) disruptionsOf(n *nodeRecord, wanted extent) (out []spans.Trace) {
	var again time.Time
	for _, d := range slices.Clone(n.disruptions) {
		switch at := d.seen.Add(e.untilTold(d)); {
		case d.ledger.sent || !d.over && wanted != everything:
		case e.now.Before(at) && (wanted == whatSettled || wanted == whatIsOver && d.kind == nodeKubeletRestarted):
			again = earliest(again, at) // the latter may be part of a reboot
		case n.partOfReboot(d):
			d.ledger.passOver() // the reboot has its Event
		default:
			out = append(out, e.tellDisruption(d))
		}
	}
	if !again.IsZero() {
		e.nodes.due[n] = true
		e.wake(latest(again, e.now.Add(time.Nanosecond)))
	}
	if len(n.unclaimed()) > 0 {
		e.unsettled[n.object] = true // Events may have been waiting for a disruption
		e.wakeForEvents(e.now.Add(e.opts.Quiet))
	}
	return out
}

// untilTold is how long a disruption that is over waits for what may still be
// said of it.
func (e *Engine) untilTold(d *disruption) time.Duration {
	if d.kind == nodeKubeletRestarted {
		return bootReach + e.settle() // it may turn out to be part of a reboot
	}
	return d.tail() + e.settle()
}

// tellDisruption builds the trace of a disruption that is over, or of which no more will
// be known, and leads from it to what it led to.
func (e *Engine) tellDisruption(d *disruption) spans.Trace {
	how, end := d.outcome, d.end
	if !d.over {
		how, end = attr.OutcomeOpen, exactly(e.now)
	}
	t := buildDisruption(d, how, end, &e.work)
	e.linkConsequences(t.Root(), d)
	return t
}

func buildDisruption(d *disruption, how attr.Outcome, over moment, work *work) spans.Trace {
	b := &builder{place: d.place(), base: d.node.attributes(), work: work}
	start := d.start.at()
	var events []*event
	for _, ev := range d.node.unclaimed() {
		if d.node.disruptionOf(ev) == d {
			events = append(events, ev)
			start = earliest(start, ev.first())
		}
	}
	attrs := []attribute.KeyValue{
		attr.ChangeKey.String(string(attr.ChangeDisruption)),
		attr.OutcomeKey.String(string(how)),
		attr.CauseKey.String(string(d.kind)),
	}
	for _, kv := range []attribute.KeyValue{
		attr.ManagerKey.String(d.manager),
		attr.ConditionReasonKey.String(d.reason),
		attr.ConditionMessageKey.String(d.message),
	} {
		if kv.Value.AsString() != "" {
			attrs = append(attrs, kv)
		}
	}
	root := b.add(node{
		kind: kind.NodeDisruption, service: d.service(), subject: d.node.subject(),
		start: start, end: latest(over.at(), d.start.at()), attrs: attrs,
	})
	switch d.kind {
	case nodeNotReady, nodeUnreachable, nodeNetworkUnavailable:
		fail(root, failure{reason: cmp.Or(d.reason, string(d.kind)), message: d.message})
	}
	for _, ev := range events {
		attach(root, ev, root.End.Add(d.tail()))
	}
	d.ledger.told(b.remember(root))
	return b.done()
}

// service is who found the node so, or made it so.
func (d *disruption) service() string {
	switch d.kind {
	case nodeCordoned:
		return cmp.Or(d.manager, attr.ServiceNode)
	case nodeUnreachable, nodeNetworkUnavailable, nodeDeleted:
		return attr.ServiceNode
	default:
		return attr.ServiceKubelet
	}
}

func (n *nodeRecord) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.K8SNodeName(n.name),
		semconv.K8SNodeUID(string(n.uid)),
	}
}

// maxWithheld bounds the Events that wait for a disruption that goes on and on.
const maxWithheld = 128

// notWithheld leaves out the Events about a node that a disruption which is
// still to be told will have.
func (e *Engine) notWithheld(obj *object, events []*event) []*event {
	n := e.nodes.byID[obj.objectID]
	if n == nil {
		return events
	}
	withheld := 0
	return slices.DeleteFunc(events, func(ev *event) bool {
		if withheld == maxWithheld || !n.wants(ev) {
			return false
		}
		withheld++
		return true
	})
}

// lateNodeEvents hands out the Events about a node that came after the
// disruption they tell of was handed out, and returns the others.
func (e *Engine) lateNodeEvents(obj *object, events []*event) (out []spans.Trace, left []*event) {
	n := e.nodes.byID[obj.objectID]
	if n == nil {
		return nil, events
	}
	for _, ev := range events {
		d := n.disruptionOf(ev)
		if d == nil || d.ledger.root == nil {
			left = append(left, ev)
			continue
		}
		out = append(out, buildLateEvents(d.ledger.root, n.attributes(), node{
			kind: kind.LateEvents, service: attr.ServiceNode, subject: n.subject(), end: ev.first(),
		}, []*event{ev}, d.ledger.root.end.Add(d.tail())))
	}
	return out, left
}
