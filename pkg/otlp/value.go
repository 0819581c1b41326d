package otlp

import (
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Limits on what one span can hold, besides spans.MaxText. They are far above what a
// cluster writes, and keep one odd object from making a request that no collector
// takes.
const (
	// maxList is the highest number of elements of a list value, of events
	// and of links. The first ones stay.
	maxList = 1 << 10
	// maxDepth is how deep list and map values may nest; what lies deeper is
	// left empty. Protobuf decoders give up at about 100 levels.
	maxDepth = 8
	// maxSpanBytes is the largest size of a span. What is beyond it of its
	// events, links and attributes is left out, the last first.
	maxSpanBytes = 512 << 10
	// maxResourceBytes is the largest size of what a Resource says of a service and an
	// object. What is beyond it is left out, the last first.
	maxResourceBytes = 64 << 10
)

// clean makes s fit for a protobuf string: UTF-8, and no longer than spans.MaxText.
func clean(s string) string {
	s = spans.Cut(s) // before it is repaired, so that a huge text is not copied
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) > spans.MaxText {
		// A byte that was repaired is three bytes long now.
		return clean(s)
	}
	return s
}

func encodeAttributes(attrs []attribute.KeyValue) []*commonpb.KeyValue {
	if len(attrs) == 0 {
		return nil
	}
	out := make([]*commonpb.KeyValue, len(attrs))
	for i, kv := range attrs {
		out[i] = encodeAttribute(kv)
	}
	return out
}

func encodeAttribute(kv attribute.KeyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: clean(string(kv.Key)), Value: encodeValue(kv.Value, maxDepth)}
}

// encodeValue encodes a value of any type. A value without data stays one.
func encodeValue(v attribute.Value, depth int) *commonpb.AnyValue {
	switch v.Type() {
	case attribute.BOOL:
		return boolValue(v.AsBool())
	case attribute.INT64:
		return intValue(v.AsInt64())
	case attribute.FLOAT64:
		return floatValue(v.AsFloat64())
	case attribute.STRING:
		return stringValue(v.AsString())
	case attribute.BYTESLICE:
		b, _ := atMost(v.AsByteSlice(), spans.MaxText)
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: b}}
	case attribute.BOOLSLICE:
		return listValue(v.AsBoolSlice(), boolValue)
	case attribute.INT64SLICE:
		return listValue(v.AsInt64Slice(), intValue)
	case attribute.FLOAT64SLICE:
		return listValue(v.AsFloat64Slice(), floatValue)
	case attribute.STRINGSLICE:
		return listValue(v.AsStringSlice(), stringValue)
	case attribute.SLICE:
		if depth == 0 {
			return &commonpb.AnyValue{}
		}
		return listValue(v.AsSlice(), func(v attribute.Value) *commonpb.AnyValue {
			return encodeValue(v, depth-1)
		})
	case attribute.MAP:
		if depth == 0 {
			return &commonpb.AnyValue{}
		}
		entries, _ := atMost(v.AsMap(), maxList)
		list := &commonpb.KeyValueList{Values: make([]*commonpb.KeyValue, len(entries))}
		for i, kv := range entries {
			list.Values[i] = &commonpb.KeyValue{Key: clean(string(kv.Key)), Value: encodeValue(kv.Value, depth-1)}
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}
	default:
		return &commonpb.AnyValue{}
	}
}

func boolValue(b bool) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: b}}
}

func intValue(i int64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: i}}
}

func floatValue(f float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
}

func stringValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: clean(s)}}
}

func listValue[T any](list []T, encode func(T) *commonpb.AnyValue) *commonpb.AnyValue {
	list, _ = atMost(list, maxList)
	array := &commonpb.ArrayValue{Values: make([]*commonpb.AnyValue, len(list))}
	for i, v := range list {
		array.Values[i] = encode(v)
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}
}

// atMost returns the first n elements of list, and how many it left out.
func atMost[T any](list []T, n int) ([]T, uint32) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], uint32(min(len(list)-n, 1<<31)) //nolint:gosec // Fits: see min.
}
