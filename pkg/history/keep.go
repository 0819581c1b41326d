package history

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// traceRecord is what is known of a trace: see tableTraces.
type traceRecord struct {
	// Changes are those that share it.
	Changes []place
	// Next is the number of the next part.
	Next uint32
	// Early are the numbers of the parts whose change is still to be told.
	Early []uint32 `json:",omitempty"`
	// Last is when the last span ended, in nanoseconds since 1970.
	Last int64
}

// counters are what is counted of all.
type counters struct {
	Changes, Forgotten int64
	// Open are those that were told and are open: of a dump, or of a recording that ends.
	Open int64
	// Longest is how long the longest change took, of all that there ever were: what overlaps a
	// time began no longer before it.
	Longest time.Duration
}

var (
	keyVersion  = []byte("version")
	keyCounters = []byte("counters")
)

// keeping is one trace, or several, being kept: all of them, or none.
type keeping struct {
	writer
	codec    *codec
	counters counters
	err      error // the first
}

// maxDrop is how many traces are dropped at once. Their records are in pages all over the file, each of
// which is written anew, and the old ones are free for the next change only.
const maxDrop = 256

// keep writes traces, and drops some of what is too old. It reports whether there is more of that.
func keep(t tables, c *codec, traces []spans.Trace, oldest time.Time) (more bool, err error) {
	err = t.update(func(tx writer) error {
		k := &keeping{writer: tx, codec: c}
		k.err = load(tx, tableMeta, keyCounters, &k.counters)
		for i := range traces {
			k.trace(&traces[i])
		}
		if !oldest.IsZero() {
			_, more = k.forget(maxDrop, func(last int64) bool { return last < nanoseconds(oldest) })
		}
		k.store(tableMeta, keyCounters, &k.counters)
		return k.err
	})
	return more && err == nil, err
}

// shrink drops the traces that have ended first: about so many that what is left takes no more
// than it may, if all are alike, and no more than so many at once. It reports whether there were any.
func shrink(t tables, c *codec, target int64, atOnce int) (some bool, err error) {
	used := max(t.used(), 1)
	err = t.update(func(tx writer) error {
		k := &keeping{writer: tx, codec: c}
		k.err = load(tx, tableMeta, keyCounters, &k.counters)
		most := int(float64(k.counters.Changes)*float64(used-target)/float64(used)) + 1
		some, _ = k.forget(min(most, atOnce), func(int64) bool { return true })
		k.store(tableMeta, keyCounters, &k.counters)
		return k.err
	})
	return some && err == nil, err
}

// load reads what store wrote; nothing if there is nothing.
func load(r reader, t table, key []byte, to any) error {
	sealed := r.get(t, key)
	if sealed == nil {
		return nil
	}
	body, err := unseal(sealed)
	if err == nil && json.Unmarshal(body, to) != nil {
		err = errDamaged
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t, err)
	}
	return nil
}

func (k *keeping) store(t table, key []byte, v any) {
	body, err := json.Marshal(v)
	k.failed(err)
	k.write(t, key, body)
}

func (k *keeping) write(t table, key, body []byte) {
	if k.err == nil {
		k.failed(k.put(t, key, seal(body)))
	}
}

func (k *keeping) remove(t table, key []byte) {
	if k.err == nil {
		k.failed(k.delete(t, key))
	}
}

func (k *keeping) failed(err error) {
	if k.err == nil {
		k.err = err
	}
}

// trace takes in what was told of a trace at once.
func (k *keeping) trace(t *spans.Trace) {
	if len(t.Spans) == 0 || k.err != nil {
		return
	}
	id := t.Spans[0].TraceID
	var record traceRecord
	k.failed(load(k, tableTraces, id[:], &record))
	existed := record.Next > 0
	was := record.Last
	in := k.known(id, &record, t.Spans)
	told := slices.DeleteFunc(slices.Clone(t.Spans), func(s spans.Span) bool { return in.has(s.SpanID) })
	if len(told) == 0 || k.err != nil {
		return // it was told before
	}
	for i := range told {
		if end := nanoseconds(told[i].End); !existed && i == 0 || end > record.Last {
			record.Last = end
		}
	}
	joined := true
	if !t.Late && told[0].SpanID == t.Spans[0].SpanID {
		k.begin(in, told)
	} else {
		joined = k.join(in, told)
	}
	if joined && len(record.Early) > 0 {
		k.joinEarly(in)
	}
	k.store(tableTraces, id[:], &record)
	if existed {
		k.remove(tableEnds, endKey(was, id))
	}
	k.write(tableEnds, endKey(record.Last, id), nil)
}

// kept is a trace of which something was told before.
type kept struct {
	id     trace.TraceID
	record *traceRecord
	// of are the changes that its spans are of; nil for those of a change that is still to be
	// told.
	of map[trace.SpanID]*place
}

func (in *kept) has(id trace.SpanID) bool { _, ok := in.of[id]; return ok }

// known reads which spans of a trace there are: of those that are told now and what is above them, or all
// where some wait for what is above them.
func (k *keeping) known(id trace.TraceID, record *traceRecord, told []spans.Span) *kept {
	in := &kept{id, record, map[trace.SpanID]*place{}}
	if len(record.Changes)+len(record.Early) == 0 {
		return in // a change may have 80,000 spans, and nothing is to be found of them
	}
	asked := make(map[trace.SpanID]bool, len(told)+1)
	for i := range told {
		asked[told[i].SpanID], asked[told[i].ParentID] = true, true
	}
	all := len(record.Early) > 0
	note := func(t table, prefix []byte, of *place) {
		for _, sealed := range below(k, t, prefix) {
			packed, err := unseal(sealed)
			k.failed(err)
			ids, _, err := idsOf(packed)
			k.failed(err)
			for _, id := range ids {
				if all || asked[id] {
					in.of[id] = of
				}
			}
		}
	}
	for i := range record.Changes {
		p := record.Changes[i]
		note(tableParts, p.key(), &p)
	}
	note(tableEarly, id[:], nil)
	return in
}

// begin takes in a change, of which the first span is the root.
func (k *keeping) begin(in *kept, list []spans.Span) {
	s := summarize(list)
	p := placeOf(&s)
	in.record.Changes = append(in.record.Changes, p)
	for i := range list {
		in.of[list[i].SpanID] = &p
	}
	k.part(in, p, list)
	k.row(&s)
	k.write(tableObjects, append(objectKey(&s), p.key()...), nil)
	k.counters.Changes++
	k.countOpen(&s, 1)
	k.counters.Longest = max(k.counters.Longest, s.Took())
}

func (k *keeping) countOpen(s *Summary, n int64) {
	if s.Outcome == attr.OutcomeOpen {
		k.counters.Open += n
	}
}

// joinEarly gives changes the spans that were told before what is above them.
func (k *keeping) joinEarly(in *kept) {
	early := in.record.Early
	in.record.Early = nil
	var list []spans.Span
	for _, n := range early {
		key := numbered(in.id[:], n)
		packed, err := unseal(k.get(tableEarly, key))
		k.failed(err)
		part, err := k.codec.unpack(packed)
		k.failed(err)
		list = append(list, part...)
		k.remove(tableEarly, key)
	}
	k.join(in, list)
}

// join takes in spans that were told apart from their change. It reports whether any are below
// what was told.
func (k *keeping) join(in *kept, list []spans.Span) (joined bool) {
	parts := map[place][]spans.Span{}
	for len(list) > 0 {
		var left []spans.Span
		for _, s := range list {
			p := in.of[s.ParentID]
			if p == nil {
				left = append(left, s)
				continue
			}
			in.of[s.SpanID] = p
			parts[*p] = append(parts[*p], s)
		}
		if len(left) == len(list) {
			break
		}
		list = left // a parent may have come after its children
	}
	for _, p := range in.record.Changes {
		if part := parts[p]; len(part) > 0 {
			k.part(in, p, part)
			var s Summary
			k.failed(loadRow(k, p, &s))
			s.count(part)
			k.row(&s)
		}
	}
	if len(list) > 0 {
		in.record.Early = append(in.record.Early, in.record.Next)
		packed, err := k.codec.pack(list)
		k.failed(err)
		k.write(tableEarly, numbered(in.id[:], in.record.Next), packed)
		in.record.Next++
	}
	return len(parts) > 0
}

// part writes spans of a change.
func (k *keeping) part(in *kept, p place, list []spans.Span) {
	key := numbered(p.key(), in.record.Next)
	in.record.Next++
	packed, err := k.codec.pack(list)
	k.failed(err)
	k.write(tableParts, key, packed)
	if f := factsOf(list); len(f.Pods)+len(f.Events) > 0 {
		packed, err := k.codec.packFacts(f)
		k.failed(err)
		k.write(tableFacts, key, packed)
	}
}

// row writes the row of a change: when it ended, which most rows are passed over for, and as
// JSON the rest.
func (k *keeping) row(s *Summary) {
	body, err := json.Marshal(s)
	k.failed(err)
	end := binary.BigEndian.AppendUint64(nil, uint64(nanoseconds(s.End))) //nolint:gosec // It is read back as what it was.
	k.write(tableRows, placeOf(s).key(), append(end, body...))
}

// rowEnd is when a change ended, in nanoseconds since 1970, and the rest of its row.
func rowEnd(sealed []byte) (end int64, rest []byte, err error) {
	body, err := unseal(sealed)
	if err != nil || len(body) < 8 {
		return 0, nil, fmt.Errorf("table %s: %w", tableRows, errDamaged)
	}
	return int64(binary.BigEndian.Uint64(body)), body[8:], nil //nolint:gosec // See row.
}

func loadRow(r reader, p place, to *Summary) error {
	_, body, err := rowEnd(r.get(tableRows, p.key()))
	if err == nil && json.Unmarshal(body, to) != nil {
		err = fmt.Errorf("table %s: %w", tableRows, errDamaged)
	}
	return err
}

// forget drops traces, those that have ended first, as long as it is to, and so many at most. It reports
// whether there were any, and whether there are more.
func (k *keeping) forget(most int, drop func(last int64) bool) (some, more bool) {
	var gone []trace.TraceID
	for key := range from(k, tableEnds, nil) {
		last, id, ok := cutEndKey(key)
		if !ok {
			k.failed(fmt.Errorf("table %s: %w", tableEnds, errDamaged))
			return false, false
		}
		if !drop(last) {
			break
		}
		if more = len(gone) == most; more {
			break
		}
		gone = append(gone, id)
	}
	for _, id := range gone {
		k.drop(id)
	}
	return len(gone) > 0, more
}

// drop drops all that there is of a trace.
func (k *keeping) drop(id trace.TraceID) {
	var record traceRecord
	k.failed(load(k, tableTraces, id[:], &record))
	for _, p := range record.Changes {
		var s Summary
		k.failed(loadRow(k, p, &s))
		k.remove(tableObjects, append(objectKey(&s), p.key()...))
		k.remove(tableRows, p.key())
		for _, t := range []table{tableParts, tableFacts} {
			for _, key := range keysBelow(k, t, p.key()) {
				k.remove(t, key)
			}
		}
		k.counters.Changes--
		k.countOpen(&s, -1)
		k.counters.Forgotten++
	}
	for _, key := range keysBelow(k, tableEarly, id[:]) {
		k.remove(tableEarly, key)
	}
	k.remove(tableTraces, id[:])
	k.remove(tableEnds, endKey(record.Last, id))
}

// numbered is a key of one of several.
func numbered(key []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(key), n)
}

// objectKey begins the keys of all changes of an object. Jobs of one CronJob count as one.
func objectKey(s *Summary) []byte {
	name := "\x00" + s.Name
	if s.Owner != "" {
		name = "\x01" + s.Owner
	}
	return []byte(s.Namespace + "\x00" + s.Kind + name + "\x00")
}

// endKey orders as time goes by.
func endKey(last int64, id trace.TraceID) []byte {
	return append(appendTime(nil, last), id[:]...)
}

func cutEndKey(key []byte) (last int64, id trace.TraceID, ok bool) {
	if len(key) != 8+len(id) {
		return 0, id, false
	}
	copy(id[:], key[8:])
	return timeOf(key), id, true
}
