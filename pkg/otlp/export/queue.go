package export

import (
	"container/heap"
	"slices"

	"github.com/rollspan/rollspan/pkg/otlp"
)

// queue holds the spans that no collector has acknowledged yet, oldest first,
// within limits. The oldest may be in flight: sent, and not answered. They
// stay in the queue until they are acknowledged, and are never evicted while
// they are in flight.
//
// Who fills the queue makes room in it: beyond a limit the namespace that
// holds most loses its oldest spans. A namespace that holds no more than its
// share, the limit divided by the number of namespaces, loses none. So what is
// held may exceed a limit by what is in flight.
//
// A queue has no lock of its own.
type queue struct {
	// max is what may be held of each measure.
	max [measures]int
	// header is how many bytes of a request each Resource takes besides what it says of
	// its service and its object.
	header int

	// first and last are the ends of the list of those that wait.
	first, last *node
	inFlight    []*node
	held        [measures]int
	holders     map[string]*holder
	// ranks has the holders from whom something can be taken, for each measure
	// with the one on top that holds most.
	ranks [measures]ranking
	// evicted are those that had to go, until takeEvicted; if somebody wants them.
	evicted     []*otlp.Packed
	keepEvicted bool
	// onDisk says that a Store has all of it, and bounds it: nothing is evicted here.
	onDisk bool
}

// takeEvicted returns the spans that had to go since the last time.
func (q *queue) takeEvicted() []*otlp.Packed {
	out := q.evicted
	q.evicted = nil
	return out
}

// What is measured of spans.
const (
	inSpans = iota
	inBytes
	measures
)

// node is one span in a queue.
type node struct {
	otlp.Packed
	holder *holder
	place  Place // in the Store
	// prev and next are its neighbors among those that wait, after the next
	// one of the same namespace.
	prev, next, after *node
}

// packedOf are the spans of nodes.
func packedOf(batch []*node) []*otlp.Packed {
	out := make([]*otlp.Packed, len(batch))
	for i, n := range batch {
		out[i] = &n.Packed
	}
	return out
}

// holder is a namespace with spans in a queue.
type holder struct {
	namespace string
	// held is all that it has in the queue, in flight or not.
	held [measures]int
	// first and last are the ends of the list of its spans that wait.
	first, last *node
	// at is its place in each ranking, while it has spans that wait.
	at [measures]int
}

func newQueue(maxSpans, maxBytes, header int) *queue {
	q := &queue{header: header, holders: map[string]*holder{}}
	q.max[inSpans], q.max[inBytes] = maxSpans, maxBytes
	for m := range q.ranks {
		q.ranks[m].measure = m
	}
	return q
}

// len is the number of spans in the queue, those in flight included.
func (q *queue) len() int { return q.held[inSpans] }

// bytes is their size.
func (q *queue) bytes() int { return q.held[inBytes] }

// fits says whether there is room for items.
func (q *queue) fits(items []otlp.Packed) bool {
	bytes := q.held[inBytes]
	for i := range items {
		bytes += items[i].Size()
	}
	return q.held[inSpans]+len(items) <= q.max[inSpans] && bytes <= q.max[inBytes]
}

// lastInFlight is where in the Store the newest span in flight is.
func (q *queue) lastInFlight() (at Place) {
	for _, n := range slices.Backward(q.inFlight) {
		if n.place.Record > 0 {
			return n.place
		}
	}
	return at
}

// anyInMemory says whether something waits that is in no Store.
func (q *queue) anyInMemory() bool {
	for n := q.first; n != nil; n = n.next {
		if n.place.Record == 0 {
			return true
		}
	}
	return false
}

// anyWaiting returns one of the spans that wait, by chance: where some are damaged, each other one
// has its turn. It returns nil if none waits.
func (q *queue) anyWaiting(below func(int) int) *node {
	if q.first == nil {
		return nil
	}
	n := q.first
	for behind := below(q.len() - len(q.inFlight)); behind > 0; behind-- {
		n = n.next
	}
	return n
}

// drop removes the spans that wait and are in a record of the Store, the oldest of its
// namespace.
func (q *queue) drop(namespace string, record uint64) {
	h := q.holders[namespace]
	for h != nil && h.first != nil && h.first.place.Record == record {
		n := h.first
		q.unlink(n)
		q.count(n, -1)
	}
}

// push appends items and returns how many spans it evicted to make room, by
// namespace.
func (q *queue) push(items []otlp.Packed) (evicted map[string]int64) {
	return q.pushAt(items, nil)
}

// pushAt is push for items that are in the Store, too, at places.
func (q *queue) pushAt(items []otlp.Packed, places []Place) (evicted map[string]int64) {
	for i, it := range items {
		h := q.holders[it.Namespace]
		if h == nil {
			h = &holder{namespace: it.Namespace}
			q.holders[it.Namespace] = h
		}
		it.Namespace = h.namespace // One copy of the text is enough.
		n := &node{Packed: it, holder: h, prev: q.last}
		if i < len(places) {
			n.place = places[i]
		}
		if q.last == nil {
			q.first = n
		} else {
			q.last.next = n
		}
		q.last = n
		if h.first == nil {
			h.first = n
		} else {
			h.last.after = n
		}
		h.last = n
		q.count(n, +1)
	}
	return q.evict()
}

// count adds n to what is held, or takes it away, and puts its holder where
// it belongs.
func (q *queue) count(n *node, sign int) {
	for m, amount := range [measures]int{inSpans: 1, inBytes: n.Size()} {
		q.held[m] += sign * amount
		n.holder.held[m] += sign * amount
	}
	q.rank(n.holder)
	if n.holder.held[inSpans] == 0 {
		delete(q.holders, n.holder.namespace)
	}
}

// rank puts a holder in its places, or takes it out if nothing of it waits.
func (q *queue) rank(h *holder) {
	for m := range q.ranks {
		r := &q.ranks[m]
		ranked := h.at[m] < len(r.holders) && r.holders[h.at[m]] == h
		switch {
		case ranked && h.first == nil:
			heap.Remove(r, h.at[m])
		case ranked:
			heap.Fix(r, h.at[m])
		case h.first != nil:
			heap.Push(r, h)
		}
	}
}

// evict makes room where a limit is exceeded.
func (q *queue) evict() (evicted map[string]int64) {
	if q.onDisk {
		return nil
	}
	for m := range q.ranks {
		r := &q.ranks[m]
		for q.held[m] > q.max[m] && len(r.holders) > 0 {
			most := r.holders[0]
			if most.held[m]*len(q.holders) <= q.max[m] {
				break // It is in flight what is too much.
			}
			n := most.first
			q.unlink(n)
			q.count(n, -1)
			if q.keepEvicted { // its Store has failed, if it had one
				q.evicted = append(q.evicted, &n.Packed)
			}
			if evicted == nil {
				evicted = map[string]int64{}
			}
			evicted[most.namespace]++
		}
	}
	return evicted
}

// unlink takes the oldest waiting span of a holder out of the lists.
func (q *queue) unlink(n *node) {
	if n.prev == nil {
		q.first = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		q.last = n.prev
	} else {
		n.next.prev = n.prev
	}
	if n.holder.first = n.after; n.after == nil {
		n.holder.last = nil
	}
	n.prev, n.next, n.after = nil, nil, nil
}

// take marks the oldest spans as in flight, at most maxSpans of them and at
// most maxBytes in one request (but always one, if there is one), and returns
// them with the size of that request. None may be in flight.
func (q *queue) take(maxSpans, maxBytes int) (batch []*node, size int) {
	resources := map[string]bool{}
	for q.first != nil && len(batch) < maxSpans {
		n := q.first
		more := n.Size()
		if resources[string(n.ResourceWire())] {
			more -= n.Resource
		} else {
			more += q.header
		}
		if len(batch) > 0 && size+more > maxBytes {
			break
		}
		resources[string(n.ResourceWire())] = true
		size += more
		batch = append(batch, n)
		q.unlink(n) // The oldest of all is the oldest of its namespace.
		q.rank(n.holder)
	}
	q.inFlight = batch
	return batch, size
}

// putBack says that the spans in flight were not acknowledged. They wait at
// the front again, in the same order; how many had to go is returned as by push.
func (q *queue) putBack() (evicted map[string]int64) {
	for _, n := range slices.Backward(q.inFlight) {
		n.next, n.after = q.first, n.holder.first
		if q.first == nil {
			q.last = n
		} else {
			q.first.prev = n
		}
		q.first = n
		if n.holder.first == nil {
			n.holder.last = n
		}
		n.holder.first = n
		q.rank(n.holder)
	}
	q.inFlight = nil
	return q.evict()
}

// remove removes the spans in flight.
func (q *queue) remove() {
	for _, n := range q.inFlight {
		q.count(n, -1)
	}
	q.inFlight = nil
}

// ranking is a heap (see container/heap) of holders.
type ranking struct {
	measure int
	holders []*holder
}

// Len is the number of holders.
func (r *ranking) Len() int { return len(r.holders) }

// Less puts who holds more on top.
func (r *ranking) Less(i, j int) bool {
	a, b := r.holders[i], r.holders[j]
	if a.held[r.measure] != b.held[r.measure] {
		return a.held[r.measure] > b.held[r.measure]
	}
	return a.namespace < b.namespace
}

// Swap swaps two holders.
func (r *ranking) Swap(i, j int) {
	r.holders[i], r.holders[j] = r.holders[j], r.holders[i]
	r.holders[i].at[r.measure], r.holders[j].at[r.measure] = i, j
}

// Push adds a holder at the end.
func (r *ranking) Push(x any) {
	h := x.(*holder)
	h.at[r.measure] = len(r.holders)
	r.holders = append(r.holders, h)
}

// Pop takes the holder at the end.
func (r *ranking) Pop() any {
	last := len(r.holders) - 1
	h := r.holders[last]
	r.holders[last] = nil
	r.holders = r.holders[:last]
	return h
}
