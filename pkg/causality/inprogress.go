package causality

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/timers"
	"github.com/rollspan/rollspan/pkg/causality/internal/waits"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// A change that stays open is told of before it ends: for each interval that it
// has lasted, a span "in progress" below the root that is to come says what the
// change was waiting for at the end of the interval.
//
// No span ID may go out twice with different content, not even from two
// processes of which one takes over from the other. So a span's ID is made of the
// time at which its interval ends, an engine tells only of intervals that end
// after it began to look, and each only once it is over. What the one that died
// has told of had ended by then.

// origin is where a change's intervals are counted from: the end of the second
// in which it began. Its root never begins later, whatever else becomes known of
// the beginning, and whoever sees it only in the second that the API states
// counts from the same time.
func origin(start evidence.Moment) time.Time {
	return nodes.EarliestOf(start).Truncate(time.Second).Add(time.Second)
}

// tellsOfOpen reports whether spans of what is open are to be handed out.
func (r *reviewer) tellsOfOpen() bool {
	return r.engine.opts.InProgressAfter > 0 && r.wanted == whatSettled
}

// inProgress hands out spans of what is open: a change, a replacement.
func (r *reviewer) inProgress() {
	if !r.tellsOfOpen() {
		return
	}
	if c := r.plan.Workload.Current(); c != nil && !c.Ledger.Sent {
		r.changeInProgress(c)
	}
	if r.plan.Workload.Controller.Replaces == workloads.NeverReplaced {
		return // nobody makes another pod in the place of one
	}
	next := build.Successors(r.plan)
	for _, lost := range r.plan.Pods {
		r.replacementInProgress(lost, next[lost])
	}
}

// interval returns the interval to tell of, of what began at start and was handed out up
// to emitted: the latest that is over, and with it those before that were missed
// because time made a leap.
func (r *reviewer) interval(start evidence.Moment, emitted time.Time) (from, until time.Time, ok bool) {
	e := r.engine
	// As with changes that have ended: what is still on its way may say that it
	// was over by then. Nor is a list that is not through yet the whole story.
	settle := e.settle()
	known := e.now.Add(-settle)
	if known.Before(e.listed) {
		r.nextReview = evidence.Earliest(r.nextReview, e.listed.Add(settle))
		return from, until, false
	}
	iv := timers.Intervals{After: e.opts.InProgressAfter, Every: e.opts.InProgressEvery}
	from = origin(start)
	age := known.Sub(from)
	last := iv.Last(age)
	r.nextReview = evidence.Earliest(r.nextReview, from.Add(iv.Next(age)).Add(settle))
	until = from.Add(last)
	if last == 0 || !until.After(emitted) || !until.After(e.since) {
		return from, until, false
	}
	if emitted.IsZero() && e.since.After(from) {
		emitted = from.Add(iv.Last(e.since.Sub(from)))
	}
	return evidence.Latest(from, emitted), until, true
}

// changeInProgress tells of a change of the workload that is open, and whose
// identity is settled. A deletion is not told of, as it is handed out within a
// minute.
func (r *reviewer) changeInProgress(c *workloads.Change) {
	if c.Over() || c.Kind == attr.ChangeDelete || r.plan.Idle(c) || !r.plan.Workload.MayBeTold(c) {
		return
	}
	pending := r.plan.Workload.Pending
	from, until, ok := r.interval(c.Start, c.Ledger.InProgress)
	if !ok || pending != nil && c.Opened.Before(pending.Opened) && until.After(nodes.EarliestOf(pending.Start)) {
		// The next template is written. If the controller takes it up, the
		// change ended when that was.
		return
	}
	c.Ledger.EmitUpTo(until)
	attrs := []attribute.KeyValue{attr.InProgressKey.String(string(c.Kind))}
	if c.Revision > 0 {
		attrs = append(attrs, attr.RevisionKey.Int64(c.Revision))
	}
	r.out = append(r.out, build.NewLate(r.plan, c).InProgressTrace(build.SpanSpec{
		Service: r.plan.Workload.Service(), Subject: r.plan.Workload.Subject(), Start: from, End: until, Attrs: attrs,
	}, waits.ForChange(r.plan, c, until)))
}

// replacementInProgress tells of a lost pod in whose place there is none that is
// ready.
func (r *reviewer) replacementInProgress(lost, next *podlife.Pod) {
	at := r.plan.Stops[lost]
	if at.Lost == nil || at.Change != nil || lost.Ledger.StopSent || lost.Ledger.Replaced != nil || lost.Ledger.Filled {
		return
	}
	if next == nil && r.plan.Workload.ChangeAfter(lost.LostBy()) != nil {
		return
	}
	if next != nil {
		if _, over := next.StartResolved(); over {
			return
		}
	}
	from, until, ok := r.interval(lost.LostAt(), lost.Ledger.InProgress)
	if !ok || until.Sub(origin(lost.LostAt())) < plans.DeletionReach {
		return // it may turn out to belong to what is about to be deleted
	}
	lost.Ledger.EmitUpTo(until)
	r.out = append(r.out, build.NewReplacement(r.plan, lost, true).InProgressTrace(build.SpanSpec{
		Service: at.Set.Service(r.plan.Workload), Subject: lost.Subject(), Start: from, End: until,
		Attrs: slices.Concat([]attribute.KeyValue{attr.InProgressKey.String(string(attr.ChangeReplacement))}, at.Set.Attributes(), lost.Attributes()),
	}, waits.ForReplacement(at.Set, lost, next, until)))
}

// restartInProgress tells of a container that does not get to run again, or whose pod is not
// Ready since.
func (r *reviewer) restartInProgress(restart *build.Restart) {
	if !r.tellsOfOpen() {
		return
	}
	container := restart.Container()
	if !container.Ledger.WillEmit(restart.From) {
		return
	}
	from, until, ok := r.interval(restart.Began(), container.Ledger.InProgress)
	if !ok {
		return
	}
	container.Ledger.EmitUpTo(until)
	r.out = append(r.out, build.RestartInProgress(r.plan, restart, from, until))
}
