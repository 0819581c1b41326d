package otlp

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

func packed(t testing.TB, e *Encoder, traces []spans.Trace) []Packed {
	t.Helper()
	items, err := e.Pack(traces)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// The span that is acknowledged is the one that was sent.
func TestDecode(t *testing.T) {
	e := testEncoder(t, Options{})
	trace := otlptest.Rollout()
	trace.Spans[0].Attributes = append(trace.Spans[0].Attributes,
		attribute.Bool("b", true), attribute.Int64Slice("i", []int64{1, 2}), attribute.ByteSlice("bytes", []byte{1}),
		attribute.KeyValue{Key: "map", Value: attribute.MapValue(attribute.Int("k", 1))}, attribute.KeyValue{Key: "none"})
	for i, it := range packed(t, e, []spans.Trace{trace}) {
		got := it.Decode()
		want := trace.Spans[i]
		if of, id := it.IDs(); of != want.TraceID || id != want.SpanID {
			t.Errorf("its IDs are %s %s, want %s %s", of, id, want.TraceID, want.SpanID)
		}
		if got.TraceID != want.TraceID || got.SpanID != want.SpanID || got.ParentID != want.ParentID || got.Name != want.Name ||
			!got.Start.Equal(want.Start) || !got.End.Equal(want.End) || got.Status != want.Status || got.Message != want.Message {
			t.Errorf("got %+v, want %+v", got, want)
		}
		again := packed(t, e, []spans.Trace{{Spans: []spans.Span{*got}, Late: i > 0}})
		if !bytes.Equal(again[0].Wire, it.Wire) || it.Root != (i == 0) {
			t.Errorf("span %d: %+v is not what was encoded", i, got)
		}
	}
}

// Whose a span is says the span itself, or its trace.
func TestNamespacesOf(t *testing.T) {
	in := func(namespace string) spans.Span {
		return spans.Span{Attributes: []attribute.KeyValue{semconv.K8SNamespaceName(namespace)}}
	}
	number := spans.Span{Attributes: []attribute.KeyValue{semconv.K8SNamespaceNameKey.Int(1)}}
	long := strings.Repeat("n", 2*maxNamespace)
	for _, c := range []struct {
		spans []spans.Span
		want  string
	}{
		{nil, ""},
		{[]spans.Span{{}, number}, " "},
		{[]spans.Span{in("a"), {}, in("b"), {}}, "a a b a"},
		{[]spans.Span{{}, in("a")}, "a a"},
		{[]spans.Span{in(long)}, long[:maxNamespace]},
	} {
		if got := strings.Join(namespacesOf(c.spans), " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A span that is too large for any collector is cut, not lost: its first
// events stay, and it says how many are missing.
func TestHugeSpan(t *testing.T) {
	e := testEncoder(t, Options{})
	s := otlptest.Rollout().Spans[1]
	s.Events, s.Links = nil, nil
	for i := range maxList {
		s.Events = append(s.Events, spans.Event{Name: "Failed", Time: otlptest.Start.Add(time.Duration(i)), Attributes: []attribute.KeyValue{
			attribute.String("message", strings.Repeat("m", 2*spans.MaxText)),
		}})
	}
	got := e.Encode([]spans.Trace{{Spans: []spans.Span{s}}})[0].ScopeSpans[0].Spans[0]
	n := len(got.Events)
	if size := proto.Size(got); size > maxSpanBytes || size < maxSpanBytes-2*spans.MaxText || n+int(got.DroppedEventsCount) != maxList {
		t.Errorf("%d bytes, %d events and %d dropped", size, n, got.DroppedEventsCount)
	}
	if last := got.Events[n-1]; last.TimeUnixNano != unixNano(s.Events[n-1].Time) {
		t.Errorf("the last of %d events is not the last of those that came first", n)
	}

	s.Events = nil
	for range 4 * maxSpanBytes / spans.MaxText {
		s.Attributes = append(s.Attributes, attribute.String("k", strings.Repeat("v", spans.MaxText)))
		s.Links = append(s.Links, spans.Link{Attributes: s.Attributes[:1]})
	}
	got = e.Encode([]spans.Trace{{Spans: []spans.Span{s}}})[0].ScopeSpans[0].Spans[0]
	if size := proto.Size(got); size > maxSpanBytes || len(got.Links) != 0 ||
		int(got.DroppedLinksCount) != len(s.Links) || len(got.Attributes)+int(got.DroppedAttributesCount) != len(s.Attributes) {
		t.Errorf("%d bytes, %d links and %d dropped, %d attributes and %d dropped", size,
			len(got.Links), got.DroppedLinksCount, len(got.Attributes), got.DroppedAttributesCount)
	}
}

// The spans of a request are in a field that the messages of this package do
// not know; the field has to be the right one.
func TestSpansField(t *testing.T) {
	field := (&tracepb.ScopeSpans{}).ProtoReflect().Descriptor().Fields().ByName("spans")
	if field.Number() != spansField {
		t.Errorf("the spans are field %d", field.Number())
	}
}
