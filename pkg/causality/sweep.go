package causality

import (
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// sweep forgets what has had its life: Events, the objects that are known by Events only, and
// what ailed nodes. The API server's own deletions come earlier where they come.
func (e *Engine) sweep() {
	if e.now.Before(e.swept.Add(podlife.SweepInterval)) {
		return
	}
	e.swept = e.now
	e.sweepClaims()
	for namespace, v := range e.eventVersions {
		e.worked++
		if e.now.After(v.seen.Add(podlife.EventLife)) {
			delete(e.eventVersions, namespace)
		}
	}
	for _, obj := range e.old.Come(e.now) {
		e.worked++
		e.old.Remove(obj)
		if at := e.forgetOld(obj); !at.IsZero() && e.objects[obj.ObjectID] == obj {
			e.old.Set(obj, at)
		}
	}
	e.clocks.Sweep(e.now.Add(-podlife.EventLife))
}

// forgetOld forgets what has had its life of what is known about an object. It returns when to
// look again; zero if there is no need.
func (e *Engine) forgetOld(obj *podlife.Object) (again time.Time) {
	obj.Events = slices.DeleteFunc(obj.Events, func(ev *podlife.Event) bool {
		e.worked++
		at := ev.LastArrival.Add(podlife.EventLife)
		if ev.Told() && e.now.After(at) {
			e.dropEvent(ev)
			return true
		}
		again = evidence.Earliest(again, at)
		return false
	})
	if n := e.nodes.ByID[obj.ObjectID]; n != nil {
		return evidence.Earliest(again, e.sweepNode(n))
	}
	if len(obj.Events) == 0 && e.knownByEventsOnly(obj) {
		e.forget(obj)
	}
	return again
}

// sweepNode forgets the disruptions of a Node that have been handed out for as long as Events
// live, and the Node if it is gone: by then nothing more will be said of it. It returns when to
// look again; zero if there is no need.
func (e *Engine) sweepNode(n *nodes.Record) (again time.Time) {
	before := len(n.Disruptions)
	n.Disruptions = slices.DeleteFunc(n.Disruptions, func(d *nodes.Disruption) bool {
		e.worked++
		at := d.Seen.Add(podlife.EventLife)
		if d.Ledger.Sent && e.now.After(at) {
			return true
		}
		again = evidence.Earliest(again, at)
		return false
	})
	if len(n.Disruptions) < before {
		e.losses = nil
	}
	switch {
	case !n.Gone || len(n.Disruptions) > 0:
		return again
	case len(n.Untold()) > 0:
		return e.now
	}
	e.forgetNode(n)
	return time.Time{}
}

// mayGrowOld has a Node looked at by the next sweep, if there is anything to forget of it.
func (e *Engine) mayGrowOld(n *nodes.Record) {
	if n.Gone || len(n.Disruptions) > 0 {
		e.old.Earlier(n.Object, e.now)
	}
}
