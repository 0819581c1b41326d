package otlp

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestApart: as Jaeger reads it, rounding a start and a duration down each for
// itself, a span that was over when a sibling began ends before that.
func TestApart(t *testing.T) {
	encoder := testEncoder(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		at := otlptest.Start.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "offset")))
		parent := trace.SpanID{1}
		trace := spans.Trace{Spans: []spans.Span{{SpanID: parent, Start: at, End: at.Add(time.Hour)}}}
		n := rapid.IntRange(2, 6).Draw(t, "phases")
		for range n {
			end := at.Add(time.Duration(rapid.IntRange(2_000, 10_000).Draw(t, "length")))
			trace.Spans = append(trace.Spans, spans.Span{ParentID: parent, Start: at, End: end})
			at = end.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 999, 1000, 5000}).Draw(t, "gap")))
		}
		sent := encoder.Encode([]spans.Trace{trace})[0].GetScopeSpans()[0].GetSpans()
		for i := 1; i < n; i++ {
			s, next := sent[i], sent[i+1]
			end := s.GetStartTimeUnixNano()/1000 + (s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano())/1000
			if start := next.GetStartTimeUnixNano() / 1000; end >= start {
				t.Errorf("phase %d ends at %d µs, the next one begins at %d", i, end, start)
			}
			if cut := unixNano(trace.Spans[i].End) - s.GetEndTimeUnixNano(); cut > 1000 {
				t.Errorf("phase %d was cut by %d ns", i, cut)
			}
		}
		if sent[0].GetEndTimeUnixNano() != unixNano(trace.Spans[0].End) || sent[n].GetEndTimeUnixNano() != unixNano(trace.Spans[n].End) {
			t.Error("a span that no other follows was cut")
		}
	})
}

// TestApartLeavesTheRest: what overlaps, or is too short to be cut, stays.
func TestApartLeavesTheRest(t *testing.T) {
	parent := trace.SpanID{1}
	spans := []spans.Span{
		{ParentID: parent, Start: otlptest.Start, End: otlptest.Start.Add(time.Second)},
		{ParentID: parent, Start: otlptest.Start.Add(time.Millisecond), End: otlptest.Start.Add(2 * time.Second)},
		{ParentID: parent, Start: otlptest.Start.Add(time.Second - time.Nanosecond), End: otlptest.Start.Add(time.Second)},
		{ParentID: trace.SpanID{2}, Start: otlptest.Start.Add(time.Second), End: otlptest.Start.Add(time.Minute)},
		{ParentID: parent, Start: otlptest.Start.Add(3 * time.Second), End: otlptest.Start.Add(3 * time.Second)},
	}
	for i, end := range apart(spans) {
		if !end.Equal(spans[i].End) {
			t.Errorf("span %d ends at %s, was %s", i, end, spans[i].End)
		}
	}
}
