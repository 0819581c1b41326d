package otlp

import (
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Sizes tells how large spans are as Tempo counts them against its max_bytes_per_trace: the
// spans of a request, with one Resource and scope for each object and component. It does not
// encode them, which would cost as much as it does to send them. What it tells is never too
// little, and a few percent too much.
type Sizes struct {
	encoder *Encoder
	around  int // what a Resource takes besides what it says of its service and its object
}

// Sizes returns the sizes of what e encodes.
func (e *Encoder) Sizes() *Sizes {
	around := &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: e.common},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: e.scope}},
	}
	const lengths = 4 * 4 // of what grows with what is in there, and the tag of all of it
	return &Sizes{encoder: e, around: proto.Size(around) + lengths}
}

// Span is the size of a span without its Resource, in bytes.
func (z *Sizes) Span(s *spans.Span) int {
	e := z.encoder
	// Its ID, its trace's and its parent's, the flags, two times, the kind, the counts of what
	// was dropped, the status.
	size := 18 + 10 + 10 + 6 + 9 + 9 + 2 + 3*countBytes + 4
	name := textSize(s.Name)
	if object := e.objectIn(s); object != "" {
		name += 1 + textSize(object)
	}
	size += fieldSize(name) + fieldSize(textSize(s.Message)) + attributesSize(s.Attributes)
	if e.ofWorkloads {
		size += attributeSize(attr.ComponentKey.String(s.Service))
	}
	events, _ := atMost(s.Events, maxList)
	for i := range events {
		size += z.Event(&events[i])
	}
	links, _ := atMost(s.Links, maxList)
	for i := range links {
		size += z.Link(&links[i])
	}
	return fieldSize(min(size, maxSpanBytes+countBytes*3))
}

// Event is what an event adds to the size of a span.
func (z *Sizes) Event(ev *spans.Event) int {
	return fieldSize(9 + fieldSize(textSize(ev.Name)) + attributesSize(ev.Attributes))
}

// Link is what a link adds to the size of a span.
func (z *Sizes) Link(l *spans.Link) int {
	return fieldSize(18 + 10 + 6 + attributesSize(l.Attributes))
}

// Attributes is what attributes add to the size of a span.
func (z *Sizes) Attributes(kvs []attribute.KeyValue) int { return attributesSize(kvs) }

// Resource is the size of a span's Resource, in bytes, with the scope and all that surrounds
// the spans which have the same.
func (z *Sizes) Resource(s *spans.Span) int {
	var service [maxServiceAttributes]attribute.KeyValue
	size := z.around + attributesSize(z.encoder.service(service[:0], s))
	return min(size+attributesSize(s.Resource), z.around+maxResourceBytes+countBytes)
}

// fieldSize is the size of a field whose content takes so many bytes.
func fieldSize(n int) int { return 1 + protowire.SizeBytes(n) }

// textSize is the size of a text when it is made fit: see clean.
func textSize(s string) int {
	n := len(s)
	if n > spans.MaxText {
		return spans.MaxText
	}
	if !utf8.ValidString(s) {
		n *= utf8.UTFMax - 1 // a byte that is repaired is three bytes long
	}
	return min(n, spans.MaxText)
}

func attributesSize(kvs []attribute.KeyValue) (size int) {
	for i := range kvs {
		size += attributeSize(kvs[i])
	}
	return size
}

// attributeSize is the size of a KeyValue as a field.
func attributeSize(kv attribute.KeyValue) int {
	return fieldSize(fieldSize(textSize(string(kv.Key))) + fieldSize(valueSize(kv.Value)))
}

// valueSize is the size of an AnyValue.
func valueSize(v attribute.Value) int {
	switch v.Type() {
	case attribute.STRING:
		return fieldSize(textSize(v.AsString()))
	case attribute.BOOL:
		return 2
	case attribute.FLOAT64:
		return 9
	case attribute.INT64:
		return 1 + protowire.SizeVarint(uint64(v.AsInt64())) //nolint:gosec // As protobuf does.
	case attribute.STRINGSLICE:
		list, _ := atMost(v.AsStringSlice(), maxList)
		size := 0
		for _, s := range list {
			size += fieldSize(fieldSize(textSize(s)))
		}
		return fieldSize(size)
	}
	return proto.Size(&commonpb.KeyValue{Value: encodeValue(v, maxDepth)}) // lists, which are few
}
