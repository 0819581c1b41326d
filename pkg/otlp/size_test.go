package otlp

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestSizesAreNeverTooSmall: whatever a span holds, it takes no more than what was told
// before it was encoded, as Tempo counts it.
func TestSizesAreNeverTooSmall(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "web", "\xff\xfe", "é\xff", string(make([]byte, 5000))}))
	value := rapid.Custom(func(t *rapid.T) attribute.Value {
		s := text.Draw(t, "text")
		return rapid.SampledFrom([]attribute.Value{
			attribute.StringValue(s), attribute.BoolValue(true), attribute.Float64Value(1.5), attribute.Int64Value(-1),
			attribute.IntValue(300), attribute.StringSliceValue([]string{s, s}), attribute.SliceValue(attribute.StringValue(s)),
			attribute.ByteSliceValue([]byte(s)), {},
		}).Draw(t, "value")
	})
	attributes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attribute.KeyValue {
		return attribute.KeyValue{Key: attribute.Key(text.Draw(t, "key")), Value: value.Draw(t, "of")}
	}), 0, 5)
	encoders := []*Encoder{
		testEncoder(t, Options{}),
		testEncoder(t, Options{ClusterName: "prod", ClusterUID: "uid", Version: "v1", ObjectNames: true, ServiceNameFrom: ServiceNameFromWorkload}),
		testEncoder(t, Options{ServiceName: "all", SpanNames: SpanNamesKind}),
	}
	rapid.Check(t, func(t *rapid.T) {
		s := spans.Span{
			TraceID: spans.NewTraceID("a"), SpanID: spans.NewSpanID(spans.NewTraceID("a"), "b"), ParentID: spans.NewSpanID(spans.NewTraceID("a"), "c"),
			Name: text.Draw(t, "name"), Target: text.Draw(t, "target"), Subject: text.Draw(t, "subject"), Service: text.Draw(t, "service"),
			Start: otlptest.Start, End: otlptest.Start, Status: codes.Error, Message: text.Draw(t, "message"),
			Attributes: attributes.Draw(t, "attributes"), Resource: attributes.Draw(t, "resource"),
		}
		if rapid.Bool().Draw(t, "app") {
			s.App = &spans.App{Name: text.Draw(t, "app's name"), Namespace: text.Draw(t, "its namespace"), Version: text.Draw(t, "its version")}
		}
		for range rapid.SampledFrom([]int{0, 1, 2, maxList + 1}).Draw(t, "events") {
			s.Events = append(s.Events, spans.Event{Name: "Failed", Time: otlptest.Start, Attributes: s.Attributes})
		}
		for range rapid.SampledFrom([]int{0, 1, maxList + 1}).Draw(t, "links") {
			s.Links = append(s.Links, spans.Link{TraceID: s.TraceID, SpanID: s.SpanID, Attributes: s.Attributes})
		}
		for _, encoder := range encoders {
			told := encoder.Sizes().Resource(&s) + encoder.Sizes().Span(&s)
			if took := tempoSize(encoder, spans.Trace{Spans: []spans.Span{s}}); took > told {
				t.Fatalf("a span takes %d bytes, and was said to take %d", took, told)
			}
		}
	})
}

// tempoSize is the size of a trace as Tempo counts it: without the URLs of schemas.
func tempoSize(encoder *Encoder, tr spans.Trace) (size int) {
	for _, rs := range encoder.Encode([]spans.Trace{tr}) {
		of := &tracepb.ResourceSpans{Resource: rs.GetResource()}
		for _, in := range rs.GetScopeSpans() {
			of.ScopeSpans = append(of.ScopeSpans, &tracepb.ScopeSpans{Scope: in.GetScope(), Spans: in.GetSpans()})
		}
		size += proto.Size(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{of}})
	}
	return size
}

// BenchmarkSizes is what it costs to tell the size of a span, beside what it costs to
// encode it.
func BenchmarkSizes(b *testing.B) {
	encoder := testEncoder(b, Options{ClusterName: "prod"})
	tr := otlptest.Rollout()
	for i := range 8 {
		tr.Spans[0].Attributes = append(tr.Spans[0].Attributes, attribute.String(fmt.Sprint("key-", i), "a value"))
	}
	b.Run("tell", func(b *testing.B) {
		sizes := encoder.Sizes()
		b.ReportAllocs()
		for b.Loop() {
			for i := range tr.Spans {
				sizes.Span(&tr.Spans[i])
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encoder.Pack([]spans.Trace{tr}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
