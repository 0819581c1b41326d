package journal

import (
	"container/heap"
	"errors"
	"os"
)

// recordHolder is a namespace with records that wait.
type recordHolder struct {
	namespace   string
	bytes       int64 // on the disk
	first, last *record
	at          int // its place in the ranking; -1 for none
}

// unlink takes a record out of the list.
func (h *recordHolder) unlink(r *record) {
	if h.first == r {
		if h.first = r.after; h.first == nil {
			h.last = nil
		}
		return
	}
	for before := h.first; before != nil; before = before.after {
		if before.after == r {
			if before.after = r.after; r.after == nil {
				h.last = before
			}
			return
		}
	}
}

// recordRanks is a heap (see container/heap) of holders, with the one on top that holds most.
type recordRanks struct {
	holders []*recordHolder
	records int // of all of them
}

// Len is the number of holders.
func (r *recordRanks) Len() int { return len(r.holders) }

// Less puts who holds more on top.
func (r *recordRanks) Less(i, j int) bool {
	a, b := r.holders[i], r.holders[j]
	if a.bytes != b.bytes {
		return a.bytes > b.bytes
	}
	return a.namespace < b.namespace
}

// Swap swaps two holders.
func (r *recordRanks) Swap(i, j int) {
	r.holders[i], r.holders[j] = r.holders[j], r.holders[i]
	r.holders[i].at, r.holders[j].at = i, j
}

// Push adds a holder at the end.
func (r *recordRanks) Push(x any) {
	h := x.(*recordHolder)
	h.at = len(r.holders)
	r.holders = append(r.holders, h)
}

// Pop takes the holder at the end.
func (r *recordRanks) Pop() any {
	last := len(r.holders) - 1
	h := r.holders[last]
	r.holders[last], r.holders = nil, r.holders[:last]
	h.at = -1
	return h
}

// bytes is what the queue takes on the disk. The caller holds the lock.
func (q *Queue) bytes() int64 { return q.data.bytes() + q.done.bytes() }

// Evict makes room where there is too much: the namespace that holds most loses its oldest
// records, but for those up to a number, which are being sent. What has gone is sent no more,
// unless the process dies before its file is written anew.
func (q *Queue) Evict(sending uint64) (gone []Evicted) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken {
		return nil
	}
	q.reclaimDone()
	for q.bytes() > q.options.MaxBytes || q.ranks.records > maxRecords {
		// What is of no use makes room when its file is written anew. That is put off until it
		// is worth it.
		enough := q.waste() >= q.options.MaxBytes/8 && q.ranks.records <= maxRecords
		if r := q.oldestOfMost(sending); !enough && r != nil {
			gone = append(gone, Evicted{Record: r.number, Namespace: r.holder.namespace, Items: int(r.items - r.done), Read: r.read})
			q.stats.Evicted += int64(r.items - r.done)
			q.remove(r)
			continue
		}
		if freed, err := q.reclaim(); err != nil {
			q.fail(err)
			break
		} else if !freed {
			break
		}
	}
	return gone
}

// oldestOfMost is the oldest record of who holds most, but for those that are being sent.
func (q *Queue) oldestOfMost(sending uint64) *record {
	if q.ranks.Len() == 0 {
		return nil
	}
	r := q.ranks.holders[0].first
	for r != nil && r.number <= sending {
		r = r.after
	}
	return r
}

// waste is what the files have that is of no use. The caller holds the lock.
func (q *Queue) waste() (n int64) {
	for _, seg := range q.data.segments {
		n += q.wasteOf(seg)
	}
	return n
}

func (q *Queue) wasteOf(seg segment) int64 {
	if use := q.segments[seg.index]; use != nil {
		return seg.bytes - headerSize - use.bytes
	}
	return seg.bytes - headerSize
}

// reclaimDone removes the files of which nothing waits. The caller holds the lock.
func (q *Queue) reclaimDone() {
	settled := false
	for i := 0; i < len(q.data.segments); i++ {
		seg := q.data.segments[i]
		if use := q.segments[seg.index]; q.isWritten(i) || use != nil && use.records > 0 {
			continue
		}
		if !settled && !q.options.Settle() {
			return
		}
		settled = true
		if err := q.drop(i); err != nil {
			q.fail(err)
			return
		}
		i--
	}
}

// isWritten says whether a file is the one that is written.
func (q *Queue) isWritten(i int) bool {
	return q.data.file != nil && i == len(q.data.segments)-1
}

// drop removes a file.
func (q *Queue) drop(i int) error {
	seg := q.data.segments[i]
	if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	delete(q.segments, seg.index)
	q.data.segments = append(q.data.segments[:i:i], q.data.segments[i+1:]...)
	return nil
}

// reclaim writes the file anew of which most is of no use, without that. The caller holds the
// lock.
func (q *Queue) reclaim() (freed bool, err error) {
	worst, most := -1, int64(0)
	for i, seg := range q.data.segments {
		if waste := q.wasteOf(seg); waste > most {
			worst, most = i, waste
		}
	}
	if worst < 0 || !q.options.Settle() {
		return false, nil
	}
	if q.isWritten(worst) {
		if err := q.data.seal(); err != nil {
			return false, err
		}
	}
	return true, q.rewrite(worst)
}

// rewrite writes a file anew with what of it waits. Its frames are copied as they are.
func (q *Queue) rewrite(i int) error {
	seg := &q.data.segments[i]
	if use := q.segments[seg.index]; use == nil || use.records == 0 {
		return q.drop(i)
	}
	content, err := os.ReadFile(seg.path)
	if err != nil {
		return err
	}
	var left []*record
	out := header(apart)
	for r := q.first; r != nil; r = r.next {
		if r.segment == seg.index && r.offset+int64(r.size) <= int64(len(content)) {
			left = append(left, r)
			out = append(out, content[r.offset:r.offset+int64(r.size)]...)
		}
	}
	if err := WriteFile(seg.path+".tmp", out); err != nil {
		_ = os.Remove(seg.path + ".tmp") // which is of no use
		return err
	}
	if err := errors.Join(os.Rename(seg.path+".tmp", seg.path), syncDir(q.options.Dir)); err != nil {
		return err
	}
	at := int64(headerSize)
	for _, r := range left {
		r.offset = at
		at += int64(r.size)
	}
	seg.bytes = at
	return nil
}

var _ heap.Interface = (*recordRanks)(nil)
