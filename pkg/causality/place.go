package causality

import (
	"math"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// placeOf is where a change's spans are. It is decided when it is asked for the
// first time: what links to the change has to lead to where it will be.
func (p *plan) placeOf(c *change) place {
	if !c.ledger.placed {
		c.ledger.join(p.join(c))
	}
	return p.issued.give(place{own: c.identity(p.unique()), joined: c.ledger.joined})
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
	if o.template && c.kind == attr.ChangeRollout && p.rollbackTo(c) > 0 {
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

// forgetChange drops the oldest change, but for the trace that it joined.
func (d *workload) forgetChange() {
	c := d.changes[0]
	d.changes = d.changes[1:]
	d.forgotten = max(d.forgotten, c.revision)
	if c.comparable() {
		d.lastCompleted = c
	}
	if c.kind != attr.ChangeRollout || !c.ledger.joined.IsValid() {
		return
	}
	d.ledger.joined(c.revision, c.ledger.joined)
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
		if c.kind == attr.ChangeRollout && c.revision == revision && c.partition == 0 {
			return p.placeOf(c)
		}
	}
	old := change{kind: attr.ChangeRollout, revision: revision}
	return p.issued.give(place{own: old.identity(p.unique()), joined: p.workload.ledger.joinedBy[revision]})
}
