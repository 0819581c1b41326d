package podlife

import (
	"cmp"
	priority "container/heap"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// What an Event takes beside its texts, rounded up: its record, its places in maps and
// lists, and the record of its object, which may be known by it alone.
const (
	EventOverhead      = 768
	OccurrenceOverhead = 128
)

// EventSize is what is kept because of an Event, in bytes.
func EventSize(ev *Event) int {
	related := 0
	if r := ev.Related; r != nil {
		related = len(r.UID) + len(r.Namespace)
	}
	return EventOverhead + ev.Account.about + len(ev.Key) + len(ev.UID) + len(ev.Name) + related +
		len(ev.EventType) + len(ev.Reason) + len(ev.Component) + len(ev.Container) +
		OccurrenceOverhead*len(ev.Occurrences) + evidence.WordsIn(ev.Occurrences)
}

// Holdings are the accounts of what the Events of each namespace take in memory, in bytes,
// so that a namespace which writes too many loses its own.
type Holdings struct {
	Total       int
	ByNamespace map[string]*Holding
	Order       holdingHeap
}

// Holding is what is kept of the Events in one namespace: in that of the Event, as
// who may write it may write there.
type Holding struct {
	Namespace string
	Bytes     int
	Events    []*Event // in no order
	// Next are those to forget next, the last one first. Some may have gone.
	Next []*Event
	At   int // in the heap
}

// account is where an Event is in the accounts, and what it takes; zero if it is in none.
type account struct {
	In    *Holding
	At    int // in its list
	Bytes int
	about int // the part of them that the names of its object take
}

// NewHoldings returns accounts in which nothing is held.
func NewHoldings() *Holdings { return &Holdings{ByNamespace: map[string]*Holding{}} }

// Put files an Event. Its object may be known by it alone, so it is charged for it.
func (hs *Holdings) Put(ev *Event, in *corev1.Event) {
	namespace, of := in.Namespace, &in.InvolvedObject
	h := hs.ByNamespace[namespace]
	if h == nil {
		h = &Holding{Namespace: namespace}
		hs.ByNamespace[namespace] = h
		priority.Push(&hs.Order, h)
	}
	ev.Account = account{In: h, At: len(h.Events), about: len(of.UID) + len(of.Kind) + len(of.Namespace) + len(of.Name)}
	h.Events = append(h.Events, ev)
	hs.Measure(ev)
}

// Measure takes in that an Event has become larger or smaller.
func (hs *Holdings) Measure(ev *Event) {
	if ev.Account.In != nil {
		hs.charge(ev, EventSize(ev)-ev.Account.Bytes)
	}
}

func (hs *Holdings) charge(ev *Event, bytes int) {
	ev.Account.Bytes += bytes
	ev.Account.In.Bytes += bytes
	hs.Total += bytes
	priority.Fix(&hs.Order, ev.Account.In.At)
}

// Drop takes an Event out.
func (hs *Holdings) Drop(ev *Event) {
	h := ev.Account.In
	if h == nil {
		return
	}
	hs.charge(ev, -ev.Account.Bytes)
	last := h.Events[len(h.Events)-1]
	last.Account.At = ev.Account.At
	h.Events[ev.Account.At] = last
	h.Events[len(h.Events)-1] = nil
	h.Events = h.Events[:len(h.Events)-1]
	ev.Account = account{}
	if len(h.Events) == 0 {
		priority.Remove(&hs.Order, h.At)
		delete(hs.ByNamespace, h.Namespace)
	}
}

// Heaviest is the namespace that holds most.
func (hs *Holdings) Heaviest() *Holding { return hs.Order[0] }

// holdingHeap has the namespace that holds most first, of equals the first by name.
type holdingHeap []*Holding

// Len is for container/heap.
func (h holdingHeap) Len() int { return len(h) }

// Less is for container/heap.
func (h holdingHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].Bytes, h[i].Bytes), cmp.Compare(h[i].Namespace, h[j].Namespace)) < 0
}

// Swap is for container/heap.
func (h holdingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].At, h[j].At = i, j
}

// Push is for container/heap.
func (h *holdingHeap) Push(x any) {
	added := x.(*Holding) //nolint:forcetypeassert // Nobody else calls it.
	added.At = len(*h)
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
