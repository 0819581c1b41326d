package causality

import (
	"cmp"
	priority "container/heap"
	"slices"

	corev1 "k8s.io/api/core/v1"
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
// drained one after the other, Events that were told are forgotten before their time.
const defaultEventBytes = 128 << 20

// What an Event takes beside its texts, rounded up: its record, its places in maps and
// lists, and the record of its object, which may be known by it alone.
const (
	eventOverhead      = 768
	occurrenceOverhead = 128
)

// eventSize is what is kept because of an Event, in bytes.
func eventSize(ev *event) int {
	return eventOverhead + ev.account.about + len(ev.key) + len(ev.uid) + len(ev.name) + len(ev.related.uid) + len(ev.related.namespace) +
		len(ev.eventType) + len(ev.reason) + len(ev.component) + len(ev.container) +
		occurrenceOverhead*len(ev.occurrences) + wordsIn(ev.occurrences)
}

// holdings are the accounts.
type holdings struct {
	total       int
	byNamespace map[string]*holding
	order       holdingHeap
}

// holding is what is kept of the Events in one namespace: in that of the Event, as
// who may write it may write there.
type holding struct {
	namespace string
	bytes     int
	events    []*event // in no order
	// next are those to forget next, the last one first. Some may have gone.
	next []*event
	at   int // in the heap
}

// account is an Event's place in the accounts; zero if it is in none.
type account struct {
	in    *holding
	at    int // in its list
	bytes int
	about int // the part of them that the names of its object take
}

func newHoldings() *holdings { return &holdings{byNamespace: map[string]*holding{}} }

// put files an Event. Its object may be known by it alone, so it is charged for it.
func (hs *holdings) put(ev *event, in *corev1.Event) {
	namespace, of := in.Namespace, &in.InvolvedObject
	h := hs.byNamespace[namespace]
	if h == nil {
		h = &holding{namespace: namespace}
		hs.byNamespace[namespace] = h
		priority.Push(&hs.order, h)
	}
	ev.account = account{in: h, at: len(h.events), about: len(of.UID) + len(of.Kind) + len(of.Namespace) + len(of.Name)}
	h.events = append(h.events, ev)
	hs.measure(ev)
}

// measure takes in that an Event has become larger or smaller.
func (hs *holdings) measure(ev *event) {
	if ev.account.in != nil {
		hs.charge(ev, eventSize(ev)-ev.account.bytes)
	}
}

func (hs *holdings) charge(ev *event, bytes int) {
	ev.account.bytes += bytes
	ev.account.in.bytes += bytes
	hs.total += bytes
	priority.Fix(&hs.order, ev.account.in.at)
}

// drop takes an Event out.
func (hs *holdings) drop(ev *event) {
	h := ev.account.in
	if h == nil {
		return
	}
	hs.charge(ev, -ev.account.bytes)
	last := h.events[len(h.events)-1]
	last.account.at = ev.account.at
	h.events[ev.account.at] = last
	h.events[len(h.events)-1] = nil
	h.events = h.events[:len(h.events)-1]
	ev.account = account{}
	if len(h.events) == 0 {
		priority.Remove(&hs.order, h.at)
		delete(hs.byNamespace, h.namespace)
	}
}

// heaviest is the namespace that holds most.
func (hs *holdings) heaviest() *holding { return hs.order[0] }

// holdingHeap has the namespace that holds most first, of equals the first by name.
type holdingHeap []*holding

func (h holdingHeap) Len() int { return len(h) }
func (h holdingHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].bytes, h[i].bytes), cmp.Compare(h[i].namespace, h[j].namespace)) < 0
}
func (h holdingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is for container/heap.
func (h *holdingHeap) Push(x any) {
	added := x.(*holding) //nolint:forcetypeassert // Nobody else calls it.
	added.at = len(*h)
	*h = append(*h, added)
}

// Pop is for container/heap.
func (h *holdingHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}

// shed forgets Events until the bound is kept: always one of the namespace that holds
// most, so that no namespace loses anything while it holds less than its share.
func (e *Engine) shed() {
	for e.holdings.total > e.opts.EventBytes {
		ev := e.leastUseful(e.holdings.heaviest())
		e.noteShed(ev, ShedUntold)
		e.removeEvent(ev)
	}
}

// noteShed counts an Event that is to be forgotten; untold is why, if no span has it.
func (e *Engine) noteShed(ev *event, untold ShedReason) {
	why := untold
	if ev.ledger.claimed {
		why = ShedTold
	}
	e.stats.Shed[why]++
	e.stats.ShedIn = ev.account.in.namespace
}

// leastUseful is the Event of a namespace to forget first. To look through all of them
// each time would be slow: a sixteenth of them is chosen at once.
func (e *Engine) leastUseful(h *holding) *event {
	for {
		for n := len(h.next); n > 0; n-- {
			ev := h.next[n-1]
			h.next = h.next[:n-1]
			if ev.account.in == h {
				return ev
			}
		}
		h.next = e.chosen(h)
	}
}

// usefulness orders Events by what is lost with them.
type usefulness struct {
	*event
	// rank is 0 where a span has the Event: only its repetitions would be news. It is
	// 1 where nothing but Events tells of the object, and 2 for what a change may want.
	rank int
	// depth is how far the Event is from both ends of its object's list. The
	// beginning and the end say most, and a long list has more to give.
	depth int
}

// chosen are the sixteenth of a namespace's Events that matter least, the least last.
func (e *Engine) chosen(h *holding) []*event {
	all := make([]usefulness, 0, len(h.events))
	depths := map[*object]map[*event]int{}
	for _, ev := range h.events {
		u := usefulness{event: ev}
		if !ev.ledger.claimed {
			if depths[ev.object] == nil {
				depths[ev.object] = depthsIn(ev.object.events)
			}
			u.rank, u.depth = 2, depths[ev.object][ev]
			if e.knownByEventsOnly(ev.object) {
				u.rank = 1
			}
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b usefulness) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.depth, a.depth),
			a.arrival.Compare(b.arrival), cmp.Compare(a.key, b.key))
	})
	chosen := make([]*event, len(all)/16+1)
	for i := range chosen {
		chosen[len(chosen)-1-i] = all[i].event
	}
	return chosen
}

// depthsIn says of each Event in a list how far from both its ends it is.
func depthsIn(events []*event) map[*event]int {
	depths := make(map[*event]int, len(events))
	for i, ev := range events {
		depths[ev] = min(i, len(events)-1-i)
	}
	return depths
}

// removeEvent forgets an Event, and its object if nothing else has told of that.
func (e *Engine) removeEvent(ev *event) {
	e.dropEvent(ev)
	obj := ev.object
	obj.events = slices.DeleteFunc(obj.events, func(o *event) bool { return o == ev })
	if len(obj.events) == 0 && e.knownByEventsOnly(obj) {
		e.forget(obj)
	}
}

// dropEvent forgets an Event, but for its place in its object's list.
func (e *Engine) dropEvent(ev *event) {
	delete(e.events, ev.key)
	e.holdings.drop(ev)
}

// knownByEventsOnly reports whether nothing but Events has told of an object.
func (e *Engine) knownByEventsOnly(obj *object) bool {
	id := obj.objectID
	return !obj.exists && e.workloads[id] == nil && e.sets[id] == nil && e.pods[id] == nil && e.nodes.byID[id] == nil
}
