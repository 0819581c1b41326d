package journal

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// recordBytes is how much of one namespace is a record at most, unless one item is larger.
	recordBytes = 64 << 10
	// maxQueueSegment is when a segment of a queue is full, unless its bound is small.
	maxQueueSegment = 4 << 20
	// maxRecords bounds what is known in memory of what waits: some 64 bytes a record.
	maxRecords = 400_000
	// maxFound bounds how many spans are remembered of a process that is gone.
	maxFound = 200_000
	// syncDoneAfter is how long what is done may be forgotten by the machine.
	syncDoneAfter = time.Second
	// positionBytes is when the file is full that says how far all is done.
	positionBytes = 64 << 10
)

// QueueOptions are the options of a Queue.
type QueueOptions struct {
	// Dir is where it is; the caller has locked it.
	Dir string
	// MaxBytes is how much it may take on the disk. Default DefaultMaxBytes.
	MaxBytes int64
	// Kept is called for spans that the disk has for good, so that nothing else is needed any
	// more for them to arrive, and for those that nobody will ever send. It must not call the
	// Queue. Default: nothing.
	Kept func([]SpanKey)
	// Settle makes what Kept was told survive the machine, and reports whether it does. Until
	// then no file is removed that knows those spans. Default: it does.
	Settle func() bool
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
}

// QueueItem is a span that waits: whose it is, and what is sent of it, which to a Queue is
// bytes.
type QueueItem struct {
	Key       SpanKey
	Namespace string
	Body      []byte
}

// Place is where an item is: the number of its record, and how many of that record are before
// it. A Record of 0 is nowhere.
type Place struct {
	Record uint64
	At     int
}

// Evicted is a record that had to go.
type Evicted struct {
	Record    uint64
	Namespace string
	Items     int
	// Read says that Next has returned it, or that Append was told that it need not.
	Read bool
}

// Queue keeps spans on the disk until somebody has them, in the order in which they came. See
// the package's comment. Its methods may be called from any goroutine.
//
// A disk that fails is spoken of once, and counted: Append then takes nothing any more, and
// what can still be read is returned.
type Queue struct {
	options QueueOptions

	storing sync.Mutex // of Sync, which holds it while it waits for the disk

	mu   sync.Mutex
	data *series // of what waits
	done *series // of how far it is done
	// position is up to where all is done.
	position Place
	broken   bool
	first    *record // of those that wait, the oldest
	last     *record
	unread   *record // is what Next returns
	segments map[uint64]*segmentUse
	holders  map[string]*recordHolder
	ranks    recordRanks
	// found are the spans that were there at the beginning, waiting or done; the newest.
	found    []SpanKey
	unsynced []keysOfRecord
	syncing  bool // syncDone is to run
	body     []byte
	stats    QueueStats
}

// keysOfRecord are spans that Kept was not told of.
type keysOfRecord struct {
	record uint64
	keys   []SpanKey
}

// record is what is known of a record that waits.
type record struct {
	number       uint64
	segment      uint64 // its index
	offset       int64  // of its frame
	size         uint32 // of its frame
	items, done  uint32
	read         bool
	holder       *recordHolder
	before, next *record
	after        *record // the next of its holder
}

// segmentUse is how much of a segment is of use.
type segmentUse struct {
	bytes   int64
	records int
}

// QueueStats say how a Queue fares. Those of the last group only grow.
type QueueStats struct {
	// Bytes is what it takes on the disk, of MaxBytes.
	Bytes, MaxBytes int64
	// Items is how many wait, and Behind of how many only the disk knows.
	Items, Behind int
	// Found is how many waited at the beginning.
	Found int

	// Evicted is how many had to go.
	Evicted int64
	// Corrupt is how many records were damaged, and Torn how many tails were cut off.
	Corrupt, Torn int64
	// Failures is how often the disk failed.
	Failures int64
}

// OpenQueue returns the Queue in a directory, which it makes. An error is a *NewerError.
func OpenQueue(o QueueOptions) (*Queue, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Kept == nil {
		o.Kept = func([]SpanKey) {}
	}
	if o.Settle == nil {
		o.Settle = func() bool { return true }
	}
	q := &Queue{
		options: o, data: newSeries(o.Dir, "waiting"), done: newSeries(o.Dir, "done"),
		segments: map[uint64]*segmentUse{}, holders: map[string]*recordHolder{},
	}
	q.data.apart = true
	q.data.full = min(maxQueueSegment, o.MaxBytes/32)
	q.done.full = positionBytes
	if err := q.open(); err != nil {
		return nil, err
	}
	q.stats.Found = q.stats.Items
	return q, nil
}

// Append puts items behind all others, and returns where they are; nil if the disk has failed.
// If read is true, the caller has them, and Next will not return them.
func (q *Queue) Append(items []QueueItem, read bool) []Place {
	q.mu.Lock()
	defer q.mu.Unlock()
	places := make([]Place, 0, len(items))
	for rest := items; len(rest) > 0; {
		n := recordOf(rest)
		r, err := q.write(rest[:n])
		if err != nil {
			q.fail(err)
			if len(places) == 0 {
				return nil
			}
			break
		}
		if r.read = read; !read {
			q.behind(r, +1)
			if q.unread == nil {
				q.unread = r
			}
		}
		for i := range n {
			places = append(places, Place{r.number, i})
		}
		rest = rest[n:]
	}
	for len(places) < len(items) {
		places = append(places, Place{})
	}
	return places
}

// recordOf is how many of items are one record.
func recordOf(items []QueueItem) (n int) {
	bytes := 0
	for n < len(items) && items[n].Namespace == items[0].Namespace && (n == 0 || bytes+len(items[n].Body) <= recordBytes) {
		bytes += len(items[n].Body)
		n++
	}
	return n
}

// write writes a record. The caller holds the lock.
func (q *Queue) write(items []QueueItem) (*record, error) {
	if q.broken {
		return nil, errBroken
	}
	r := &record{items: uint32(len(items))} //nolint:gosec // A record is not large.
	q.body = encodeItems(q.body[:0], items)
	before := q.data.bytes()
	if q.data.file == nil {
		before += headerSize
	}
	r.number = q.data.append(q.body)
	if err := q.data.flush(false); err != nil {
		return nil, err
	}
	seg := q.data.segments[len(q.data.segments)-1]
	r.size = uint32(q.data.bytes() - before) //nolint:gosec // So is its frame.
	r.segment, r.offset = seg.index, seg.bytes-int64(r.size)
	q.add(r, items[0].Namespace)
	keys := make([]SpanKey, len(items))
	for i := range items {
		keys[i] = items[i].Key
	}
	q.unsynced = append(q.unsynced, keysOfRecord{r.number, keys})
	return r, nil
}

var errBroken = errors.New("the disk has failed before")

// fail goes on without the disk, but for what can be read. The caller holds the lock.
func (q *Queue) fail(err error) {
	if q.broken {
		return
	}
	q.broken = true
	q.stats.Failures++
	q.options.Log.Error("the queue of spans for the collector cannot be written; it goes on in memory alone until rollspan is restarted, "+
		"and what waits then may be sent again, as it was", "dir", q.options.Dir, "error", err)
	for _, s := range []*series{q.data, q.done} {
		if s.file == nil {
			continue
		}
		_ = s.file.Close() // it has failed
		if n := len(s.segments); n > 0 {
			_ = os.Truncate(s.segments[n-1].path, s.segments[n-1].bytes) // else a tail is torn
		}
		s.file, s.pending, s.last = nil, nil, 0
	}
}

// Next returns the items of the oldest record that was not read, and where they are; none at
// the end. lost is how many before them could not be read.
func (q *Queue) Next() (items []QueueItem, places []Place, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.unread != nil {
		r := q.unread
		q.unread = r.next
		q.behind(r, -1)
		r.read = true
		items, err := q.read(r)
		if err != nil {
			q.stats.Corrupt++
			q.options.Log.Error("a record of the queue cannot be read; its spans are lost", "file", q.data.path(r.segment),
				"record", r.number, "spans", r.items-r.done, "error", err)
			lost += int(r.items - r.done)
			q.remove(r)
			continue
		}
		for i := range items {
			places = append(places, Place{r.number, i})
		}
		return items[r.done:], places[r.done:], lost
	}
	return nil, nil, lost
}

// read reads a record. The caller holds the lock.
func (q *Queue) read(r *record) ([]QueueItem, error) {
	frame, err := readAt(q.data.path(r.segment), r.offset, int64(r.size))
	if err != nil {
		return nil, err
	}
	_, items, err := decodeRecord(frame)
	if err == nil && len(items) != int(r.items) {
		err = errDamaged
	}
	return items, err
}

// Sync makes what was appended survive the machine, and tells Kept so. Who returns from it knows
// that all does that was there before, whoever has synced it.
func (q *Queue) Sync() {
	q.storing.Lock()
	defer q.storing.Unlock()
	q.mu.Lock()
	if q.broken || len(q.unsynced) == 0 {
		q.mu.Unlock()
		return
	}
	file, kept := q.data.file, q.unsynced
	q.unsynced = nil
	q.mu.Unlock()
	var err error
	if file != nil { // else it was sealed, which has synced it
		if err = file.Sync(); errors.Is(err, os.ErrClosed) {
			err = nil
		}
	}
	q.mu.Lock()
	if err != nil {
		q.fail(err)
	}
	failed := q.broken // by now, be it by what has sealed the file meanwhile
	if failed {
		q.unsynced = append(kept, q.unsynced...)
		q.tellGone()
	}
	q.mu.Unlock()
	if failed {
		return
	}
	for _, k := range kept {
		q.options.Kept(k.keys)
	}
}

// Done notes that of all up to a place, and of what is there, nothing is to be sent any more.
func (q *Queue) Done(at Place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if at.Record == 0 {
		return
	}
	for r := q.first; r != nil && r.number <= at.Record; r = q.first {
		if n := uint32(at.At + 1); r.number == at.Record && n < r.items { //nolint:gosec // A record is not large.
			q.waits(-int(n - r.done))
			r.done = n
			break
		}
		q.remove(r)
	}
	q.position = Place{at.Record, at.At + 1}
	q.notePosition()
	q.reclaimDone()
}

// notePosition writes down how far all is done. The caller holds the lock.
func (q *Queue) notePosition() {
	if q.broken {
		return
	}
	q.done.append(encodeNumbers(recDone, q.position.Record, uint64(q.position.At))) //nolint:gosec // A place is not negative.
	err := q.done.flush(false)
	if err == nil && len(q.done.segments) > 1 {
		err = q.forgetPositions()
	}
	if err != nil {
		q.fail(err)
		return
	}
	if !q.syncing {
		q.syncing = true
		time.AfterFunc(syncDoneAfter, q.syncDone)
	}
}

// syncDone makes what was done survive the machine.
func (q *Queue) syncDone() {
	q.mu.Lock()
	q.syncing = false
	file := q.done.file
	q.mu.Unlock()
	if file == nil {
		return // it was sealed, which has synced it
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.fail(err)
	}
}

// forgetPositions removes all files with positions but the newest, which has the latest.
func (q *Queue) forgetPositions() error {
	if q.done.file == nil {
		return nil // the next one begins a file
	}
	if err := q.done.flush(true); err != nil {
		return err
	}
	newest := len(q.done.segments) - 1
	for _, seg := range q.done.segments[:newest] {
		if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	q.done.segments = q.done.segments[newest:]
	return nil
}

// Found are the spans that the directory knew at the beginning, whether they wait or not: they
// are not to be built again. It forgets them.
func (q *Queue) Found() []SpanKey {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.found
	q.found = nil
	return out
}

// Behind is how many items Next will return.
func (q *Queue) Behind() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats.Behind
}

// Kept reports whether what is appended is kept.
func (q *Queue) Kept() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.broken
}

// Stats returns the counters so far.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.stats
	out.Bytes, out.MaxBytes = q.bytes(), q.options.MaxBytes
	return out
}

// Close leaves all that waits to the next process.
func (q *Queue) Close() error {
	q.Sync()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken {
		return nil
	}
	q.broken = true // nothing is written any more
	return errors.Join(q.data.close(), q.done.close())
}
