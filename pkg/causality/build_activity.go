package causality

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// activities hands out the Events that no change tells of: bursts of Events
// about one object, as traces of their own. So no Event is lost.
func (e *Engine) activities(wanted extent) []spans.Trace {
	objs := make([]*object, 0, len(e.unsettled))
	for obj := range e.unsettled {
		objs = append(objs, obj)
	}
	slices.SortFunc(objs, func(a, b *object) int { return a.compare(b.objectID) })
	var out []spans.Trace
	for _, obj := range objs {
		if e.objects[obj.objectID] != obj {
			delete(e.unsettled, obj) // forgotten, or merged into another
			continue
		}
		var told []spans.Trace
		if f := e.guard(func() { told = e.activitiesOf(obj, wanted) }); f != nil {
			e.contain(f, "activity", obj.objectID, obj.name)
			e.dropObserved(obj.objectID)
			continue
		}
		out = append(out, told...)
	}
	return out
}

// activitiesOf hands out the bursts of Events about one object that are over.
func (e *Engine) activitiesOf(obj *object, wanted extent) (out []spans.Trace) {
	left := e.notWithheld(obj, obj.unclaimed())
	if wanted == whatIsOver {
		left = e.ripe(left) // the rest is old news to who comes next
	}
	for len(left) > 0 {
		b := e.burst(left)
		if wanted == whatSettled && e.now.Before(b.over) || wanted != everything && e.claimable(obj) {
			e.wakeForEvents(latest(b.over, e.now.Add(e.opts.Settle)))
			break
		}
		late, own := e.lateEvents(obj, b.events)
		out = append(out, late...)
		if t, ok := obj.activity(own, b.cut); ok {
			e.stats.Orphans["Event"] += int64(len(t.Root().Events))
			out = append(out, t)
		}
		left = b.rest
	}
	if len(left) == 0 {
		delete(e.unsettled, obj)
	}
	return out
}

// longestBurst bounds a burst of Events: some emitters never pause, and what has no
// end would not be told.
const longestBurst = 10 * time.Minute

// burst is the first burst of Events about an object.
type burst struct {
	events, rest []*event
	over         time.Time
	// cut is when it ends although more follows, or zero.
	cut time.Time
}

// burst goes by when Events came, and not by when somebody looks at them: that
// depends on what else goes on in the cluster.
func (e *Engine) burst(events []*event) burst {
	var since time.Time
	for _, ev := range events {
		since = earliest(since, ev.known)
	}
	var b burst
	limit := since.Add(longestBurst)
	for _, ev := range events {
		if !ev.known.Before(limit) {
			b.rest = append(b.rest, ev)
			continue
		}
		b.events = append(b.events, ev)
		b.over = latest(b.over, ev.arrival.Add(e.opts.Quiet))
	}
	if b.over.After(limit) {
		b.over, b.cut = limit, limit
	}
	return b
}

// unclaimed are the Events that no span has, in order.
func (o *object) unclaimed() []*event {
	var left []*event
	for _, ev := range o.events {
		if !ev.ledger.claimed {
			left = append(left, ev)
		}
	}
	slices.SortStableFunc(left, func(a, b *event) int { return a.first().Compare(b.first()) })
	return left
}

// claimable reports whether a change that is still to be told may yet want
// the object's Events.
func (e *Engine) claimable(obj *object) bool {
	if e.wantedByPod(obj) {
		return true
	}
	d := e.workloadAbove(obj)
	if d == nil {
		return false
	}
	for _, c := range d.changes {
		if !c.ledger.sent {
			return true
		}
	}
	if e.now.Before(obj.touched.Add(e.opts.Settle)) {
		return true // a review is due
	}
	p := e.pods[obj.objectID]
	if p == nil || p.gone.known() && e.now.After(p.goneSeen.Add(e.opts.Linger)) {
		return false // a stop that was not told by now is nobody's
	}
	return !p.ledger.startSent && !p.initial && !p.lost() || p.leaving() && !p.ledger.stopSent
}

// lateEvents hands out the Events that belong to spans which went out before
// the Events came: a busy recorder may be that late. They go into the same
// trace, as a span below the one they would have been on. So do the Events of
// what else belongs to a workload, in the time of its changes. It returns what
// is left.
func (e *Engine) lateEvents(obj *object, events []*event) (out []spans.Trace, left []*event) {
	d := e.workloadAbove(obj)
	if d == nil {
		return e.lateNodeEvents(obj, events)
	}
	what := kind.LateEvents
	if e.workloadOf(obj) == nil {
		what = kind.Activity
	}
	groups := map[*sentSpan][]*event{}
	var order []*sentSpan
	for _, ev := range events {
		s := e.sentSpanOf(d, obj, ev)
		if s == nil {
			left = append(left, ev)
			continue
		}
		if groups[s] == nil {
			order = append(order, s)
		}
		groups[s] = append(groups[s], ev)
	}
	for _, s := range order {
		evs := groups[s]
		out = append(out, buildLateEvents(s, d.attributes(), node{
			kind: what, object: obj.kindOrNone(), attrs: obj.attributes(), service: attr.ServiceUnknown, subject: obj.subject(), end: evs[len(evs)-1].first(),
		}, evs, s.end))
	}
	return out, left
}

// buildLateEvents builds a span below one that went out before, with the Events that came
// after it. n has what is not in these; the Events' repetitions count up to until.
func buildLateEvents(s *sentSpan, base []attribute.KeyValue, n node, events []*event, until time.Time) spans.Trace {
	b := &builder{place: s.place, base: base, late: true}
	n.parent, n.id = s.spanID, []string{kind.LateEvents.ID(), events[0].key}
	n.service = cmp.Or(events[0].component, n.service)
	n.start = latest(s.start, events[0].first())
	span := b.add(n)
	for _, ev := range events {
		attach(span, ev, until)
	}
	return b.done()
}

// sentSpanOf finds the span, handed out before, in whose time an Event of its
// object lies.
func (e *Engine) sentSpanOf(d *workload, obj *object, ev *event) *sentSpan {
	t := ev.first()
	if p := e.pods[obj.objectID]; p != nil {
		switch {
		case p.ledger.startSpan != nil && (!t.After(p.ledger.startSpan.end) || p.startsOn(t)):
			return p.ledger.startSpan
		case p.ledger.stopSpan != nil && !t.Before(p.ledger.stopSpan.start.Add(-arrivalSlack)):
			// Without this Event the stop was dated by its arrival.
			return p.ledger.stopSpan
		}
		return nil
	}
	slack := time.Duration(0)
	if e.workloadOf(obj) == nil {
		// An autoscaler tells of what it wrote when the controller has acted
		// on it already.
		slack = arrivalSlack
	}
	newest := true
	for _, c := range slices.Backward(d.changes) {
		if c.ledger.root == nil || t.Before(c.ledger.root.start) {
			continue
		}
		if !t.After(c.ledger.root.end.Add(slack)) {
			return c.ledger.root
		}
		if newest && slack == 0 && c.kind == attr.ChangeRollout && c.how() == attr.OutcomeFailed {
			return c.ledger.root // the controllers go on with it until there is another
		}
		newest = false
	}
	return nil
}

// startsOn reports whether the pod, whose start was told up to the failure of its
// rollout, was still starting at t.
func (p *pod) startsOn(t time.Time) bool {
	if tr, ok := p.firstReady(); ok {
		return !t.After(tr.at.at())
	}
	_, over := p.startResolved()
	return !over
}

// activity is the trace of a burst of Events, up to a time if that is not zero.
// Those that were there before the watcher was are old news and are passed over.
func (o *object) activity(left []*event, until time.Time) (spans.Trace, bool) {
	left = slices.DeleteFunc(left, func(ev *event) bool {
		if ev.initial {
			ev.ledger.claim()
		}
		return ev.initial
	})
	if len(left) == 0 {
		return spans.Trace{}, false
	}
	start := left[0].first()
	end := start
	for _, ev := range left {
		end = latest(end, ev.until(until).at)
	}
	b := &builder{
		place: ownPlace(o.unique(), string(attr.ChangeActivity), strconv.FormatInt(start.UnixNano(), 10)),
	}
	service := cmp.Or(left[0].component, attr.ServiceUnknown)
	root := b.add(node{
		kind: kind.Activity, object: o.kindOrNone(), service: service, subject: o.subject(),
		start: start, end: end, attrs: append(o.attributes(),
			attr.ChangeKey.String(string(attr.ChangeActivity)),
			attr.OutcomeKey.String(string(attr.OutcomeComplete)),
		),
	})
	for _, ev := range left {
		attach(root, ev, until)
	}
	return b.done(), true
}

// kindOrNone is the kind of the object, as names of spans have it.
func (o *object) kindOrNone() string { return cmp.Or(o.kind, "Object") }

// attributes name the object; by the semantic conventions' keys for the kinds
// that have them.
func (o *object) attributes() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if o.namespace != "" {
		attrs = append(attrs, semconv.K8SNamespaceName(o.namespace))
	}
	name, uid, ok := keysOf(o.objectID)
	if !ok {
		name, uid = attr.ObjectNameKey, attr.ObjectUIDKey
		attrs = append(attrs, attr.ObjectKindKey.String(o.kind))
	}
	attrs = append(attrs, name.String(o.name))
	if !o.byName() {
		attrs = append(attrs, uid.String(string(o.uid)))
	}
	return attrs
}

// keysOf are the attributes for the name and the UID of an object.
func keysOf(id objectID) (name, uid attribute.Key, ok bool) {
	if k := controllerOf(id.kind, id.group); k != nil && k.nameKey != "" {
		return k.nameKey, k.uidKey, true
	}
	keys, ok := kindKeys[id.kind]
	return keys[0], keys[1], ok && id.group == ""
}

// kindKeys are those of the kinds that are no workloads.
var kindKeys = map[string][2]attribute.Key{
	kindCronJob:    {semconv.K8SCronJobNameKey, semconv.K8SCronJobUIDKey},
	kindAutoscaler: {semconv.K8SHPANameKey, semconv.K8SHPAUIDKey},
	kindNode:       {semconv.K8SNodeNameKey, semconv.K8SNodeUIDKey},
	kindClaim:      {semconv.K8SPersistentvolumeclaimNameKey, semconv.K8SPersistentvolumeclaimUIDKey},
}
