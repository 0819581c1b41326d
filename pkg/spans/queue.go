package spans

// queue holds the spans that no collector has acknowledged yet, oldest first,
// within limits. The ones in front may be in flight: sent, and not answered.
// They stay in the queue until they are acknowledged, and are never evicted
// while they are in flight.
//
// A queue has no lock of its own.
type queue struct {
	maxSpans, maxBytes int

	items []item
	// head is the index of the oldest span; what lies before is gone.
	head int
	// inFlight is how many spans from head on are in flight.
	inFlight int
	bytes    int
}

// len is the number of spans in the queue, those in flight included.
func (q *queue) len() int { return len(q.items) - q.head }

// push appends items and returns how many spans it evicted to make room.
func (q *queue) push(items []item) (evicted int) {
	for _, it := range items {
		q.bytes += it.size
	}
	q.items = append(q.items, items...)
	for q.len() > q.inFlight && (q.len() > q.maxSpans || q.bytes > q.maxBytes) {
		q.evictOldest()
		evicted++
	}
	return evicted
}

// evictOldest removes the oldest span that is not in flight.
func (q *queue) evictOldest() {
	q.bytes -= q.items[q.head+q.inFlight].size
	copy(q.items[q.head+1:], q.items[q.head:q.head+q.inFlight])
	q.items[q.head] = item{}
	q.head++
	q.compact()
}

// take marks the oldest spans as in flight, at most maxSpans of them and at
// most maxBytes together (but always one, if there is one), and returns them
// with their size. None may be in flight.
func (q *queue) take(maxSpans, maxBytes int) (batch []item, size int) {
	q.inFlight, size = prefix(q.items[q.head:], maxSpans, maxBytes)
	return append([]item(nil), q.items[q.head:q.head+q.inFlight]...), size
}

// putBack says that the spans in flight were not acknowledged.
func (q *queue) putBack() { q.inFlight = 0 }

// remove removes the spans in flight.
func (q *queue) remove() {
	for i := q.head; i < q.head+q.inFlight; i++ {
		q.bytes -= q.items[i].size
		q.items[i] = item{}
	}
	q.head += q.inFlight
	q.inFlight = 0
	q.compact()
}

// compact gives the room before head back, now and then.
func (q *queue) compact() {
	switch {
	case q.len() == 0:
		// A queue that was long once must not stay so.
		q.items, q.head = nil, 0
	case q.head > len(q.items)/2:
		q.items = append([]item(nil), q.items[q.head:]...)
		q.head = 0
	}
}

// prefix counts how many of the first items stay within limits, and their
// size. It is at least one, if there is one.
func prefix(items []item, maxItems, maxBytes int) (n, size int) {
	for n < len(items) && n < maxItems {
		if n > 0 && size+items[n].size > maxBytes {
			break
		}
		size += items[n].size
		n++
	}
	return n, size
}
