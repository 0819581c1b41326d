package otlp

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
)

// resource is what the Resource of a span says of its service and its object, in this
// order. What is common to all spans of an Encoder comes behind it.
func (e *Encoder) resource(s *spans.Span) *resourcepb.Resource {
	attrs := make([]*commonpb.KeyValue, 0, maxServiceAttributes+len(s.Resource)+len(e.common))
	for _, kv := range e.service(nil, s) {
		attrs = append(attrs, encodeAttribute(kv))
	}
	for _, kv := range s.Resource {
		attrs = append(attrs, encodeAttribute(kv))
	}
	out := &resourcepb.Resource{Attributes: attrs}
	if over := proto.Size(out) - maxResourceBytes; over > 0 {
		out.Attributes, out.DroppedAttributesCount = withoutLast(attrs, 0, &over)
	}
	return out
}

// maxServiceAttributes is how many attributes may name the service of a span.
const maxServiceAttributes = 3

// service appends to attrs what names the service of a span, service.name first.
func (e *Encoder) service(attrs []attribute.KeyValue, s *spans.Span) []attribute.KeyValue {
	switch {
	case e.serviceName != "":
		return append(attrs, semconv.ServiceName(e.serviceName))
	case !e.ofWorkloads || s.App == nil:
		return append(attrs, semconv.ServiceName(s.Service))
	}
	attrs = append(attrs, semconv.ServiceName(s.App.Name))
	if s.App.Namespace != "" {
		attrs = append(attrs, semconv.ServiceNamespace(s.App.Namespace))
	}
	if s.App.Version != "" {
		attrs = append(attrs, semconv.ServiceVersion(s.App.Version))
	}
	return attrs
}

// resources encodes the Resources of spans. Most share theirs with others, and those are
// encoded once.
type resources struct {
	encoder *Encoder
	known   map[resourceKey][]byte
}

// resourceKey tells apart what Resources are made of, by where that is in memory.
type resourceKey struct {
	service string
	app     spans.App
	object  *attribute.KeyValue
	len     int
}

func (e *Encoder) resources() *resources {
	return &resources{e, map[resourceKey][]byte{}}
}

// wire is what a span's Resource says of its service and its object, as it is sent.
func (r *resources) wire(s *spans.Span) ([]byte, error) {
	key := resourceKey{service: s.Service, len: len(s.Resource)}
	if s.App != nil {
		key.app = *s.App
	}
	if key.len > 0 {
		key.object = &s.Resource[0]
	}
	wire, ok := r.known[key]
	if !ok {
		var err error
		if wire, err = (proto.MarshalOptions{Deterministic: true}).Marshal(r.encoder.resource(s)); err != nil {
			return nil, err
		}
		r.known[key] = wire
	}
	return wire, nil
}

// ResourceOf is the Resource that a span is sent with, as attributes: of its service, its object
// and the cluster. Of equal keys the last counts.
func (e *Encoder) ResourceOf(s *spans.Span) []*commonpb.KeyValue {
	return append(e.resource(s).Attributes, e.common...)
}
