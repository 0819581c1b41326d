package journal

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
)

// What a record of a Queue is. The numbers are on disks.
const (
	recWaiting = 1 // items that wait
	recDone    = 2 // all up to here is done
)

// encodeItems appends items of one namespace to a record:
//
//	kind, namespace, and of each item: trace ID, span ID, body
//
// where a text is its length and its bytes.
func encodeItems(to []byte, items []QueueItem) []byte {
	to = appendText(append(to, recWaiting), items[0].Namespace)
	for i := range items {
		to = append(to, items[i].Key.TraceID[:]...)
		to = append(to, items[i].Key.SpanID[:]...)
		to = appendText(to, items[i].Body)
	}
	return to
}

func decodeItems(body []byte) (items []QueueItem, err error) {
	if len(body) == 0 || body[0] != recWaiting {
		return nil, errUnknown
	}
	namespace, rest, ok := cutText(body[1:])
	for ok && len(rest) > 0 {
		it := QueueItem{Namespace: string(namespace)}
		ids := len(it.Key.TraceID) + len(it.Key.SpanID)
		if len(rest) < ids {
			return nil, errDamaged
		}
		copy(it.Key.TraceID[:], rest)
		copy(it.Key.SpanID[:], rest[len(it.Key.TraceID):])
		if it.Body, rest, ok = cutText(rest[ids:]); ok {
			items = append(items, it)
		}
	}
	if !ok || len(items) == 0 {
		return nil, errDamaged
	}
	return items, nil
}

func appendText[T string | []byte](to []byte, s T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

func cutText(from []byte) (text, rest []byte, ok bool) {
	length, n := binary.Uvarint(from)
	if n <= 0 || length > uint64(len(from)-n) {
		return nil, nil, false
	}
	end := n + int(length) //nolint:gosec // It is not more than there is.
	return from[n:end:end], from[end:], true
}

// frameAt is how long the frame is that begins in content at an offset; 0 if none does that is
// whole.
func frameAt(content []byte, at int) (size int) {
	if len(content)-at < frameHead {
		return 0
	}
	length, sum, holds := readFrameHead(content[at:])
	if length == 0 || length > int64(len(content)-at-frameHead) || holds > maxFrame || holds > length*maxRatio {
		return 0
	}
	body := content[at+frameHead:][:length]
	if crc32.Checksum(body, castagnoli) != sum {
		return 0
	}
	return frameHead + int(length)
}

// inflaters are readers of DEFLATE, of which each has tables of some 40 KiB.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// maxRatio is more than DEFLATE can compress.
const maxRatio = 1100

// decodeRecord reads a frame that is a record of a segment whose frames are apart.
func decodeRecord(frame []byte) (number uint64, items []QueueItem, err error) {
	if frameAt(frame, 0) != len(frame) {
		return 0, nil, errDamaged
	}
	_, _, holds := readFrameHead(frame)
	raw := make([]byte, holds)
	from := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(from)
	if err := from.(flate.Resetter).Reset(bytes.NewReader(frame[frameHead:]), nil); err != nil {
		return 0, nil, errDamaged
	}
	if _, err := io.ReadFull(from, raw); err != nil {
		return 0, nil, errDamaged
	}
	_, err = decodeFrame(raw, 0, func(e entry) error {
		number = e.seq
		var wrong error
		items, wrong = decodeItems(e.body)
		return wrong
	})
	return number, items, err
}

// readAt reads a part of a file.
func readAt(path string, offset, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b := make([]byte, size)
	_, err = f.ReadAt(b, offset)
	return b, err
}

// open finds what waits. What it cannot read of it is passed over.
func (q *Queue) open() error {
	if err := os.MkdirAll(q.options.Dir, 0o700); err != nil {
		q.fail(err)
		return nil
	}
	for _, s := range []*series{q.data, q.done} {
		var newer *NewerError
		if err := s.open(); errors.As(err, &newer) {
			return err
		} else if err != nil {
			q.fail(err)
		}
	}
	q.openPosition()
	var damaged []int
	for i := 0; i < len(q.data.segments); i++ {
		whole, err := q.index(&q.data.segments[i], i == len(q.data.segments)-1)
		switch {
		case err != nil:
			q.fail(err)
		case q.data.segments[i].bytes == 0:
			q.data.segments = slices.Delete(q.data.segments, i, i+1)
			i--
		case !whole:
			damaged = append(damaged, i)
		}
	}
	q.data.next = max(q.data.next, q.position.Record+1)
	q.unread = q.first
	for _, i := range slices.Backward(damaged) {
		// So that it is said once, and takes no room.
		if err := q.rewrite(i); err != nil {
			q.fail(err)
		}
	}
	return nil
}

// openPosition finds up to where all is done.
func (q *Queue) openPosition() {
	damaged, err := q.done.recover(func(e entry) error {
		if len(e.body) == 0 || e.body[0] != recDone {
			return nil
		}
		numbers, err := decodeNumbers(e.body)
		if err != nil || len(numbers) != 2 {
			return errDamaged
		}
		at := Place{numbers[0], int(min(numbers[1], 1<<31))} //nolint:gosec // It is bounded.
		if at.Record > q.position.Record || at.Record == q.position.Record && at.At > q.position.At {
			q.position = at
		}
		return nil
	})
	for _, d := range damaged {
		if d.aside == "" {
			q.torn(d.path, d.lost)
			continue
		}
		q.stats.Corrupt++
		q.options.Log.Error("what the queue knows of which spans the collector has is damaged, and is set aside; some may be sent to it again, as they were",
			"file", d.path, "aside", d.aside, "bytes", d.lost)
	}
	if err != nil {
		q.fail(err)
	}
}

// torn says that a tail was cut off.
func (q *Queue) torn(path string, lost int64) {
	q.stats.Torn++
	q.options.Log.Info("the queue's last record was not written to its end; what there is of it is cut off", "file", path, "bytes", lost)
}

// readFile is replaced by tests of a disk that fails.
var readFile = os.ReadFile

// index notes the records of a file. What is damaged of it is passed over: whole is false then.
func (q *Queue) index(seg *segment, last bool) (whole bool, err error) {
	content, err := readFile(seg.path)
	if err != nil {
		return true, q.unreadable(seg, err)
	}
	if _, err := readHeader(bytes.NewReader(content), seg.path); err != nil && len(content) >= headerSize {
		q.corrupt(seg.path, 0, headerSize)
		whole = false
	} else {
		whole = true
	}
	at := headerSize
	for at < len(content) {
		if size := frameAt(content, at); size > 0 {
			if !q.note(seg, int64(at), content[at:at+size]) {
				whole = false
			}
			at += size
			continue
		}
		next := at + 1
		for next < len(content) && frameAt(content, next) == 0 {
			next++
		}
		if next == len(content) && last {
			break
		}
		q.corrupt(seg.path, at, next-at)
		at, whole = next, false
	}
	seg.bytes = int64(min(at, len(content)))
	if good := seg.bytes; good < int64(len(content)) || good < headerSize {
		q.torn(seg.path, int64(len(content))-good)
		if good < headerSize {
			good, seg.bytes = 0, 0
		}
		return whole, cutOff(seg.path, good)
	}
	return whole, nil
}

// unreadable sets a file aside that the disk cannot read, so that the next process does not fail over
// it as well.
func (q *Queue) unreadable(seg *segment, why error) error {
	aside, err := setAside(seg.path, 0)
	if err != nil {
		return errors.Join(why, err)
	}
	q.stats.Corrupt++
	q.options.Log.Error("a file of the queue cannot be read, and is set aside; the spans in it are lost, and all others are sent",
		"file", seg.path, "aside", aside, "error", why)
	seg.bytes = 0
	return nil
}

// corrupt says what of a file is damaged.
func (q *Queue) corrupt(path string, at, size int) {
	q.stats.Corrupt++
	q.options.Log.Error("a record of the queue is damaged; the spans in it are lost, and all others are sent", "file", path, "offset", at, "bytes", size)
}

// note notes a record, if it waits.
func (q *Queue) note(seg *segment, offset int64, frame []byte) (ok bool) {
	number, items, err := decodeRecord(frame)
	if err != nil {
		q.corrupt(seg.path, int(offset), len(frame))
		return false
	}
	q.data.next = max(q.data.next, number+1)
	for i := range items {
		q.found = append(q.found, items[i].Key)
	}
	if len(q.found) > 2*maxFound {
		q.found = append([]SpanKey(nil), q.found[len(q.found)-maxFound:]...)
	}
	done := 0
	switch {
	case number < q.position.Record:
		return true
	case number == q.position.Record:
		if done = q.position.At; done >= len(items) {
			return true
		}
	}
	r := &record{
		number: number, segment: seg.index, offset: offset, size: uint32(len(frame)), //nolint:gosec // It is not large.
		items: uint32(len(items)), done: uint32(done), //nolint:gosec // Nor is this.
	}
	q.add(r, items[0].Namespace)
	q.behind(r, +1)
	return true
}
