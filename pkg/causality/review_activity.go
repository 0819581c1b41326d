package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// activities hands out the Events that no change tells of: bursts of Events
// about one object, as traces of their own. So no Event is lost.
func (e *Engine) activities(wanted extent) []spans.Trace {
	var out []spans.Trace
	known := map[*workloads.Workload]*plans.Plan{} // made once: nothing is observed meanwhile
	for _, obj := range ready(e, &e.unsettled, wanted, func(a, b *podlife.Object) int { return a.Compare(b.ObjectID) }) {
		if e.objects[obj.ObjectID] != obj {
			e.settled(obj) // forgotten, or merged into another
			continue
		}
		var emitted []spans.Trace
		if f := e.guard(func() {
			e.plans = known
			emitted = e.activitiesOf(obj, wanted)
		}); f != nil {
			known = map[*workloads.Workload]*plans.Plan{} // some of them may be half a plan
			e.contain(f, "activity", obj.ObjectID, obj.Name)
			e.dropObserved(obj.ObjectID)
			continue
		}
		out = append(out, emitted...)
	}
	return out
}

// activitiesOf hands out the bursts of Events about one object that are over.
func (e *Engine) activitiesOf(obj *podlife.Object, wanted extent) (out []spans.Trace) {
	e.worked += len(obj.Events)
	e.awaited.note(obj, awaits{})
	again := e.now.Add(podlife.EventLife)
	left := obj.Untold()
	untold := len(left)
	left = e.withoutWithheld(obj, left)
	withheld := untold > len(left) && e.nodes.ByID[obj.ObjectID] == nil // a node is looked at with its disruptions
	if wanted == whatIsOver {
		left = e.settledEvents(left) // the rest is old news to who comes next
	}
	schedule := e.scheduleEvents(obj, left, wanted)
	out, left, withheld = schedule.out, schedule.left, withheld || schedule.held
	if schedule.held {
		again = e.now.Add(e.opts.Settle)
	}
	for len(left) > 0 {
		b := e.burst(left)
		if wanted == whatSettled && e.now.Before(b.over) {
			again = evidence.Earliest(again, b.over)
			break
		}
		if wanted != everything {
			if open, by := e.claimable(obj); by != nil {
				e.awaitReview(by, obj)
				break
			} else if open {
				again = evidence.Earliest(again, e.now.Add(e.opts.Settle))
				break
			}
		}
		late, own := e.lateEvents(obj, b.events)
		out = append(out, late...)
		attrs, app := e.describe(obj)
		if t, ok := build.ActivityTrace(obj, attrs, app, own, b.cut); ok {
			e.stats.Orphans["Event"] += int64(len(t.Root().Events))
			out = append(out, t)
		}
		left = b.rest
	}
	if len(left) == 0 && !withheld {
		e.settled(obj)
		if pod := e.pods[obj.ObjectID]; pod != nil && pod.Gone.Known() {
			e.touch(e.workloadOf(obj)) // the pod may have been kept for them: see forget
		}
	} else {
		e.unsettled.Set(obj, again)
	}
	return out
}

// longestBurst bounds a burst of Events: some emitters never pause, and what has no
// end would not be handed out.
const longestBurst = 10 * time.Minute

// burst is the first burst of Events about an object.
type burst struct {
	events, rest []*podlife.Event
	over         time.Time
	// cut is when it ends although more follows, or zero.
	cut time.Time
}

// burst goes by when Events came, and not by when somebody looks at them: that
// depends on what else goes on in the cluster.
func (e *Engine) burst(events []*podlife.Event) burst {
	var since time.Time
	for _, ev := range events {
		since = evidence.Earliest(since, ev.FirstArrival())
	}
	var b burst
	limit := since.Add(longestBurst)
	for _, ev := range events {
		if !ev.FirstArrival().Before(limit) {
			b.rest = append(b.rest, ev)
			continue
		}
		b.events = append(b.events, ev)
		b.over = evidence.Latest(b.over, ev.LastArrival.Add(e.opts.Quiet))
	}
	if b.over.After(limit) {
		b.over, b.cut = limit, limit
	}
	return b
}

// endToCome reports whether the end of a pod is still to be told that its kubelet ends, or has
// ended: that the kubelet said so, in its Events, is part of it.
func (e *Engine) endToCome(pod *podlife.Pod) bool {
	if pod == nil {
		return false
	}
	gone := pod.Gone.Known() && e.now.After(pod.GoneSeen.Add(e.opts.Linger))
	_, started := pod.FirstReady()
	ended := pod.EndedUndeleted() && (started || !pod.Unowned()) && !pod.LostFirst && !pod.Ledger.StopSent && !gone
	return ended || pod.BeingEnded(e.now)
}

// lateEvents hands out the Events that belong to spans which went out before
// the Events came: a busy recorder may be that late. They go into the same
// trace, as a span below the one they would have been on. So do the Events of
// what else belongs to a workload, in the time of its changes. It returns what
// is left.
func (e *Engine) lateEvents(obj *podlife.Object, events []*podlife.Event) (out []spans.Trace, left []*podlife.Event) {
	w := e.workloadAbove(obj)
	if w == nil {
		return e.lateNodeEvents(obj, events)
	}
	what := kind.LateEvents
	if e.workloadOf(obj) == nil {
		what = kind.Activity
	}
	groups := map[*ledger.SentSpan][]*podlife.Event{}
	var order []*ledger.SentSpan
	for _, ev := range events {
		s := e.sentSpanOf(w, obj, ev)
		if s == nil {
			left = append(left, ev)
			continue
		}
		if groups[s] == nil {
			order = append(order, s)
		}
		groups[s] = append(groups[s], ev)
	}
	if len(order) == 0 {
		return e.lateNodeEvents(obj, left)
	}
	attrs, app := e.describe(obj)
	for _, s := range order {
		evs := groups[s]
		out = append(out, build.LateEventsTrace(s, attrs, app, build.SpanSpec{
			Kind: what, Object: build.KindOrNone(obj), Service: attr.ServiceUnknown, Subject: obj.Subject(), End: evs[len(evs)-1].First(),
		}, evs, s.End))
	}
	behind, left := e.lateNodeEvents(obj, left)
	return append(out, behind...), left
}

// sentSpanOf finds the span, handed out before, in whose time an Event of its
// object lies.
func (e *Engine) sentSpanOf(w *workloads.Workload, obj *podlife.Object, ev *podlife.Event) *ledger.SentSpan {
	t := ev.First()
	if pod := e.pods[obj.ObjectID]; pod != nil {
		switch {
		case pod.Ledger.StartSpan != nil && (!t.After(pod.Ledger.StartSpan.End) || build.StartsOn(pod, t)):
			return pod.Ledger.StartSpan
		case pod.Ledger.StopSpan != nil && !t.Before(pod.Ledger.StopSpan.Start.Add(-evidence.ArrivalSlack)):
			// Without this Event the stop was dated by its arrival.
			return pod.Ledger.StopSpan
		}
		return e.sentSpanAfterStart(w, pod, ev)
	}
	// A controller tells of what it did a little after it did it, and an autoscaler of what
	// it wrote when the controller has acted on it already.
	const slack = evidence.ArrivalSlack
	own := e.workloadOf(obj) != nil
	newest := true
	for _, c := range slices.Backward(w.Changes) {
		if c.Ledger.Root == nil || t.Before(c.Ledger.Root.Start) {
			continue
		}
		if !t.After(c.Ledger.Root.End.Add(slack)) {
			return c.Ledger.Root
		}
		if newest && own && c.Kind == attr.ChangeRollout && c.Outcome() == attr.OutcomeFailed {
			return c.Ledger.Root // the controllers go on with it until there is another
		}
		newest = false
	}
	return nil
}
