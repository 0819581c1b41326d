package journal

import (
	"cmp"
	"container/heap"
	"slices"
)

// add puts a record behind all others. The caller holds the lock.
func (q *Queue) add(r *record, namespace string) {
	h := q.holders[namespace]
	if h == nil {
		h = &recordHolder{namespace: namespace, at: -1}
		q.holders[namespace] = h
	}
	r.holder, r.before = h, q.last
	if q.last == nil {
		q.first = r
	} else {
		q.last.next = r
	}
	q.last = r
	if h.first == nil {
		h.first = r
	} else {
		h.last.after = r
	}
	h.last = r
	use := q.segments[r.segment]
	if use == nil {
		use = &segmentUse{}
		q.segments[r.segment] = use
	}
	use.bytes += int64(r.size)
	use.records++
	h.bytes += int64(r.size)
	q.ranks.records++
	if h.at < 0 {
		heap.Push(&q.ranks, h)
	} else {
		heap.Fix(&q.ranks, h.at)
	}
	q.waits(int(r.items - r.done))
}

// remove forgets a record, which is the oldest of its holder, but for some that are being sent.
// The caller holds the lock.
func (q *Queue) remove(r *record) {
	if q.unread == r {
		q.unread = r.next
	}
	if !r.read {
		q.behind(r, -1)
	}
	if r.before == nil {
		q.first = r.next
	} else {
		r.before.next = r.next
	}
	if r.next == nil {
		q.last = r.before
	} else {
		r.next.before = r.before
	}
	h := r.holder
	h.unlink(r)
	h.bytes -= int64(r.size)
	q.ranks.records--
	if h.first == nil {
		heap.Remove(&q.ranks, h.at)
		delete(q.holders, h.namespace)
	} else {
		heap.Fix(&q.ranks, h.at)
	}
	use := q.segments[r.segment]
	use.bytes -= int64(r.size)
	use.records--
	q.waits(-int(r.items - r.done))
	q.tell(r.number)
}

// tell tells Kept of a record that is gone, if it was not synced: nobody will ever send it, or
// the collector has it though the disk has failed. The caller holds the lock.
func (q *Queue) tell(number uint64) {
	i, there := slices.BinarySearchFunc(q.unsynced, number, func(k keysOfRecord, n uint64) int { return cmp.Compare(k.record, n) })
	if there {
		q.options.Kept(q.unsynced[i].keys)
		q.unsynced = slices.Delete(q.unsynced, i, i+1)
	}
}

// tellGone tells that of what went meanwhile. The caller holds the lock.
func (q *Queue) tellGone() {
	there := map[uint64]bool{}
	for r := q.first; r != nil; r = r.next {
		there[r.number] = true
	}
	for _, k := range slices.Clone(q.unsynced) {
		if !there[k.record] {
			q.tell(k.record)
		}
	}
}

// waits counts items that wait.
func (q *Queue) waits(n int) { q.stats.Items += n }

// behind counts a record that only the disk knows, or does no more.
func (q *Queue) behind(r *record, sign int) {
	q.stats.Behind += sign * int(r.items-r.done)
}
