package failover

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	// mostRecordBytes bounds a Record as it is written, in bytes of binary; as text in the
	// annotation it is a third longer. It holds some 3,500 spans one by one, or 1,700 traces.
	mostRecordBytes = 24 << 10
	// mostBatchBytes bounds what is recorded at once, and mostNamed how many spans of a trace
	// are named one by one. A trace of more is recorded as a whole.
	mostBatchBytes = 12 << 10
	mostNamed      = 1000
	// recordVersion is the first byte of what is written.
	recordVersion = 1
	// pruneSlack is how long before the watermark spans are known one by one: two observers
	// may date one end some seconds apart.
	pruneSlack = time.Minute
	// pruneAfter is for how long at least what was recorded stays, so that each standby reads
	// it: one that has not read for longer than unreadAfter does not count on that.
	pruneAfter = unreadAfter + 30*time.Second
)

// Hash stands for the ID of a trace or of a span.
type Hash [6]byte

// spanHash is the beginning of the span's ID, which is a hash of its trace's and of what it is.
func spanHash(id trace.SpanID) (h Hash) {
	copy(h[:], id[:])
	return h
}

// traceHash is a hash, as a trace's ID may be a deployer's choice.
func traceHash(id trace.TraceID) (h Hash) {
	sum := sha256.Sum256(id[:])
	copy(h[:], sum[:])
	return h
}

// Entry are spans of a trace that were recorded at once.
type Entry struct {
	Trace Hash
	// End is the latest end of the spans, rounded up to a second.
	End time.Time
	// Spans are which ones. Without any it is all of the trace that ended by End: they were
	// too many to be named (folded).
	Spans []Hash
	// Count is how many they are.
	Count int
	// Open says that nobody has said yet that they have arrived.
	Open bool

	// written is when this process has written it, or read it last. It is not in the Lease.
	written time.Time
}

// Record is what the Lease says of spans.
type Record struct {
	// Watermark says that all that ended before it was handed out, or never will be. It is
	// zero where nobody knows.
	Watermark time.Time
	// Writer is whose record it is: a process, or all that have one data directory.
	Writer string
	// Entries are what was handed out and ended after the watermark, or is about to be; the
	// oldest first.
	Entries []Entry
}

// entryOf is the entry of spans of one trace.
func entryOf(t *spans.Trace) Entry {
	e := Entry{Trace: traceHash(t.Root().TraceID), End: t.End(), Count: len(t.Spans), Open: true}
	if e.Count <= mostNamed {
		for i := range t.Spans {
			e.Spans = append(e.Spans, spanHash(t.Spans[i].SpanID))
		}
	}
	if second := e.End.Truncate(time.Second); !second.Equal(e.End) {
		e.End = second.Add(time.Second)
	}
	e.End = time.Unix(e.End.Unix(), 0)
	return e
}

// size is how many bytes an entry takes at most.
func (e *Entry) size() int {
	return len(e.Trace) + 2*binary.MaxVarintLen32 + len(e.Spans)*len(Hash{})
}

// open is how many spans nobody has said of that they have arrived.
func (r *Record) open() (n int) {
	for i := range r.Entries {
		if r.Entries[i].Open {
			n += r.Entries[i].Count
		}
	}
	return n
}

// isEmpty says whether it has nothing to say.
func (r *Record) isEmpty() bool { return r.Watermark.IsZero() && len(r.Entries) == 0 }

// settle notes that all has arrived, or never will.
func (r *Record) settle() {
	for i := range r.Entries {
		r.Entries[i].Open = false
	}
}

// prune drops what the watermark says by itself.
func (r *Record) prune(now time.Time) {
	kept := r.Entries[:0]
	for _, e := range r.Entries {
		if e.Open || !e.End.Before(r.Watermark.Add(-pruneSlack)) || now.Sub(e.written) < pruneAfter {
			kept = append(kept, e)
		}
	}
	clear(r.Entries[len(kept):])
	r.Entries = kept
}

// fit makes a record as small as it has to be: of the oldest traces all is taken for recorded
// that ended by then (folded), and past that the watermark is moved to where it is needed
// (forgotten). It returns how many traces these are. The last entries, so many, stay.
func (r *Record) fit(last int) (folded, forgotten int) {
	size := r.size()
	old := len(r.Entries) - last
	for i := 0; i < old && size > mostRecordBytes; i++ {
		if e := &r.Entries[i]; len(e.Spans) > 0 {
			size -= len(e.Spans) * len(Hash{})
			e.Spans = nil
			folded++
		}
	}
	if folded > 0 {
		old = r.mergeFolded(old)
		size = r.size()
	}
	for size > mostRecordBytes && forgotten < old {
		e := &r.Entries[forgotten]
		size -= e.size()
		r.Watermark = latest(r.Watermark, e.End)
		forgotten++
	}
	r.Entries = r.Entries[forgotten:]
	return folded, forgotten
}

// size is how many bytes a record takes at most.
func (r *Record) size() int {
	size := len(r.Writer) + 3*binary.MaxVarintLen64
	for i := range r.Entries {
		size += r.Entries[i].size()
	}
	return size
}

// mergeFolded leaves of the folded entries of a trace, among the first so many, the last. It
// returns how many are left of these.
func (r *Record) mergeFolded(old int) (left int) {
	final := map[Hash]Entry{}
	for _, e := range r.Entries[:old] {
		if len(e.Spans) == 0 {
			before := final[e.Trace]
			e.End, e.Count, e.Open = latest(e.End, before.End), e.Count+before.Count, e.Open || before.Open
			final[e.Trace] = e
		}
	}
	var kept []Entry
	for _, e := range r.Entries[:old] {
		if len(e.Spans) == 0 {
			merged, there := final[e.Trace]
			if !there {
				continue
			}
			e = merged
			delete(final, e.Trace)
		}
		kept = append(kept, e)
	}
	left = len(kept)
	r.Entries = append(kept, r.Entries[old:]...)
	return left
}

// clone is a copy that shares the entries' lists, to which nobody writes.
func (r *Record) clone() Record {
	out := *r
	out.Entries = append([]Entry(nil), r.Entries...)
	return out
}

// encode is the record as the text of an annotation:
//
//	version, watermark, writer, entries: trace, end after the watermark, 4n+2*folded+open, n spans
func (r *Record) encode() string {
	watermark := int64(0)
	if !r.Watermark.IsZero() {
		watermark = r.Watermark.Unix()
	}
	b := []byte{recordVersion}
	b = binary.AppendVarint(b, watermark)
	b = binary.AppendUvarint(b, uint64(len(r.Writer)))
	b = append(b, r.Writer...)
	for _, e := range r.Entries {
		b = append(b, e.Trace[:]...)
		b = binary.AppendVarint(b, e.End.Unix()-watermark)
		n := uint64(e.Count) << 2 //nolint:gosec // A count is not negative.
		if len(e.Spans) == 0 {
			n |= 2
		}
		if e.Open {
			n |= 1
		}
		b = binary.AppendUvarint(b, n)
		for _, h := range e.Spans {
			b = append(b, h[:]...)
		}
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// errRecord says that an annotation is not what this version writes.
var errRecord = errors.New("not a record of this version of rollspan")

// decodeRecord reads what encode has written. Nothing is a record of nothing.
func decodeRecord(text string) (r Record, err error) {
	if text == "" {
		return r, nil
	}
	if len(text) > 4*mostRecordBytes {
		return r, errRecord
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || b[0] != recordVersion {
		return r, errRecord
	}
	in := reader{b: b[1:]}
	watermark := in.varint()
	if watermark != 0 {
		r.Watermark = time.Unix(watermark, 0)
	}
	r.Writer = string(in.bytes(in.uvarint()))
	for len(in.b) > 0 && !in.bad {
		var e Entry
		copy(e.Trace[:], in.bytes(uint64(len(e.Trace))))
		e.End = time.Unix(watermark+in.varint(), 0)
		n := in.uvarint()
		e.Open = n&1 != 0
		e.Count = int(min(n>>2, 1<<30)) //nolint:gosec // It is small enough.
		for range min(e.Count, len(in.b)) {
			if n&2 != 0 {
				break
			}
			var h Hash
			copy(h[:], in.bytes(uint64(len(h))))
			e.Spans = append(e.Spans, h)
		}
		r.Entries = append(r.Entries, e)
	}
	if in.bad {
		return Record{}, errRecord
	}
	return r, nil
}

// reader takes what was appended off again.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.bad, r.b = true, nil
		return
	}
	r.b = r.b[n:]
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
