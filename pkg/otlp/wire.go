package otlp

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Packed is one span as it waits to be sent: encoded, cut to the package's
// limits and in memory of its own. So it takes the memory that it is counted
// with, whatever it was made from, and it is the same in every byte each time
// it is sent. Encoder.Pack makes it, and Encoder.Request sends it.
type Packed struct {
	// Namespace is whose span it is, for who bounds what waits; empty for what is the
	// cluster's own.
	Namespace string
	// Wire has what the span's Resource says of its service and its object, as fields of
	// a Resource, and behind it the span as a field of ScopeSpans.
	Wire []byte
	// Resource is the length of the first part in bytes.
	Resource int
	// Root says that the span is the root of a trace, and final.
	Root bool
	// Around is what surrounds the span in a request, where that is not what the Encoder has
	// that sends it, but another's Around; empty otherwise.
	Around []byte
	// Record is the UID of a log record, which the item is then; zero of a span.
	Record trace.TraceID
}

// Size is how many bytes are sent for the span, its Resource included.
func (it *Packed) Size() int { return len(it.Wire) }

// IDs are the span's own and that of its trace; of a log record its key.
func (it *Packed) IDs() (of trace.TraceID, id trace.SpanID) {
	if it.Record.IsValid() {
		return (&spans.Record{UID: it.Record}).Key()
	}
	for body := it.spanWire(); len(body) > 0; {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 || kind != protowire.BytesType || number > spanIDField {
			break // They come first.
		}
		value, m := protowire.ConsumeBytes(body[n:])
		if m < 0 {
			break
		}
		if number == traceIDField {
			copy(of[:], value)
		} else {
			copy(id[:], value)
		}
		body = body[n+m:]
	}
	return of, id
}

// The first fields of a Span.
const (
	traceIDField = 1
	spanIDField  = 2
)

// ResourceWire is what the span's Resource says of its service and its object, without a
// copy. Spans that have the same are sent together.
func (it *Packed) ResourceWire() []byte { return it.Wire[:it.Resource] }

// spanWire is the span as it is sent, without a copy.
func (it *Packed) spanWire() []byte {
	_, _, n := protowire.ConsumeTag(it.Wire[it.Resource:])
	body, _ := protowire.ConsumeBytes(it.Wire[it.Resource+max(n, 0):])
	return body
}

// spansField is the field of ScopeSpans that has the spans, and of ScopeLogs that has the records.
const spansField = 2

// Pack encodes the spans of traces, keeping their order. It skips spans that
// cannot be encoded (there should be none), and returns why.
func (e *Encoder) Pack(traces []spans.Trace) (items []Packed, err error) {
	resources := e.resources()
	for i := range traces {
		t := &traces[i]
		namespaces := namespacesOf(t.Spans)
		for j, out := range flatten(traces[i : i+1]) {
			it, failed := resources.pack(out.span, e.encodeSpan(out))
			if failed != nil {
				err = failed
				continue
			}
			it.Namespace = namespaces[j]
			it.Root = j == 0 && !t.Late
			items = append(items, it)
		}
	}
	return items, err
}

// pack puts a message behind the Resource of the span that it is, or is about.
func (r *resources) pack(about *spans.Span, message proto.Message) (Packed, error) {
	resource, err := r.wire(about)
	if err != nil {
		return Packed{}, err
	}
	size := proto.Size(message)
	wire := make([]byte, 0, len(resource)+protowire.SizeTag(spansField)+protowire.SizeBytes(size))
	wire = append(wire, resource...)
	wire = protowire.AppendTag(wire, spansField, protowire.BytesType)
	wire = protowire.AppendVarint(wire, uint64(size)) //nolint:gosec // A size is not negative.
	wire, err = proto.MarshalOptions{Deterministic: true, UseCachedSize: true}.MarshalAppend(wire, message)
	return Packed{Wire: wire, Resource: len(resource)}, err
}

// maxNamespace is how much is kept of a namespace's name, in bytes. The API
// server takes 63.
const maxNamespace = 253

// namespacesOf tells in which namespace each span of a trace is: by the span
// itself, or else by the first span that says it, which is the root if that is
// there.
func namespacesOf(list []spans.Span) []string {
	out := make([]string, len(list))
	common, copies := "", map[string]string{}
	for i := range list {
		v, _ := list[i].Attribute(semconv.K8SNamespaceNameKey)
		if v.Type() != attribute.STRING || v.AsString() == "" {
			continue
		}
		name := v.AsString()
		name = name[:min(len(name), maxNamespace)]
		if copies[name] == "" {
			// The text may be part of a longer one, which must not be kept.
			copies[name] = strings.Clone(name)
		}
		out[i] = copies[name]
		if common == "" {
			common = out[i]
		}
	}
	for i := range out {
		if out[i] == "" {
			out[i] = common
		}
	}
	return out
}

// Request returns a request with the spans of batch: one ResourceSpans for each service
// and object, in the order in which they first appear.
func (e *Encoder) Request(batch []*Packed) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	var fields [][]byte
	type around struct{ resource, around string }
	resources := map[around]int{}
	for _, n := range batch {
		i, ok := resources[around{string(n.ResourceWire()), string(n.Around)}] // without a copy
		if !ok {
			i = len(out)
			resources[around{string(n.ResourceWire()), string(n.Around)}] = i
			out = append(out, e.around(n))
			fields = append(fields, nil)
		}
		fields[i] = append(fields[i], n.Wire[n.Resource:]...)
	}
	for i, of := range out {
		// To the protobuf package these are fields that it does not know, and
		// passes on as they are. To a collector they are spans.
		of.ScopeSpans[0].ProtoReflect().SetUnknown(fields[i])
	}
	return out
}

// around is what surrounds a span in a request.
func (e *Encoder) around(n *Packed) *tracepb.ResourceSpans {
	common, out := e.commonWire, e.resourceSpans(&resourcepb.Resource{})
	var others tracepb.ResourceSpans
	if len(n.Around) > 0 && proto.Unmarshal(n.Around, &others) == nil && len(others.GetScopeSpans()) == 1 {
		// What was encoded can be encoded again. As one encoder does it deterministically, so does
		// another with the same bytes.
		if wire, err := (proto.MarshalOptions{Deterministic: true}).Marshal(others.GetResource()); err == nil {
			common, out = wire, &others
			out.Resource = &resourcepb.Resource{}
		}
	}
	out.Resource.ProtoReflect().SetUnknown(slices.Concat(n.ResourceWire(), common))
	return out
}

// Around is what surrounds every span of this Encoder in a request, but for what is said of
// its service and its object. Who keeps a span for another process keeps it, too, as that may
// have another: see Packed.Around.
func (e *Encoder) Around() []byte {
	wire, _ := proto.MarshalOptions{Deterministic: true}.Marshal(e.resourceSpans(&resourcepb.Resource{Attributes: e.common})) // NewEncoder has tried
	return wire
}

// ResourceBytes is how many bytes of a request each Resource takes at most, besides
// what it says of its service and its object, and its spans: what is common to all, the
// scope, and their lengths, which grow with what is in there.
func (e *Encoder) ResourceBytes() int {
	const lengths = 16
	return proto.Size(e.resourceSpans(&resourcepb.Resource{Attributes: e.common})) + lengths
}

// Decode returns the span as it is sent. It has no Subject, its lists are of the type
// attribute.SLICE, and its Resource is what is said of its object.
func (it *Packed) Decode() *spans.Span {
	out := &spans.Span{}
	var resource resourcepb.Resource
	if proto.Unmarshal(it.ResourceWire(), &resource) == nil && len(resource.GetAttributes()) > 0 {
		// The first attribute is service.name.
		out.Service = resource.GetAttributes()[0].GetValue().GetStringValue()
		out.Resource = decodeAttributes(resource.GetAttributes()[1:])
	}
	var s tracepb.Span
	if proto.Unmarshal(it.spanWire(), &s) != nil {
		return out // Pack has made it, so it can be read.
	}
	copy(out.TraceID[:], s.GetTraceId())
	copy(out.SpanID[:], s.GetSpanId())
	copy(out.ParentID[:], s.GetParentSpanId())
	out.Name, out.SpanKind = s.GetName(), trace.SpanKind(s.GetKind())
	out.Start, out.End = timeOf(s.GetStartTimeUnixNano()), timeOf(s.GetEndTimeUnixNano())
	out.Attributes = decodeAttributes(s.GetAttributes())
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, spans.Event{
			Name: e.GetName(), Time: timeOf(e.GetTimeUnixNano()), Attributes: decodeAttributes(e.GetAttributes()),
		})
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, spans.Link{
			TraceID: trace.TraceID(l.GetTraceId()), SpanID: trace.SpanID(l.GetSpanId()), Attributes: decodeAttributes(l.GetAttributes()),
		})
	}
	switch s.GetStatus().GetCode() {
	case tracepb.Status_STATUS_CODE_ERROR:
		out.Status, out.Message = codes.Error, s.GetStatus().GetMessage()
	case tracepb.Status_STATUS_CODE_OK:
		out.Status = codes.Ok
	}
	return out
}

func timeOf(nano uint64) time.Time {
	if nano == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(nano)).UTC() //nolint:gosec // unixNano made it of one.
}

func decodeAttributes(list []*commonpb.KeyValue) []attribute.KeyValue {
	if len(list) == 0 {
		return nil
	}
	out := make([]attribute.KeyValue, len(list))
	for i, kv := range list {
		out[i] = attribute.KeyValue{Key: attribute.Key(kv.GetKey()), Value: decodeValue(kv.GetValue())}
	}
	return out
}

func decodeValue(v *commonpb.AnyValue) attribute.Value {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_BoolValue:
		return attribute.BoolValue(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return attribute.Int64Value(v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return attribute.Float64Value(v.DoubleValue)
	case *commonpb.AnyValue_StringValue:
		return attribute.StringValue(v.StringValue)
	case *commonpb.AnyValue_BytesValue:
		return attribute.ByteSliceValue(v.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		list := make([]attribute.Value, len(v.ArrayValue.GetValues()))
		for i, element := range v.ArrayValue.GetValues() {
			list[i] = decodeValue(element)
		}
		return attribute.SliceValue(list...)
	case *commonpb.AnyValue_KvlistValue:
		return attribute.MapValue(decodeAttributes(v.KvlistValue.GetValues())...)
	default:
		return attribute.Value{}
	}
}
