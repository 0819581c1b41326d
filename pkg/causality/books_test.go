package causality

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// CheckBooks checks what the engine notes of when to look at what against what there is: whatever
// is not noted would not be looked at, and nothing else would show it.
func (e *Engine) CheckBooks(t interface {
	Helper()
	Errorf(string, ...any)
}) {
	t.Helper()
	for id, obj := range e.objects {
		if len(obj.Events) == 0 && !e.knownByEventsOnly(obj) {
			continue
		}
		if !e.old.Has(obj) {
			t.Errorf("nothing will forget what is known of %v", id)
			continue
		}
		at := e.old.At(obj)
		for _, ev := range obj.Events {
			if at.After(ev.LastArrival.Add(podlife.EventLife)) && at.After(e.now) {
				t.Errorf("Event %s may have had its life before it is looked at", ev.Key)
			}
		}
	}
	for _, obj := range e.old.All() {
		if e.objects[obj.ObjectID] != obj {
			t.Errorf("%v is forgotten, and would be again", obj.ObjectID)
		}
	}
	for _, obj := range e.unsettled.All() {
		if e.objects[obj.ObjectID] != obj {
			t.Errorf("the Events about %v are forgotten, and would be told", obj.ObjectID)
		}
	}
	for obj := range e.awaited.by {
		if !e.unsettled.Has(obj) {
			t.Errorf("%v waits for nothing, and for something", obj.ObjectID)
		}
	}
	for _, objs := range e.awaited.reviews {
		for obj := range objs {
			if e.awaited.by[obj].review == nil {
				t.Errorf("%v is misfiled", obj.ObjectID)
			}
		}
	}
	lost := 0
	for _, pod := range e.pods {
		if pod.Lost() && pod.Node != "" {
			lost++
			if _, filed := e.lost.on[pod.Node][pod]; !filed {
				t.Errorf("%s is lost, and not found on its node", pod.Name)
			}
		}
	}
	if n := len(e.lost.of); n != lost {
		t.Errorf("%d pods are lost, noted are %d", lost, n)
	}
	open := int64(0)
	for _, w := range e.workloads {
		open += int64(w.Unsent())
	}
	if n := e.Stats().Open; n != open {
		t.Errorf("%d changes are open, noted are %d", open, n)
	}
	for _, c := range e.claims.ByID {
		if !c.GoneSeen.IsZero() && !e.goneClaims.Has(c) {
			t.Errorf("nothing will forget claim %s", c.Name)
		}
	}
	for _, n := range e.nodes.ByID {
		if (n.Gone || len(n.Disruptions) > 0) && !e.old.Has(n.Object) {
			t.Errorf("nothing will forget what is known of node %s", n.Name)
		}
	}
}

// Stuck is how many objects have Events that wait for no time that is near, and for nothing that
// is still to happen.
func (e *Engine) Stuck() (stuck int) {
	for _, obj := range e.unsettled.All() {
		is := e.awaited.by[obj]
		waits := is.review != nil && e.workloads[is.review.ObjectID] == is.review || is.told != nil && !is.told.Ledger.Sent
		soon := e.unsettled.At(obj).Before(e.now.Add(podlife.SweepInterval))
		if !waits && !soon {
			stuck++
		}
	}
	return stuck
}
