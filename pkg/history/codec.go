package history

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// errDamaged says that something is not as it was written.
var errDamaged = errors.New("it is damaged")

// codec turns what is kept into bytes, and back. It may be used by many goroutines at once.
type codec struct {
	otlp    *otlp.Encoder
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

const (
	// window is how far back the compression looks, which is most of what it takes of memory.
	window = 512 << 10
	// maxUnpacked is more than what is kept at once is uncompressed. It bounds what damaged
	// bytes can ask for.
	maxUnpacked = 256 << 20
)

// newCodec cannot fail with these options.
func newCodec() *codec {
	encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	decoder, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxUnpacked))
	return &codec{otlp.NewPlainEncoder(), encoder, decoder}
}

// beside is what OTLP does not carry of a span.
type beside struct {
	Kind    string     `json:"k,omitempty"`
	Subject string     `json:"s,omitempty"`
	Target  string     `json:"t,omitempty"`
	App     *spans.App `json:"a,omitempty"`
}

// pack encodes spans:
//
//	how many they are, their IDs, and compressed: of each span the length of its Resource, the
//	length of all that OTLP has of it, and that; then as JSON what OTLP does not carry
//
// The IDs can be read without the rest.
func (c *codec) pack(list []spans.Span) ([]byte, error) {
	out := binary.AppendUvarint(nil, uint64(len(list)))
	var body []byte
	rest := make([]beside, len(list))
	for i := range list {
		s := &list[i]
		out = append(out, s.SpanID[:]...)
		// Each as a trace of its own: among others, ends would be moved for UIs (otlp.apart).
		packed, err := c.otlp.Pack([]spans.Trace{{Spans: list[i : i+1], Late: true}})
		if err != nil || len(packed) != 1 {
			return nil, fmt.Errorf("encode a span: %w", err)
		}
		body = binary.AppendUvarint(body, uint64(packed[0].Resource)) //nolint:gosec // A length is not negative.
		body = binary.AppendUvarint(body, uint64(len(packed[0].Wire)))
		body = append(body, packed[0].Wire...)
		rest[i] = beside{s.Kind.String(), s.Subject, s.Target, s.App}
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encode what OTLP does not carry: %w", err)
	}
	return c.encoder.EncodeAll(append(body, text...), out), nil
}

// idsOf reads the IDs of packed spans.
func idsOf(packed []byte) (ids []trace.SpanID, rest []byte, err error) {
	n, used := binary.Uvarint(packed)
	const size = len(trace.SpanID{})
	if used <= 0 || n > uint64(len(packed)/size) {
		return nil, nil, errDamaged
	}
	packed = packed[used:]
	if len(packed) < int(n)*size { //nolint:gosec // It is bounded.
		return nil, nil, errDamaged
	}
	ids = make([]trace.SpanID, n)
	for i := range ids {
		copy(ids[i][:], packed[i*size:])
	}
	return ids, packed[len(ids)*size:], nil
}

// unpack reads what pack wrote.
func (c *codec) unpack(packed []byte) ([]spans.Span, error) {
	ids, compressed, err := idsOf(packed)
	if err != nil {
		return nil, err
	}
	body, err := c.decoder.DecodeAll(compressed, nil)
	if err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	list := make([]spans.Span, len(ids))
	var before *otlp.Packed
	for i := range list {
		it, left, ok := cutPacked(body)
		if !ok {
			return nil, errDamaged
		}
		body = left
		list[i] = *it.Decode()
		typed(&list[i])
		if before != nil && bytes.Equal(before.ResourceWire(), it.ResourceWire()) {
			list[i].Resource, list[i].Service = list[i-1].Resource, list[i-1].Service // which mostly is the same, and is kept once
		}
		before = &it
	}
	var rest []beside
	if err := json.Unmarshal(body, &rest); err != nil || len(rest) != len(list) {
		return nil, errDamaged
	}
	for i, r := range rest {
		list[i].Kind, list[i].Subject, list[i].Target, list[i].App = kind.Named(r.Kind), r.Subject, r.Target, r.App
	}
	return list, nil
}

func cutPacked(body []byte) (it otlp.Packed, left []byte, ok bool) {
	resource, n := binary.Uvarint(body)
	if n <= 0 {
		return it, nil, false
	}
	size, m := binary.Uvarint(body[n:])
	if m <= 0 || size > uint64(len(body)-n-m) || resource > size {
		return it, nil, false
	}
	body = body[n+m:]
	it.Wire, it.Resource = body[:size], int(resource) //nolint:gosec // It is not more than there is.
	return it, body[size:], true
}

// typed gives lists the types that they had: OTLP has lists of anything.
func typed(s *spans.Span) {
	typedAttributes(s.Attributes)
	typedAttributes(s.Resource)
	for i := range s.Events {
		typedAttributes(s.Events[i].Attributes)
	}
	for i := range s.Links {
		typedAttributes(s.Links[i].Attributes)
	}
}

func typedAttributes(list []attribute.KeyValue) {
	for i := range list {
		if list[i].Value.Type() == attribute.SLICE {
			list[i].Value = typedList(list[i].Value)
		}
	}
}

// typedList is a list whose elements have one type as a list of that type. An empty one is of
// texts, as all that rollspan has are.
func typedList(v attribute.Value) attribute.Value {
	list := v.AsSlice()
	for _, e := range list {
		if e.Type() != list[0].Type() {
			return v
		}
	}
	if len(list) == 0 {
		return attribute.StringSliceValue(nil)
	}
	switch list[0].Type() {
	case attribute.STRING:
		return attribute.StringSliceValue(each(list, attribute.Value.AsString))
	case attribute.INT64:
		return attribute.Int64SliceValue(each(list, attribute.Value.AsInt64))
	case attribute.FLOAT64:
		return attribute.Float64SliceValue(each(list, attribute.Value.AsFloat64))
	case attribute.BOOL:
		return attribute.BoolSliceValue(each(list, attribute.Value.AsBool))
	default:
		return v
	}
}

func each[T any](list []attribute.Value, as func(attribute.Value) T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = as(v)
	}
	return out
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts a checksum before what is written: the database has none of its own.
func seal(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), crc32.Checksum(body, castagnoli)), body...)
}

// unseal returns what was sealed, without a copy.
func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != crc32.Checksum(sealed[4:], castagnoli) {
		return nil, errDamaged
	}
	return sealed[4:], nil
}

// packFacts encodes what an Overview wants.
func (c *codec) packFacts(f *facts) ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return c.encoder.EncodeAll(text, nil), nil
}

func (c *codec) unpackFacts(packed []byte) (*facts, error) {
	text, err := c.decoder.DecodeAll(packed, nil)
	f := &facts{}
	if err == nil {
		err = json.Unmarshal(text, f)
	}
	if err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	return f, nil
}
