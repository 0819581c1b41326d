package plans

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// CronJobOf is what is known of the CronJob that made a Job: who it is, at the least.
func (p *Plan) CronJobOf() *podlife.Object {
	if p.Cron != nil {
		return p.Cron
	}
	return &podlife.Object{ObjectID: p.Workload.CronJob.ID, Name: p.Workload.CronJob.Name}
}

// PlaceOfSchedule is that of a scheduled time, which is nobody's to deploy. It is
// decided when it is asked for the first time: the Job's run has to link to it.
func (p *Plan) PlaceOfSchedule() ledger.Place {
	c := p.Workload.CronJob
	if c.Ledger.Place == nil {
		c.Ledger.Decide(PlaceOfTime(p.CronJobOf(), c.At))
	}
	return p.Issued.Give(*c.Ledger.Place)
}

// PlaceOfTime is where the trace of a time of a CronJob's schedule is.
func PlaceOfTime(cron *podlife.Object, at time.Time) ledger.Place {
	return ledger.OwnPlace(cron.Unique(), string(attr.ChangeSchedule), strconv.FormatInt(at.Unix(), 10))
}

// PlaceOf is where a change's spans are. It is decided when it is asked for the
// first time: what links to the change has to lead to where it will be.
func (p *Plan) PlaceOf(c *workloads.Change) ledger.Place {
	if !c.Ledger.Placed {
		c.Ledger.Join(p.Join(c))
	}
	return p.Issued.Give(ledger.Place{Own: c.Identity(p.Workload.Unique()), Joined: c.Ledger.Joined})
}

// Join is the context that the change's root is to be a child of, if any.
func (p *Plan) Join(c *workloads.Change) trace.SpanContext {
	if !p.Joins || !c.Deployed() {
		return trace.SpanContext{}
	}
	for _, o := range c.Offers {
		if o.Context.IsSampled() && o.FreshFor(c) && !p.isOld(o, c) && !p.Issued.Has(o.Context.TraceID()) {
			return o.Context
		}
	}
	return trace.SpanContext{}
}

// isOld reports whether an offer that is new to the workload is known all the
// same to be an old one: a rollback restores the template that the revision had,
// and kubectl the workload's annotations, which it finds on the ReplicaSet.
func (p *Plan) isOld(o workloads.Offer, c *workloads.Change) bool {
	if o.Template && c.Kind == attr.ChangeRollout && p.RollbackTo(c) > 0 {
		return true
	}
	return slices.ContainsFunc(p.Sets, func(set *workloads.PodSet) bool {
		return slices.ContainsFunc(set.ListedContexts, func(have trace.SpanContext) bool { return workloads.SameSpan(have, o.Context) })
	})
}

// RollbackTo is the revision that a rollout goes back to, 0 if it is none.
func (p *Plan) RollbackTo(c *workloads.Change) int64 {
	if c.RollbackTo > 0 {
		return c.RollbackTo
	}
	for _, set := range p.Sets {
		if set.Gone && set.DeletedBy.Before(c.Opened) {
			continue // its numbers are of before: see workloads.Workload.RolloutOf
		}
		if to, ok := set.RolledBackTo[c.Revision]; ok {
			return to
		}
	}
	return 0
}

// PlaceOfRevision is where the rollout of a revision is, which may have been handed out
// long ago.
func (p *Plan) PlaceOfRevision(revision int64) ledger.Place {
	if c := p.Workload.RolloutOf(revision); c != nil {
		return p.PlaceOf(c)
	}
	old := workloads.Change{Kind: attr.ChangeRollout, Revision: revision}
	return p.Issued.Give(ledger.Place{Own: old.Identity(p.Workload.Unique()), Joined: p.Workload.Ledger.JoinedBy[revision]})
}
