package export

import (
	"slices"

	"github.com/rollspan/rollspan/pkg/otlp"
)

// Store keeps spans that wait on a disk, in the order in which they came, as they were encoded:
// whatever process sends them, it sends the same bytes. Its methods are called from several
// goroutines.
type Store interface {
	// Append puts spans behind all others, and returns of each where it is; nil, or the zero
	// Place for some of the last, if the disk has failed. If read is true, Next need not return
	// them.
	Append(items []otlp.Packed, read bool) []Place
	// Next returns the oldest spans that were not read, some at once, and where they are; none
	// if there are none. lost is how many came before them and cannot be read any more.
	Next() (items []otlp.Packed, places []Place, lost int)
	// Evict makes room where there is too little, but for what is in records up to a number,
	// which are in flight, and returns what has gone.
	Evict(inFlight uint64) []Evicted
	// Sync makes what was appended survive the machine. Nothing is sent before. When it returns,
	// all is that was appended before, whoever has synced it.
	Sync()
	// Done says that nothing up to a place, and of what is there, is to be sent any more.
	Done(Place)
	// Behind is how many spans Next will return.
	Behind() int
	// Working reports whether the disk has not failed.
	Working() bool
}

// Place is where a span is in a Store: the number of its record, which grows, and its index in
// there. Nothing is in a record 0.
type Place struct {
	Record uint64
	At     int
}

// Evicted are spans that had to go from a Store: what was left of a record. Read says that Next
// has returned them, or need not.
type Evicted struct {
	Record    uint64
	Namespace string
	Spans     int
	Read      bool
}

// push takes items into the queue, on the disk if there is one, and returns how many spans had
// to go, by namespace. The caller holds the lock.
func (e *Exporter) push(items []otlp.Packed) (evicted map[string]int64) {
	if e.store == nil {
		return e.queue.push(items)
	}
	read := e.behind() == 0 && e.queue.fits(items)
	places := e.store.Append(items, read)
	if !read && len(places) > 0 {
		// Memory is the front only; what the disk has not taken is there all the same.
		for len(items) > 0 && places[0].Record > 0 {
			items, places = items[1:], places[1:]
		}
	}
	e.queue.onDisk = e.store.Working()
	evicted = e.queue.pushAt(items, places)
	for _, gone := range e.store.Evict(e.queue.lastInFlight().Record) {
		if gone.Read {
			e.queue.drop(gone.Namespace, gone.Record)
		}
		if evicted == nil {
			evicted = map[string]int64{}
		}
		evicted[gone.Namespace] += int64(gone.Spans)
	}
	return evicted
}

// behind is how many spans only the Store has.
func (e *Exporter) behind() int {
	if e.store == nil {
		return 0
	}
	return e.store.Behind()
}

// refillBatches is how many requests are in memory at least, if there are spans for so many.
const refillBatches = 4

// refill reads what is behind what is in memory. The caller holds the lock.
func (e *Exporter) refill() {
	if e.store == nil {
		return
	}
	most := min(refillBatches*e.settings.BatchSpans, e.queue.max[inSpans]/2)
	mostBytes := min(refillBatches*maxBatchBytes, e.queue.max[inBytes]/2)
	// One that the collector fails for is compared with another one, whatever their sizes.
	for e.queue.len() < 2 || e.queue.len() < most && e.queue.bytes() < mostBytes {
		items, places, lost := e.store.Next()
		e.stats.Dropped.Damaged += int64(lost)
		if len(items) == 0 {
			return
		}
		e.queue.pushAt(items, places)
	}
}

// noteDone notes in the Store that what was in flight is not to be sent any more. The caller holds
// the lock.
func (e *Exporter) noteDone(batch []*node) {
	if e.store == nil {
		return
	}
	for _, n := range slices.Backward(batch) {
		if n.place.Record > 0 {
			e.store.Done(n.place)
			return
		}
	}
}

// ofMemory are the spans of nodes that are in no Store.
func ofMemory(batch []*node) (out []*otlp.Packed) {
	for _, n := range batch {
		if n.place.Record == 0 {
			out = append(out, &n.Packed)
		}
	}
	return out
}
