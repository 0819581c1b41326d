package spans

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func packed(t testing.TB, e *Encoder, traces []Trace) []Packed {
	t.Helper()
	items, err := e.Pack(traces)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// What a collector reads from the request is what Encode says, each time it is
// sent, and takes the bytes that it was counted with.
func TestRequestIsWhatIsEncoded(t *testing.T) {
	service := rapid.SampledFrom([]string{"", "kubelet", "sched\xffuler", strings.Repeat("s", 2*MaxText)})
	text := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(b []byte) string { return string(b) })
	rapid.Check(t, func(t *rapid.T) {
		e, err := NewEncoder(EncoderOptions{ClusterName: text.Draw(t, "cluster"), ServiceName: service.Draw(t, "all")})
		if err != nil {
			t.Fatal(err)
		}
		var traces []Trace
		for range rapid.IntRange(1, 4).Draw(t, "traces") {
			trace := rollout()
			trace.Late = rapid.Bool().Draw(t, "late")
			for i := range trace.Spans {
				s := &trace.Spans[i]
				s.Service, s.Name = service.Draw(t, "service"), text.Draw(t, "name")
				s.Attributes = append(s.Attributes, attribute.String("x", strings.Repeat(text.Draw(t, "value"), 20)))
			}
			traces = append(traces, trace)
		}

		items, err := e.Pack(traces)
		if err != nil {
			t.Fatal(err)
		}
		q := newQueue(100, 1<<30, e.ServiceBytes())
		q.push(items)
		batch, size := q.take(100, 1<<30)
		wire, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: e.Request(packedOf(batch))})
		if err != nil {
			t.Fatal(err)
		}
		services := len(e.Encode(traces))
		if size < len(wire) || size > len(wire)+20*services {
			t.Fatalf("%d bytes are counted, and %d sent for %d services", size, len(wire), services)
		}
		var got coltracepb.ExportTraceServiceRequest
		if err := proto.Unmarshal(wire, &got); err != nil {
			t.Fatal(err)
		}
		if want := (&coltracepb.ExportTraceServiceRequest{ResourceSpans: e.Encode(traces)}); !proto.Equal(&got, want) {
			t.Fatalf("got\n%v\nwant\n%v", &got, want)
		}
		again, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: e.Request(packedOf(batch))})
		if err != nil || !bytes.Equal(wire, again) {
			t.Fatalf("the second time it is another request (%v)", err)
		}
	})
}

// The span that is acknowledged is the one that was sent.
func TestDecode(t *testing.T) {
	e := testEncoder(t, EncoderOptions{})
	trace := rollout()
	trace.Spans[0].Attributes = append(trace.Spans[0].Attributes,
		attribute.Bool("b", true), attribute.Int64Slice("i", []int64{1, 2}), attribute.ByteSlice("bytes", []byte{1}),
		attribute.KeyValue{Key: "map", Value: attribute.MapValue(attribute.Int("k", 1))}, attribute.KeyValue{Key: "none"})
	for i, it := range packed(t, e, []Trace{trace}) {
		got := it.Decode()
		want := trace.Spans[i]
		if got.TraceID != want.TraceID || got.SpanID != want.SpanID || got.ParentID != want.ParentID || got.Name != want.Name ||
			!got.Start.Equal(want.Start) || !got.End.Equal(want.End) || got.Status != want.Status || got.Message != want.Message {
			t.Errorf("got %+v, want %+v", got, want)
		}
		again := packed(t, e, []Trace{{Spans: []Span{*got}, Late: i > 0}})
		if !bytes.Equal(again[0].Wire, it.Wire) || it.Root != (i == 0) {
			t.Errorf("span %d: %+v is not what was encoded", i, got)
		}
	}
}

// Whose a span is says the span itself, or its trace.
func TestNamespacesOf(t *testing.T) {
	in := func(namespace string) Span {
		return Span{Attributes: []attribute.KeyValue{semconv.K8SNamespaceName(namespace)}}
	}
	number := Span{Attributes: []attribute.KeyValue{semconv.K8SNamespaceNameKey.Int(1)}}
	long := strings.Repeat("n", 2*maxNamespace)
	for _, c := range []struct {
		spans []Span
		want  string
	}{
		{nil, ""},
		{[]Span{{}, number}, " "},
		{[]Span{in("a"), {}, in("b"), {}}, "a a b a"},
		{[]Span{{}, in("a")}, "a a"},
		{[]Span{in(long)}, long[:maxNamespace]},
	} {
		if got := strings.Join(namespacesOf(c.spans), " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A span that is too large for any collector is cut, not lost: its first
// events stay, and it says how many are missing.
func TestHugeSpan(t *testing.T) {
	e := testEncoder(t, EncoderOptions{})
	s := rollout().Spans[1]
	s.Events, s.Links = nil, nil
	for i := range maxList {
		s.Events = append(s.Events, Event{Name: "Failed", Time: testStart.Add(time.Duration(i)), Attributes: []attribute.KeyValue{
			attribute.String("message", strings.Repeat("m", 2*MaxText)),
		}})
	}
	got := e.Encode([]Trace{{Spans: []Span{s}}})[0].ScopeSpans[0].Spans[0]
	n := len(got.Events)
	if size := proto.Size(got); size > maxSpanBytes || size < maxSpanBytes-2*MaxText || n+int(got.DroppedEventsCount) != maxList {
		t.Errorf("%d bytes, %d events and %d dropped", size, n, got.DroppedEventsCount)
	}
	if last := got.Events[n-1]; last.TimeUnixNano != unixNano(s.Events[n-1].Time) {
		t.Errorf("the last of %d events is not the last of those that came first", n)
	}

	s.Events = nil
	for range 4 * maxSpanBytes / MaxText {
		s.Attributes = append(s.Attributes, attribute.String("k", strings.Repeat("v", MaxText)))
		s.Links = append(s.Links, Link{Attributes: s.Attributes[:1]})
	}
	got = e.Encode([]Trace{{Spans: []Span{s}}})[0].ScopeSpans[0].Spans[0]
	if size := proto.Size(got); size > maxSpanBytes || len(got.Links) != 0 ||
		int(got.DroppedLinksCount) != len(s.Links) || len(got.Attributes)+int(got.DroppedAttributesCount) != len(s.Attributes) {
		t.Errorf("%d bytes, %d links and %d dropped, %d attributes and %d dropped", size,
			len(got.Links), got.DroppedLinksCount, len(got.Attributes), got.DroppedAttributesCount)
	}
}

// What waits takes the memory that it is counted with, however large the texts
// were that it was made from.
func TestQueueHoldsWhatItCounts(t *testing.T) {
	e := testEncoder(t, EncoderOptions{})
	q := newQueue(1<<30, 1<<40, 0)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 200 {
		huge := strings.Repeat("x", 1<<20)
		s := numbered(i, 1)[0].Spans[0]
		s.Service = huge[:10]
		s.Attributes = []attribute.KeyValue{semconv.K8SNamespaceName(huge[:20]), attribute.String("small", huge[:100])}
		s.Events = append(s.Events, Event{Name: huge[:50]}, Event{Name: huge})
		q.push(packed(t, e, []Trace{{Spans: []Span{s}}}))
	}
	grown := int64(heap()) - int64(before) //nolint:gosec // They are far from that large.
	// The rest is what Go's allocator rounds up, what the list takes, and what
	// others in this process keep at the same time.
	if most := int64(q.bytes()*5/4 + q.len()*200 + 4<<20); grown > most {
		t.Errorf("the heap grew by %d bytes for %d that are counted, more than %d", grown, q.bytes(), most)
	}
	runtime.KeepAlive(q)
}

// The spans of a request are in a field that the messages of this package do
// not know; the field has to be the right one.
func TestSpansField(t *testing.T) {
	field := (&tracepb.ScopeSpans{}).ProtoReflect().Descriptor().Fields().ByName("spans")
	if field.Number() != spansField {
		t.Errorf("the spans are field %d", field.Number())
	}
}
