package spans

import (
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// Limits on what one span can hold. They are far above what a cluster writes
// (an Event's message is cut at 1 KiB, a container's termination message at
// 4 KiB), and keep one odd object from making a request that no collector
// takes.
const (
	// maxText is the longest text in bytes: of a value, a name, a key or a
	// message. Longer text is cut and ends in "…".
	maxText = 4 << 10
	// maxList is the highest number of elements of a list value, of events
	// and of links. The first ones stay.
	maxList = 1 << 10
	// maxDepth is how deep list and map values may nest; what lies deeper is
	// left empty. Protobuf decoders give up at about 100 levels.
	maxDepth = 8
)

// ellipsis ends a text that was cut.
const ellipsis = "…"

// clean makes s fit for a protobuf string: UTF-8, and no longer than maxText.
func clean(s string) string {
	if len(s) > maxText {
		// Cut before repairing, so that a huge text is not copied, and
		// take away what the cut left of its last character.
		s = s[:maxText-len(ellipsis)]
		for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
			if utf8.RuneStart(s[len(s)-i]) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
		s += ellipsis
	}
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) > maxText {
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
		b, _ := atMost(v.AsByteSlice(), maxText)
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

// Sizes of what surrounds the text of a span, rounded up: the structs in
// memory are larger than the same on the wire.
const (
	spanOverhead      = 256
	eventOverhead     = 64
	attributeOverhead = 64
)

// approximateSize estimates how many bytes a span takes, without encoding it:
// it is called on the goroutine that watches the cluster.
func approximateSize(s *Span) int {
	n := spanOverhead + len(s.Name) + len(s.Service) + len(s.Subject) + len(s.Message) + attributesSize(s.Attributes)
	for i := range s.Events {
		n += eventOverhead + len(s.Events[i].Name) + attributesSize(s.Events[i].Attributes)
	}
	for i := range s.Links {
		n += eventOverhead + attributesSize(s.Links[i].Attributes)
	}
	return n
}

func attributesSize(attrs []attribute.KeyValue) int {
	n := 0
	for _, kv := range attrs {
		n += attributeOverhead + len(kv.Key)
		switch kv.Value.Type() {
		case attribute.STRING:
			n += len(kv.Value.AsString())
		case attribute.STRINGSLICE:
			for _, s := range kv.Value.AsStringSlice() {
				n += 16 + len(s)
			}
		case attribute.MAP:
			n += attributesSize(kv.Value.AsMap())
		case attribute.SLICE, attribute.BYTESLICE, attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE:
			n += len(kv.Value.String())
		}
	}
	return n
}
