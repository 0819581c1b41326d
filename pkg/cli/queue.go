package cli

import (
	"bytes"
	"encoding/binary"
	"path/filepath"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// queueShare is what part of --data-dir-max-bytes is the queue's, where there is a collector;
// the rest is the journal's.
const queueShare = 2

// shareDataDir shares out what a data directory may take.
func (r *run) shareDataDir() (ofJournal, ofQueue int64) {
	most := r.dataDirMost - r.historyBytes() - r.webhookBytes()
	if r.conversion.format != outputOTLP {
		return most, 0
	}
	ofQueue = most / queueShare
	return most - ofQueue, ofQueue
}

// logShare is what part of the queue's share is that of log records, where they are sent.
const logShare = 4

// shareQueue shares out what waits for the collector on the disk.
func (r *run) shareQueue() (ofSpans, ofLogs int64) {
	_, most := r.shareDataDir()
	if r.conversion.logs.on {
		ofLogs = most / logShare
	}
	return most - ofLogs, ofLogs
}

// openQueue opens a queue for the collector that is in the data directory, which is locked by
// now.
func (r *run) openQueue(live *watcher.Live, name string, most int64) (*journal.Queue, error) {
	return journal.OpenQueue(journal.QueueOptions{
		Dir: filepath.Join(r.dataDir, name), MaxBytes: most, Log: r.log,
		Kept:   func(keys []journal.SpanKey) { live.Acknowledge(keys...) },
		Settle: live.Settle,
	})
}

// hurry has what waits for the collector tried again at once.
func (r *run) hurry() {
	if exporter := r.exporter.Load(); exporter != nil {
		exporter.Hurry()
	}
}

// diskQueue is a journal.Queue as an exporter knows it: how a span is encoded in there is said
// here.
type diskQueue struct {
	*journal.Queue
	around []byte // what surrounds the spans of this process
}

const (
	// flagRoot says that a span is the root of a trace.
	flagRoot = 1
	// flagRecord says that it is a log record, whose UID follows.
	flagRecord = 2
)

// encodePacked appends flags, the UID of a log record, the length of what surrounds the span and that, the length of the
// span's Resource, and the span's bytes.
func encodePacked(to []byte, it *otlp.Packed, around []byte) []byte {
	flags := byte(0)
	if it.Root {
		flags |= flagRoot
	}
	if len(it.Around) > 0 {
		around = it.Around
	}
	if to = append(to, flags); it.Record.IsValid() {
		to[len(to)-1] |= flagRecord
		to = append(to, it.Record[:]...)
	}
	to = binary.AppendUvarint(to, uint64(len(around)))
	to = binary.AppendUvarint(append(to, around...), uint64(it.Resource)) //nolint:gosec // A length is not negative.
	return append(to, it.Wire...)
}

// decodePacked reads that. What it returns shares memory with body.
func decodePacked(namespace string, body, around []byte) (it otlp.Packed, ok bool) {
	it.Namespace = namespace
	if len(body) == 0 {
		return it, false
	}
	flags := body[0]
	it.Root, body = flags&flagRoot != 0, body[1:]
	if flags&flagRecord != 0 {
		if len(body) < len(it.Record) {
			return it, false
		}
		body = body[copy(it.Record[:], body):]
	}
	of, n := binary.Uvarint(body)
	body = body[max(n, 0):]
	if n <= 0 || of > uint64(len(body)) {
		return it, false
	}
	if !bytes.Equal(body[:of], around) {
		it.Around = body[:of]
	}
	body = body[of:]
	resource, n := binary.Uvarint(body)
	if n <= 0 || resource > uint64(len(body)-n) {
		return it, false
	}
	it.Wire, it.Resource = body[n:], int(resource) //nolint:gosec // It is not more than there is.
	return it, true
}

// Append puts spans behind all others.
func (q diskQueue) Append(items []otlp.Packed, read bool) []export.Place {
	list := make([]journal.QueueItem, len(items))
	for i := range items {
		list[i].Key.TraceID, list[i].Key.SpanID = items[i].IDs()
		list[i].Namespace = items[i].Namespace
		list[i].Body = encodePacked(nil, &items[i], q.around)
	}
	return placesOf(q.Queue.Append(list, read))
}

// Next returns the oldest spans that were not read.
func (q diskQueue) Next() (items []otlp.Packed, places []export.Place, lost int) {
	list, at, lost := q.Queue.Next()
	for i, it := range list {
		item, ok := decodePacked(it.Namespace, it.Body, q.around)
		if !ok {
			lost++ // which a checksum makes sure does not happen
			continue
		}
		items, places = append(items, item), append(places, export.Place(at[i]))
	}
	return items, places, lost
}

// Evict makes room.
func (q diskQueue) Evict(inFlight uint64) (gone []export.Evicted) {
	for _, e := range q.Queue.Evict(inFlight) {
		gone = append(gone, export.Evicted{Record: e.Record, Namespace: e.Namespace, Spans: e.Items, Read: e.Read})
	}
	return gone
}

// Done says up to where all is done.
func (q diskQueue) Done(at export.Place) { q.Queue.Done(journal.Place(at)) }

// Working reports whether the disk has not failed.
func (q diskQueue) Working() bool { return q.Kept() }

func placesOf(list []journal.Place) (out []export.Place) {
	for _, p := range list {
		out = append(out, export.Place(p))
	}
	return out
}
