package causality

import (
	"math"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// place is where the spans of a change are: in a trace of its own, or in that
// of who deployed it.
//
// The IDs of spans are made of the change's identity in either case. So
// changes that join one trace, as those of one `kubectl apply` do, keep apart in
// it, and a span's ID does not depend on whether its change joined one.
type place struct {
	// own is the change's identity, hashed: the ID of its trace if it joined
	// none.
	own trace.TraceID
	// joined is the span that the change's root is a child of, if there is one.
	joined trace.SpanContext
}

// ownPlace is the place of a change that never joins another's trace.
func ownPlace(identity ...string) place { return place{own: spans.NewTraceID(identity...)} }

// traceID is the trace that the spans are in.
func (p place) traceID() trace.TraceID {
	if p.joined.IsValid() {
		return p.joined.TraceID()
	}
	return p.own
}

// rootID is the ID of the change's own span.
func (p place) rootID() trace.SpanID { return p.spanID("root") }

// spanID is the ID of the span that has this identity among the change's.
func (p place) spanID(identity ...string) trace.SpanID { return spans.NewSpanID(p.own, identity...) }

// placeOf is where a change's spans are. It is decided when it is asked for the
// first time: what links to the change has to lead to where it will be.
func (p *plan) placeOf(c *change) place {
	if !c.placed {
		c.placed, c.joined = true, p.join(c)
	}
	return p.issued.give(place{own: c.identity(p.unique()), joined: c.joined})
}

// join is the context that the change's root is to be a child of, if any.
func (p *plan) join(c *change) trace.SpanContext {
	if !p.joins || !c.deployed() {
		return trace.SpanContext{}
	}
	for _, o := range c.offers {
		if o.context.IsSampled() && o.freshFor(c) && !p.isOld(o, c) && !p.issued.has(o.context.TraceID()) {
			return o.context
		}
	}
	return trace.SpanContext{}
}

// isOld reports whether an offer that is new to the workload is known all the
// same to be an old one: a rollback restores the template that the revision had,
// and kubectl the workload's annotations, which it finds on the ReplicaSet.
func (p *plan) isOld(o offer, c *change) bool {
	if o.template && c.kind == changeRollout && p.rollbackTo(c) > 0 {
		return true
	}
	return slices.ContainsFunc(p.sets, func(rs *podSet) bool {
		return slices.ContainsFunc(rs.listedContexts, func(have trace.SpanContext) bool { return sameSpan(have, o.context) })
	})
}

// rollbackTo is the revision that a rollout goes back to, 0 if it is none.
func (p *plan) rollbackTo(c *change) int64 {
	if c.rollbackTo > 0 {
		return c.rollbackTo
	}
	for _, rs := range p.sets {
		if to, ok := rs.rolledBackTo[c.revision]; ok {
			return to
		}
	}
	return 0
}

// maxJoined bounds what is kept of the rollouts that joined a trace: more than
// the revisions that a workload keeps, unless it was told to keep many.
const maxJoined = 32

// forgetChange drops the oldest change, but for the trace that it joined.
func (d *workload) forgetChange() {
	c := d.changes[0]
	d.changes = d.changes[1:]
	d.forgotten = max(d.forgotten, c.revision)
	if c.comparable() {
		d.lastCompleted = c
	}
	if c.kind != changeRollout || !c.joined.IsValid() {
		return
	}
	if d.joinedBy == nil {
		d.joinedBy = map[int64]trace.SpanContext{}
	}
	d.joinedBy[c.revision] = c.joined
	keepNewest(d.joinedBy, maxJoined)
}

// keepNewest leaves what belongs to the highest revisions, so many of them.
func keepNewest[V any](byRevision map[int64]V, most int) {
	for len(byRevision) > most {
		oldest := int64(math.MaxInt64)
		for revision := range byRevision {
			oldest = min(oldest, revision)
		}
		delete(byRevision, oldest)
	}
}

// placeOfRevision is where the rollout of a revision is, which may have been
// told long ago.
func (p *plan) placeOfRevision(revision int64) place {
	for _, c := range p.changes {
		if c.kind == changeRollout && c.revision == revision && c.partition == 0 {
			return p.placeOf(c)
		}
	}
	old := change{kind: changeRollout, revision: revision}
	return p.issued.give(place{own: old.identity(p.unique()), joined: p.joinedBy[revision]})
}
