package causality

import (
	"cmp"
	"slices"

	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// Pods, workloads and the others are as many as the cluster has, and what is kept of
// one is bounded. Events are as many as anybody wants to write, and each may be about
// an object that nobody else knows. So all that there is of Events shares one bound,
// Options.EventBytes, and each namespace has an account.

// defaultEventBytes holds some 100,000 Events as Kubernetes writes them, of 1.3 KiB
// with the record of the object. A pod's start has five, so these are the Events of
// 20,000 pods that start within eventLife. A cluster of 5,000 nodes and 150,000 pods
// where one of ten is replaced in that time (15,000 pods, 90,000 Events with those
// of their ReplicaSets) stays below. Where more starts, such as when all nodes are
// drained one after the other, Events that a span has are forgotten before their time.
const defaultEventBytes = 128 << 20

// shed forgets Events until the bound is kept: always one of the namespace that holds
// most, so that no namespace loses anything while it holds less than its share.
func (e *Engine) shed() {
	for e.holdings.Total > e.opts.EventBytes {
		ev := e.leastUseful(e.holdings.Heaviest())
		e.noteShed(ev, ShedUntold)
		e.removeEvent(ev)
	}
}

// noteShed counts an Event that is to be forgotten; untold is why, if no span has it.
func (e *Engine) noteShed(ev *podlife.Event, untold ShedReason) {
	why := untold
	if ev.Told() {
		why = ShedTold
	}
	e.stats.Shed[why]++
	e.stats.ShedIn = ev.Account.In.Namespace
}

// leastUseful is the Event of a namespace to forget first. To look through all of them
// each time would be slow: a sixteenth of them is chosen at once.
func (e *Engine) leastUseful(h *podlife.Holding) *podlife.Event {
	for {
		for n := len(h.Next); n > 0; n-- {
			ev := h.Next[n-1]
			h.Next = h.Next[:n-1]
			if ev.Account.In == h {
				return ev
			}
		}
		h.Next = e.chosen(h)
	}
}

// usefulness orders Events by what is lost with them.
type usefulness struct {
	*podlife.Event
	// rank is 0 where a span has the Event: only its repetitions would be news. It is
	// 1 where nothing but Events tells of the object, and 2 for what a change may want.
	rank int
	// depth is how far the Event is from both ends of its object's list. The
	// beginning and the end say most, and a long list has more to give.
	depth int
}

// chosen are the sixteenth of a namespace's Events that matter least, the least last.
func (e *Engine) chosen(h *podlife.Holding) []*podlife.Event {
	all := make([]usefulness, 0, len(h.Events))
	depths := map[*podlife.Object]map[*podlife.Event]int{}
	for _, ev := range h.Events {
		u := usefulness{Event: ev}
		if !ev.Told() {
			if depths[ev.Object] == nil {
				depths[ev.Object] = depthsIn(ev.Object.Events)
			}
			u.rank, u.depth = 2, depths[ev.Object][ev]
			if e.knownByEventsOnly(ev.Object) {
				u.rank = 1
			}
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b usefulness) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.depth, a.depth),
			a.LastArrival.Compare(b.LastArrival), cmp.Compare(a.Key, b.Key))
	})
	chosen := make([]*podlife.Event, len(all)/16+1)
	for i := range chosen {
		chosen[len(chosen)-1-i] = all[i].Event
	}
	return chosen
}

// depthsIn says of each Event in a list how far from both its ends it is.
func depthsIn(events []*podlife.Event) map[*podlife.Event]int {
	depths := make(map[*podlife.Event]int, len(events))
	for i, ev := range events {
		depths[ev] = min(i, len(events)-1-i)
	}
	return depths
}

// removeEvent forgets an Event, and its object if nothing else has told of that.
func (e *Engine) removeEvent(ev *podlife.Event) {
	e.dropEvent(ev)
	obj := ev.Object
	obj.Events = slices.DeleteFunc(obj.Events, func(o *podlife.Event) bool { return o == ev })
	if len(obj.Events) == 0 && e.knownByEventsOnly(obj) {
		e.forget(obj)
	}
}

// dropEvent forgets an Event, but for its place in its object's list.
func (e *Engine) dropEvent(ev *podlife.Event) {
	delete(e.events, ev.Key)
	e.holdings.Drop(ev)
}

// knownByEventsOnly reports whether nothing but Events has told of an object.
func (e *Engine) knownByEventsOnly(obj *podlife.Object) bool {
	id := obj.ObjectID
	return !obj.Exists && e.workloads[id] == nil && e.sets[id] == nil && e.pods[id] == nil && e.nodes.ByID[id] == nil
}
