package causality

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// A replacement is linked to what led to the loss of its pod, and that is linked
// to the replacement where it is told later: a disruption when it is over, a pod
// that others had to make room for when it has started. IDs are made of
// identities, so it does not matter whether the replacement is over by then.

// consequenceOf is what is to be known of a lost pod to link to its replacement.
func consequenceOf(lost *pod) consequence {
	return consequence{placeOfReplacement(lost), lost.uid, lost.lostAt().at()}
}

// linkAll leads from a span to the replacements of the pods lost up to a time;
// zero means all.
func (e *Engine) linkAll(s *spans.Span, cs consequences, until time.Time) {
	for _, c := range cs {
		if until.IsZero() || !c.at.After(until) {
			link(s, e.issued.give(c.place), attr.LinkCauses)
		}
	}
}

// replacing are the lost pods, of those that are remembered, that a trace of
// their own tells of and that meet a condition.
func (e *Engine) replacing(meets func(*pod) bool) []*pod {
	var found []*pod
	for _, p := range e.pods {
		if !p.lost() || !meets(p) {
			continue
		}
		d := e.workloadOf(p.object)
		if d == nil {
			continue
		}
		plan := e.planOf(d)
		if plan == nil {
			continue
		}
		if s := plan.stops[p]; s.lost != nil && s.change == nil {
			found = append(found, p)
		}
	}
	return found
}

// linkConsequences leads from a disruption that is over to what it led to: pods
// lost in its time. What is forgotten by now was noted when it was told.
func (e *Engine) linkConsequences(s *spans.Span, d *disruption) {
	until := s.End.Add(d.tail())
	for _, p := range e.replacing(func(p *pod) bool { return p.node == d.node.name && e.nodeCause(p, until) == d }) {
		d.ledger.lost(consequenceOf(p))
	}
	e.linkAll(s, d.ledger.led, until)
}

// linkVictims leads from the starts of pods that were built in this review to
// the replacements of those that had to make room for them.
func (r *reviewer) linkVictims() {
	starts := map[*pod]*spans.Span{}
	var built map[trace.SpanID]*spans.Span
	for _, q := range r.pods {
		if q.ledger.startSpan == nil || q.nominatedNode == "" && len(q.ledger.victims) == 0 {
			continue // the scheduler took nobody away for it
		}
		if built == nil {
			built = r.built()
		}
		if s := built[q.ledger.startSpan.spanID]; s != nil {
			starts[q] = s
		}
	}
	if len(starts) == 0 {
		return
	}
	e := r.engine
	for _, victim := range e.replacing(func(p *pod) bool { return starts[e.preemptor(p)] != nil }) {
		e.preemptor(victim).ledger.lost(consequenceOf(victim))
	}
	for q, s := range starts {
		e.linkAll(s, q.ledger.victims, time.Time{})
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
