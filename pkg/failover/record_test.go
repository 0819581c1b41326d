package failover

import (
	"encoding/base64"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/spans"
)

var recorded = time.Unix(1_700_000_000, 0)

// drawRecord makes a record of so many entries.
func drawRecord(t *rapid.T, most int) Record {
	r := Record{Watermark: recorded, Writer: rapid.StringN(0, 12, 16).Draw(t, "writer")}
	for i := range rapid.IntRange(0, most).Draw(t, "entries") {
		e := Entry{End: recorded.Add(time.Duration(rapid.IntRange(-100, 1000).Draw(t, "end")) * time.Second), Open: rapid.Bool().Draw(t, "open")}
		e.Trace = Hash{byte(i >> 8), byte(i), 1}
		for j := range rapid.IntRange(0, 6).Draw(t, "spans") {
			e.Spans = append(e.Spans, Hash{byte(i >> 8), byte(i), byte(j), 2})
		}
		e.Count = len(e.Spans)
		if e.Count == 0 {
			e.Count = rapid.IntRange(1, 100000).Draw(t, "folded")
		}
		r.Entries = append(r.Entries, e)
	}
	return r
}

// What is written is what is read, and what is damaged is no record.
func TestRecordIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t, 20)
		text := want.encode()
		got, err := decodeRecord(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v is read as %+v: %v", want, got, err)
		}
		b, _ := base64.RawStdEncoding.DecodeString(text)
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		_, _ = decodeRecord(base64.RawStdEncoding.EncodeToString(b[:cut])) // a record, or an error
	})
	for _, text := range []string{"?", "AA", base64.RawStdEncoding.EncodeToString([]byte{recordVersion + 1, 0, 0})} {
		if _, err := decodeRecord(text); err == nil {
			t.Errorf("%q is a record", text)
		}
	}
	if r, err := decodeRecord(""); err != nil || !reflect.DeepEqual(r, Record{}) {
		t.Errorf("nothing is %+v, %v", r, err)
	}
}

// A record has a bound. What does not fit is folded, then forgotten, the oldest first: it is
// covered in the end by what its trace says, or by the watermark.
func TestRecordFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := drawRecord(t, 3000)
		last := rapid.IntRange(0, min(10, len(before.Entries))).Draw(t, "last")
		r := before.clone()
		folded, forgotten := r.fit(last)
		text := r.encode()
		if size := base64.RawStdEncoding.DecodedLen(len(text)); size > mostRecordBytes {
			t.Fatalf("it takes %d bytes", size)
		}
		if before.size() <= mostRecordBytes && folded+forgotten > 0 {
			t.Fatal("what had room does not fit")
		}
		named, whole := map[Hash]bool{}, map[Hash]time.Time{}
		for _, e := range r.Entries {
			if len(e.Spans) == 0 {
				whole[e.Trace] = latest(whole[e.Trace], e.End)
			}
			for _, h := range e.Spans {
				named[h] = true
			}
		}
		for i, e := range before.Entries {
			covered := !e.End.After(whole[e.Trace]) || !e.End.After(r.Watermark)
			for _, h := range e.Spans {
				if !named[h] && (!covered || i >= len(before.Entries)-last) {
					t.Fatalf("entry %d of %d is not covered", i, len(before.Entries))
				}
			}
			if len(e.Spans) == 0 && !covered {
				t.Fatalf("folded entry %d is not covered", i)
			}
		}
	})
}

// A trace of more spans than are named one by one is recorded as a whole.
func TestALargeTraceIsRecordedAsAWhole(t *testing.T) {
	large := traceOf(7, mostNamed+1, recorded.Add(time.Millisecond))
	e := entryOf(&large)
	if len(e.Spans) != 0 || e.Count != mostNamed+1 || !e.End.Equal(recorded.Add(time.Second)) {
		t.Errorf("%d spans of %d until %s", len(e.Spans), e.Count, e.End)
	}
	o := NewOutbox(Options{})
	o.Absorb((&Record{Writer: "another", Entries: []Entry{e}}).encode())
	late := traceOf(7, 3, recorded.Add(2*time.Second))
	late.Late = true
	if left, _ := o.untold(large); len(left.Spans) != 0 {
		t.Errorf("%d spans are handed out again", len(left.Spans))
	}
	if left, _ := o.untold(late); len(left.Spans) != 3 {
		t.Errorf("of 3 spans that ended later %d are left", len(left.Spans))
	}
}

// What a process has reconstructed that another has handed out is not told a second time in part, while
// that other lives: not even what ended later, or where the record has no room for each span. If that
// one is gone, what ended later may be told by nobody else.
func TestNothingIsAddedToWhatWasSeenByAnother(t *testing.T) {
	theirs := traceOf(1, 3, recorded)
	whole := entryOf(&theirs)
	folded := whole
	folded.Spans = nil
	for name, e := range map[string]Entry{"span by span": whole, "folded": folded} {
		t.Run(name, func(t *testing.T) {
			now := recorded.Add(time.Hour)
			o := NewOutbox(Options{Now: func() time.Time { return now }})
			o.Absorb((&Record{Writer: "another", Entries: []Entry{e}}).encode())
			ours := traceOf(1, 3, recorded)
			guess := ours.Spans[2]
			guess.SpanID[1], guess.End = 9, recorded.Add(time.Minute)
			ours.Spans = append(ours.Spans, guess)
			left := func(t spans.Trace) int {
				of, _ := o.left(item{Trace: t, put: now.Add(-time.Minute)})
				return len(of.Spans)
			}
			ours.Reconstructed = true
			rest, _ := o.left(item{Trace: ours, put: now.Add(-time.Minute)})
			if len(rest.Spans) != 1 {
				t.Errorf("the other is gone, and %d spans are left, want the one that ended later", len(rest.Spans))
			}
			o.renewed(now.Add(-time.Second))
			if n := left(ours); n != 0 {
				t.Errorf("the other lives, and %d spans of a guess are left", n)
			}
			if n := left(rest.Trace); n != 0 {
				t.Errorf("the other lives, and %d spans of what was left of a guess are", n)
			}
			ours.Reconstructed = false
			if n := left(ours); n != 1 {
				t.Errorf("of what was seen %d spans are left, want the one that ended later", n)
			}
			other := traceOf(2, 3, recorded)
			other.Reconstructed = true
			if n := left(other); n != 3 {
				t.Errorf("of what nobody has told %d spans are left, want 3", n)
			}
		})
	}
}

// Another process may have built a trace with other parts. Of one whose root was handed out
// nothing is that had ended by then, whatever its ID.
func TestPartsOfWhatWasHandedOut(t *testing.T) {
	theirs := traceOf(1, 3, recorded)
	e := entryOf(&theirs)
	o := NewOutbox(Options{})
	o.Absorb((&Record{Writer: "another", Entries: []Entry{e}}).encode())
	ours := traceOf(1, 3, recorded)
	ours.Spans[1].SpanID[7] ^= 1 // the same to the record
	ours.Spans[2].SpanID[0] ^= 1
	late := ours.Spans[2]
	late.SpanID[1], late.End = 9, recorded.Add(time.Minute)
	ours.Spans = append(ours.Spans, late)
	left, gone := o.untold(ours)
	if len(gone) != 3 || len(left.Spans) != 1 || left.Spans[0].SpanID != late.SpanID || !left.Late {
		t.Errorf("%d are dropped, %+v is left", len(gone), left)
	}
	if left, _ := o.untold(left); len(left.Spans) != 1 {
		t.Error("of what is left nothing is told apart any more")
	}
}
