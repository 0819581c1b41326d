package causality

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// disruptions hands out the disruptions of nodes that are over, as far as wanted
// says.
func (e *Engine) disruptions(wanted extent) []spans.Trace {
	if wanted == everything {
		for _, n := range e.nodes.ByID {
			e.dueNodes.Set(n, e.now)
		}
	}
	var out []spans.Trace
	for _, n := range ready(e, &e.dueNodes, wanted, func(a, b *nodes.Record) int { return a.Compare(b.ObjectID) }) {
		e.dueNodes.Remove(n)
		var emitted []spans.Trace
		if f := e.guard(func() { emitted = e.disruptionsOf(n, wanted) }); f != nil {
			e.contain(f, "disruption", n.ObjectID, n.Name)
			e.drop(n.ObjectID)
			continue
		}
		out = append(out, emitted...)
	}
	return out
}

// disruptionsOf hands out the disruptions of one node that are over.
func (e *Engine) disruptionsOf(n *nodes.Record, wanted extent) (out []spans.Trace) {
	var again time.Time
	soon := e.opts.Quiet
	e.work.Spend(len(n.Disruptions))
	for _, d := range slices.Clone(n.Disruptions) {
		switch at := d.Seen.Add(e.untilEmitted(d)); {
		case d.Ledger.Sent || !d.Over && wanted != everything:
		case e.now.Before(at) && (wanted == whatSettled || wanted == whatIsOver && d.Kind == nodes.KubeletRestarted):
			again = evidence.Earliest(again, at) // the latter may be part of a reboot
		case n.PartOfReboot(d):
			d.Ledger.PassOver() // the reboot has its Event
			e.toldOf(d)
		default:
			out = append(out, e.emitDisruption(d))
			e.toldOf(d) // the Events about the node's pods may have been waiting for it
			soon = e.opts.Settle
		}
	}
	if !again.IsZero() {
		e.dueNodes.Earlier(n, evidence.Latest(again, e.now.Add(time.Nanosecond)))
	}
	if len(n.Untold()) > 0 {
		e.unsettled.Earlier(n.Object, e.now.Add(soon)) // Events may have been waiting for a disruption
	}
	return out
}

// untilEmitted is how long a disruption that is over waits for what may still be
// said of it.
func (e *Engine) untilEmitted(d *nodes.Disruption) time.Duration {
	if d.Kind == nodes.KubeletRestarted {
		return nodes.BootReach + e.settle() // it may turn out to be part of a reboot
	}
	return d.Tail() + e.settle()
}

// emitDisruption builds the trace of a disruption that is over, or of which no more will
// be known, and leads from it to what it led to.
func (e *Engine) emitDisruption(d *nodes.Disruption) spans.Trace {
	how, end := d.Outcome, d.End
	if !d.Over {
		how, end = attr.OutcomeOpen, evidence.Exactly(e.now)
	}
	t := build.DisruptionTrace(d, how, end, &e.work)
	e.linkConsequences(t.Root(), d)
	return t
}

// maxWithheld bounds the Events that wait for a disruption that goes on and on.
const maxWithheld = 128

// withoutWithheld leaves out the Events about a node that a disruption which is
// still to be handed out will have.
func (e *Engine) withoutWithheld(obj *podlife.Object, events []*podlife.Event) []*podlife.Event {
	n := e.nodes.ByID[obj.ObjectID]
	withheld := 0
	return slices.DeleteFunc(events, func(ev *podlife.Event) bool {
		wanted := n != nil && n.Wants(ev) || e.heldForNode(obj, ev)
		if withheld == maxWithheld || !wanted {
			return false
		}
		withheld++
		return true
	})
}

// lateNodeEvents hands out the Events about a node, or about the pods on it, that came
// after the disruption they tell of was handed out, and returns the others.
func (e *Engine) lateNodeEvents(obj *podlife.Object, events []*podlife.Event) (out []spans.Trace, left []*podlife.Event) {
	n := e.nodes.ByID[obj.ObjectID]
	for _, ev := range events {
		d := e.disruptionBehind(obj, ev)
		if n != nil {
			d = n.DisruptionOf(ev)
		}
		if d == nil || d.Ledger.Root == nil {
			left = append(left, ev)
			continue
		}
		about := build.SpanSpec{Kind: kind.LateEvents, Service: attr.ServiceNode, Subject: obj.Subject(), End: ev.First()}
		var app *spans.App
		if n == nil {
			about.Kind, about.Object = kind.Activity, build.KindOrNone(obj)
			about.Attrs, app = e.describe(obj)
		}
		out = append(out, build.LateEventsTrace(d.Ledger.Root, build.NodeAttributes(d.Node), app, about, []*podlife.Event{ev}, d.Ledger.Root.End.Add(d.Tail())))
	}
	return out, left
}

// A replacement is linked to what led to the loss of its pod, and that is linked
// to the replacement where it is handed out later: a disruption when it is over, a pod
// that others had to make room for when it has started. IDs are made of
// identities, so it does not matter whether the replacement is over by then.

// consequenceOf is what is to be known of a lost pod to link to its replacement.
func consequenceOf(lost *podlife.Pod) ledger.Consequence {
	return ledger.Consequence{Place: workloads.PlaceOfReplacement(lost), Lost: lost.UID, At: lost.LostAt().At()}
}

// linkAll leads from a span to the replacements of the pods lost up to a time;
// zero means all.
func (e *Engine) linkAll(s *spans.Span, cs ledger.Consequences, until time.Time) {
	for _, c := range cs {
		if until.IsZero() || !c.At.After(until) {
			build.Link(s, e.issued.Give(c.Place), attr.LinkCauses)
		}
	}
}

// replacing are the lost pods on a node, of those that are remembered, that a trace of
// their own tells of and that meet a condition.
func (e *Engine) replacing(node string, meets func(*podlife.Pod) bool) []*podlife.Pod {
	var found []*podlife.Pod
	for _, pod := range e.lost.from(node) {
		e.work.Spend(1)
		if !meets(pod) {
			continue
		}
		w := e.workloadOf(pod.Object)
		if w == nil {
			continue
		}
		plan := e.planOfAll(w)
		if plan == nil {
			continue
		}
		if at := plan.Stops[pod]; at.Lost != nil && at.Change == nil {
			found = append(found, pod)
		}
	}
	return found
}

// linkConsequences leads from a disruption that is over to what it led to: pods
// lost in its time. What is forgotten by now was noted when it was handed out.
func (e *Engine) linkConsequences(s *spans.Span, d *nodes.Disruption) {
	until := s.End.Add(d.Tail())
	for _, pod := range e.replacing(d.Node.Name, func(p *podlife.Pod) bool { return e.nodeCause(p, until) == d }) {
		d.Ledger.AddConsequence(consequenceOf(pod))
	}
	e.linkAll(s, d.Ledger.Consequences, until)
}

// linkVictims leads from the starts of pods that were built in this review to
// the replacements of those that had to make room for them.
func (r *reviewer) linkVictims() {
	starts := map[*podlife.Pod]*spans.Span{}
	var built map[trace.SpanID]*spans.Span
	for _, pod := range r.plan.Pods {
		if pod.Ledger.StartSpan == nil || pod.NominatedNode == "" && len(pod.Ledger.Victims) == 0 {
			continue // the scheduler took nobody away for it
		}
		if built == nil {
			built = r.built()
		}
		if s := built[pod.Ledger.StartSpan.SpanID]; s != nil {
			starts[pod] = s
		}
	}
	if len(starts) == 0 {
		return
	}
	e := r.engine
	// They were on the node of the pod, or on the one that the scheduler nominated for it.
	on := map[string]bool{}
	for pod := range starts {
		on[pod.Node], on[pod.NominatedNode] = true, true
	}
	for _, node := range slices.Sorted(maps.Keys(on)) {
		for _, victim := range e.replacing(node, func(pod *podlife.Pod) bool { return starts[e.preemptor(pod)] != nil }) {
			e.preemptor(victim).Ledger.AddVictim(consequenceOf(victim))
		}
	}
	for pod, s := range starts {
		e.linkAll(s, pod.Ledger.Victims, time.Time{})
	}
}

// built are the spans that this review hands out.
func (r *reviewer) built() map[trace.SpanID]*spans.Span {
	built := map[trace.SpanID]*spans.Span{}
	for i := range r.out {
		for j := range r.out[i].Spans {
			s := &r.out[i].Spans[j]
			built[s.SpanID] = s
		}
	}
	return built
}
