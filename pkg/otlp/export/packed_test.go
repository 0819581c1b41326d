package export

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

func testEncoder(t testing.TB) *otlp.Encoder {
	t.Helper()
	e, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What a collector reads from the request is what Encode says, each time it is
// sent, and takes the bytes that it was counted with.
func TestRequestIsWhatIsEncoded(t *testing.T) {
	service := rapid.SampledFrom([]string{"", "kubelet", "sched\xffuler", strings.Repeat("s", 2*spans.MaxText)})
	pod := rapid.SampledFrom([]string{"", "web-0", "web\xff-1", strings.Repeat("p", 2*spans.MaxText)})
	text := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(b []byte) string { return string(b) })
	rapid.Check(t, func(t *rapid.T) {
		e, err := otlp.NewEncoder(otlp.Options{ClusterName: text.Draw(t, "cluster"), ServiceName: service.Draw(t, "all")})
		if err != nil {
			t.Fatal(err)
		}
		var traces []spans.Trace
		for range rapid.IntRange(1, 4).Draw(t, "traces") {
			trace := otlptest.Rollout()
			trace.Late = rapid.Bool().Draw(t, "late")
			for i := range trace.Spans {
				s := &trace.Spans[i]
				s.Service, s.Name = service.Draw(t, "service"), text.Draw(t, "name")
				s.Resource = []attribute.KeyValue{semconv.K8SPodName(pod.Draw(t, "pod"))}
				s.Attributes = append(s.Attributes, attribute.String("x", strings.Repeat(text.Draw(t, "value"), 20)))
			}
			traces = append(traces, trace)
		}

		items, err := e.Pack(traces)
		if err != nil {
			t.Fatal(err)
		}
		q := newQueue(100, 1<<30, e.ResourceBytes())
		q.push(items)
		batch, size := q.take(100, 1<<30)
		wire, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: e.Request(packedOf(batch))})
		if err != nil {
			t.Fatal(err)
		}
		resources := len(e.Encode(traces))
		if size < len(wire) || size > len(wire)+20*resources {
			t.Fatalf("%d bytes are counted, and %d sent for %d Resources", size, len(wire), resources)
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

// What waits takes the memory that it is counted with, however large the texts
// were that it was made from.
func TestQueueHoldsWhatItCounts(t *testing.T) {
	e := testEncoder(t)
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
		s.Resource = []attribute.KeyValue{semconv.K8SNamespaceName(huge[:20])}
		s.Attributes = []attribute.KeyValue{attribute.String("small", huge[:100])}
		s.Events = append(s.Events, spans.Event{Name: huge[:50]}, spans.Event{Name: huge})
		items, err := e.Pack([]spans.Trace{{Spans: []spans.Span{s}}})
		if err != nil {
			t.Fatal(err)
		}
		q.push(items)
	}
	grown := int64(heap()) - int64(before) //nolint:gosec // They are far from that large.
	// The rest is what Go's allocator rounds up, what the list takes, and what
	// others in this process keep at the same time.
	if most := int64(q.bytes()*5/4 + q.len()*200 + 4<<20); grown > most {
		t.Errorf("the heap grew by %d bytes for %d that are counted, more than %d", grown, q.bytes(), most)
	}
	runtime.KeepAlive(q)
}
