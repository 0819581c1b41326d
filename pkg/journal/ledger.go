package journal

import (
	"encoding/binary"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// What a record of what was handed out is. The numbers are on disks.
const (
	recBuilt = 1 // spans were built, and are about to be handed out
	recTaken = 2 // of these records all spans are acknowledged
	recSkip  = 3 // these observations are poisoned
)

// SpanKey identifies a span.
type SpanKey struct {
	TraceID trace.TraceID
	SpanID  trace.SpanID
}

// KeysOf are the keys of the spans that a trace tells of, sent or not, or that of a log record.
func KeysOf(t *spans.Trace) []SpanKey {
	if t.Record != nil {
		in, id := t.Record.Key()
		return []SpanKey{{in, id}}
	}
	list := told(t)
	keys := make([]SpanKey, len(list))
	for i := range list {
		keys[i] = keyOf(&list[i])
	}
	return keys
}

// keyOf is the key of a span.
func keyOf(s *spans.Span) SpanKey { return SpanKey{s.TraceID, s.SpanID} }

// encodeBuilt appends spans: when, their trace's ID, and theirs.
func encodeBuilt(to []byte, now time.Time, keys []SpanKey) []byte {
	to = appendTime(append(to, recBuilt), now)
	last := trace.TraceID{}
	for i := range keys {
		if keys[i].TraceID != last {
			last = keys[i].TraceID
			to = append(append(to, 1), last[:]...) // those that follow are of this trace
		}
		to = append(append(to, 0), keys[i].SpanID[:]...)
	}
	return to
}

func decodeBuilt(body []byte) (now time.Time, keys []SpanKey, err error) {
	now, rest, err := readTime(body[1:])
	if err != nil {
		return now, nil, err
	}
	var key SpanKey
	for len(rest) > 0 {
		what := rest[0]
		rest = rest[1:]
		switch {
		case what == 1 && len(rest) >= len(key.TraceID):
			rest = rest[copy(key.TraceID[:], rest):]
		case what == 0 && len(rest) >= len(key.SpanID):
			rest = rest[copy(key.SpanID[:], rest):]
			keys = append(keys, key)
		default:
			return now, nil, errDamaged
		}
	}
	return now, keys, nil
}

// encodeNumbers appends numbers of records.
func encodeNumbers(kind byte, numbers ...uint64) []byte {
	to := []byte{kind}
	for _, n := range numbers {
		to = binary.AppendUvarint(to, n)
	}
	return to
}

func decodeNumbers(body []byte) (numbers []uint64, err error) {
	for rest := body[1:]; len(rest) > 0; {
		number, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, errDamaged
		}
		numbers, rest = append(numbers, number), rest[n:]
	}
	return numbers, nil
}

// builtRecord are spans that were built at once.
type builtRecord struct {
	built time.Time
	keys  []SpanKey
	left  map[SpanKey]bool // are those that are not acknowledged; nil for none
}

// ledger knows what was handed out, as far as it matters.
type ledger struct {
	// records are what is not acknowledged, and what a replay may build again; by number.
	records map[uint64]*builtRecord
	// known has the spans of records, with the number of the latest that they are in.
	known map[SpanKey]uint64
	// skipped are observations that are passed over.
	skipped map[uint64]bool
}

func newLedger() *ledger {
	return &ledger{records: map[uint64]*builtRecord{}, known: map[SpanKey]uint64{}, skipped: map[uint64]bool{}}
}

// read takes in a record. What of it cannot be read is as good as not there: the spans are
// sent again, as they were.
func (l *ledger) read(e entry) error {
	if len(e.body) == 0 {
		return errDamaged
	}
	switch e.body[0] {
	case recBuilt:
		now, keys, err := decodeBuilt(e.body)
		if err != nil {
			return err
		}
		l.built(e.seq, now, keys)
		return nil
	case recTaken:
		numbers, err := decodeNumbers(e.body)
		for _, n := range numbers {
			if r := l.records[n]; r != nil {
				r.left = nil
			}
		}
		return err
	case recSkip:
		numbers, err := decodeNumbers(e.body)
		for _, n := range numbers {
			l.skipped[n] = true
		}
		return err
	}
	return errUnknown
}

// built notes spans that are about to be handed out.
func (l *ledger) built(seq uint64, now time.Time, keys []SpanKey) {
	r := &builtRecord{built: now, keys: keys, left: make(map[SpanKey]bool, len(keys))}
	for _, key := range keys {
		if before, known := l.known[key]; known {
			if delete(l.records[before].left, key); len(l.records[before].left) == 0 {
				l.records[before].left = nil
			}
		}
		l.known[key] = seq
		r.left[key] = true
	}
	l.records[seq] = r
}

// acknowledge notes that spans are acknowledged, and returns the records of which all are
// now.
func (l *ledger) acknowledge(keys []SpanKey) (taken []uint64) {
	taken = l.take(keys)
	for _, seq := range taken {
		l.forget(seq) // this process does not build them again
	}
	return taken
}

// take notes that spans are acknowledged, like acknowledge, but does not forget them: this
// process may build them again.
func (l *ledger) take(keys []SpanKey) (taken []uint64) {
	for _, key := range keys {
		seq, known := l.known[key]
		r := l.records[seq]
		if !known || r == nil || !r.left[key] {
			continue
		}
		if delete(r.left, key); len(r.left) == 0 {
			r.left = nil
			taken = append(taken, seq)
		}
	}
	return taken
}

func (l *ledger) forget(seq uint64) {
	for _, key := range l.records[seq].keys {
		if l.known[key] == seq {
			delete(l.known, key)
		}
	}
	delete(l.records, seq)
}

// forgetTaken forgets what was acknowledged and built before a time.
func (l *ledger) forgetTaken(before time.Time) {
	for seq, r := range l.records {
		if len(r.left) == 0 && r.built.Before(before) {
			l.forget(seq)
		}
	}
}

// isTaken reports whether a span was acknowledged; isBuilt whether it was handed out.
func (l *ledger) isTaken(key SpanKey) bool {
	seq, known := l.known[key]
	return known && !l.records[seq].left[key]
}

func (l *ledger) isBuilt(key SpanKey) bool {
	_, known := l.known[key]
	return known
}

// waiting is how many records are not acknowledged, and when the oldest of them was built: of those of which this
// process has handed something out. What a process before it has, and no replay builds again, nobody ever
// acknowledges: that is of an engine that was closed, of other flags, or of a segment that is damaged. It is not
// as good as acknowledged either, as what a torn tail has lost is watched, and so built, once more.
func (l *ledger) waiting(given map[SpanKey]bool) (n int, oldest time.Time) {
	for _, r := range l.records {
		if !r.waits(given) {
			continue
		}
		n++
		if oldest.IsZero() || r.built.Before(oldest) {
			oldest = r.built
		}
	}
	return n, oldest
}

// waits reports whether spans wait to be acknowledged that this process has handed out.
func (r *builtRecord) waits(given map[SpanKey]bool) bool {
	for key := range r.left {
		if given[key] {
			return true
		}
	}
	return false
}
