package otlp

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// scopeName is the instrumentation scope of every span rollspan sends.
const scopeName = "github.com/rollspan/rollspan"

// Flags of the spans and links rollspan sends, as the OTLP Span.flags field
// wants them: the W3C sampled bit (whoever asks for a rollout's trace wants
// all of it, so all of it is sampled), and whether the parent is a span of
// another process.
const (
	localFlags  = uint32(trace.FlagsSampled) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	remoteFlags = localFlags | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
)

// Options say what is the same for every span an Encoder encodes. The
// zero value is ready to use.
type Options struct {
	// ClusterName becomes the resource attribute k8s.cluster.name. Left out
	// if empty, unless OTEL_RESOURCE_ATTRIBUTES has one.
	ClusterName string
	// ClusterUID becomes the resource attribute k8s.cluster.uid; by
	// convention it is the UID of the namespace kube-system. Left out if
	// empty, unless OTEL_RESOURCE_ATTRIBUTES has one.
	ClusterUID string
	// ServiceName, if not empty, is the service.name of every span. By
	// default a span's service is the component that did the work.
	ServiceName string
	// SpanNames says whether the root of a workload's change is named after the workload.
	// Default SpanNamesObject.
	SpanNames SpanNames
	// ServiceNameFrom is whose name service.name has, where ServiceName is empty. Default
	// ServiceNameFromComponent.
	ServiceNameFrom ServiceNameFrom
	// ObjectNames appends the name of the object a span is about to the
	// span's name ("Pod start web-6757-x2x"). That makes span names high in
	// cardinality, which metrics derived from spans do not like; off by
	// default.
	ObjectNames bool
	// Version is the version of the instrumentation scope: rollspan's own.
	Version string
}

// SpanNames is what the name of a workload's change says.
type SpanNames string

const (
	// SpanNamesObject has it say whose change it is: "Deployment rollout shop/web". A
	// list of traces is of use to people then. The spans below the root, and what has
	// another name each time, such as a pod, have names without.
	SpanNamesObject SpanNames = "object"
	// SpanNamesKind leaves that to the attributes: "Deployment rollout".
	SpanNamesKind SpanNames = "kind"
)

// ServiceNameFrom is whose name is the service.name of spans.
type ServiceNameFrom string

const (
	// ServiceNameFromComponent is the component that did the work: "kubelet".
	ServiceNameFromComponent ServiceNameFrom = "component"
	// ServiceNameFromWorkload is the service that the workload's pods run, so that its
	// rollouts stand beside its own traces: see spans.App. Spans about no workload have
	// their component. On all spans that is an attribute, too: rollspan.component.
	ServiceNameFromWorkload ServiceNameFrom = "workload"
)

// Encoder turns finished spans into OTLP. It is immutable after NewEncoder and
// may be used by many goroutines at once.
//
// The same span always gives the same bytes, because backends tell a span
// that came twice from two spans by comparing them.
type Encoder struct {
	serviceName string
	spanNames   SpanNames
	ofWorkloads bool // see ServiceNameFromWorkload
	objectNames bool
	// common is what all Resources have; commonWire has it as fields of a Resource.
	common     []*commonpb.KeyValue
	commonWire []byte
	scope      *commonpb.InstrumentationScope
}

// NewEncoder returns an Encoder. The resource of its spans is what o says and
// what the environment variable OTEL_RESOURCE_ATTRIBUTES says, where o wins;
// an OTEL_RESOURCE_ATTRIBUTES that cannot be read is an error.
//
// Of OTEL_RESOURCE_ATTRIBUTES the keys below service., container. and, but for
// k8s.cluster., below k8s. are left out, and so is OTEL_SERVICE_NAME: they
// describe the process that has the variable, which is rollspan's own pod
// (the OpenTelemetry Operator fills them in so), while the spans speak of
// other components and other pods.
func NewEncoder(o Options) (*Encoder, error) {
	env, err := resource.New(context.Background(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w; write key=value,key=value", err)
	}
	var attrs []attribute.KeyValue
	for _, kv := range env.Attributes() {
		if !describesRollspan(kv.Key) {
			attrs = append(attrs, kv)
		}
	}
	if o.ClusterName != "" {
		attrs = append(attrs, semconv.K8SClusterName(o.ClusterName))
	}
	if o.ClusterUID != "" {
		attrs = append(attrs, semconv.K8SClusterUID(o.ClusterUID))
	}
	// A Set is sorted and the last of two equal keys wins.
	set := attribute.NewSet(attrs...)
	e := &Encoder{
		serviceName: clean(o.ServiceName),
		spanNames:   o.SpanNames,
		ofWorkloads: o.ServiceNameFrom == ServiceNameFromWorkload,
		objectNames: o.ObjectNames,
		common:      encodeAttributes(set.ToSlice()),
		scope:       &commonpb.InstrumentationScope{Name: scopeName, Version: clean(o.Version)},
	}
	e.commonWire, err = proto.Marshal(&resourcepb.Resource{Attributes: e.common})
	if err != nil {
		return nil, fmt.Errorf("encode OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return e, nil
}

func describesRollspan(key attribute.Key) bool {
	k := string(key)
	return strings.HasPrefix(k, "service.") || strings.HasPrefix(k, "container.") || attr.OfObject(key) ||
		strings.HasPrefix(k, "k8s.") && !strings.HasPrefix(k, "k8s.cluster.")
}

// Encode returns traces as OTLP: one ResourceSpans for each service and object, in the
// order in which they first appear, with the spans of each in the order given.
//
// Encode accepts everything: text that is not UTF-8 is repaired, because one
// bad byte would make a whole request unencodable, and text, lists, span
// events and spans beyond the package's limits are cut (see spans.MaxText, maxList,
// maxSpanBytes).
func (e *Encoder) Encode(traces []spans.Trace) []*tracepb.ResourceSpans {
	return e.encode(flatten(traces))
}

// outgoing is one span on its way out.
type outgoing struct {
	span *spans.Span
	// remoteParent says that the span's parent is not one of rollspan's.
	remoteParent bool
	// end is the span's, or a moment before: see apart.
	end time.Time
}

// flatten takes traces apart into spans, keeping their order.
func flatten(traces []spans.Trace) []outgoing {
	n := 0
	for i := range traces {
		n += len(traces[i].Spans)
	}
	items := make([]outgoing, 0, n)
	for i := range traces {
		t := &traces[i]
		ends := apart(t.Spans)
		for j := range t.Spans {
			s := &t.Spans[j]
			items = append(items, outgoing{
				span: s,
				end:  ends[j],
				// Only the change itself can hang below a span that
				// somebody else sent.
				remoteParent: j == 0 && !t.Late && s.ParentID.IsValid(),
			})
		}
	}
	return items
}

func (e *Encoder) encode(items []outgoing) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	of := e.resources()
	byResource := map[string]*tracepb.ScopeSpans{}
	for _, it := range items {
		// A text that cannot be encoded, of which there should be none, fails the request.
		wire, _ := of.wire(it.span)
		scope, ok := byResource[string(wire)]
		if !ok {
			resource := e.resource(it.span)
			resource.Attributes = append(resource.Attributes, e.common...)
			around := e.resourceSpans(resource)
			out = append(out, around)
			scope = around.ScopeSpans[0]
			byResource[string(wire)] = scope
		}
		scope.Spans = append(scope.Spans, e.encodeSpan(it))
	}
	return out
}

// resourceSpans is what surrounds the spans of one Resource in a request.
func (e *Encoder) resourceSpans(resource *resourcepb.Resource) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   resource,
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: e.scope, SchemaUrl: semconv.SchemaURL}},
		SchemaUrl:  semconv.SchemaURL,
	}
}

// nameOf is what a span is called.
func (e *Encoder) nameOf(s *spans.Span) string {
	if object := e.objectIn(s); object != "" {
		return s.Name + " " + object
	}
	return s.Name
}

// objectIn is the object that the name of a span ends with, or empty if it names none.
func (e *Encoder) objectIn(s *spans.Span) string {
	switch {
	case s.Target != "" && e.spanNames != SpanNamesKind:
		return s.Target
	case e.objectNames:
		return objectName(s.Subject)
	}
	return ""
}

func (e *Encoder) encodeSpan(it outgoing) *tracepb.Span {
	s := it.span
	events, droppedEvents := atMost(s.Events, maxList)
	links, droppedLinks := atMost(s.Links, maxList)
	out := &tracepb.Span{
		TraceId:            s.TraceID[:],
		SpanId:             s.SpanID[:],
		Flags:              localFlags,
		Name:               clean(e.nameOf(s)),
		Kind:               encodeKind(s.SpanKind),
		StartTimeUnixNano:  unixNano(s.Start),
		EndTimeUnixNano:    unixNano(it.end),
		Attributes:         encodeAttributes(s.Attributes),
		Events:             make([]*tracepb.Span_Event, 0, len(events)),
		DroppedEventsCount: droppedEvents,
		Links:              make([]*tracepb.Span_Link, 0, len(links)),
		DroppedLinksCount:  droppedLinks,
		Status:             encodeStatus(s.Status, s.Message),
	}
	if e.ofWorkloads {
		out.Attributes = append(out.Attributes, encodeAttribute(attr.ComponentKey.String(s.Service)))
	}
	if it.remoteParent {
		out.Flags = remoteFlags
	}
	if s.ParentID.IsValid() {
		out.ParentSpanId = s.ParentID[:]
	}
	for i := range events {
		out.Events = append(out.Events, &tracepb.Span_Event{
			TimeUnixNano: unixNano(events[i].Time),
			Name:         clean(events[i].Name),
			Attributes:   encodeAttributes(events[i].Attributes),
		})
	}
	for i := range links {
		out.Links = append(out.Links, encodeLink(s, &links[i]))
	}
	fit(out)
	return out
}

// encodeKind encodes the kind of a span; OTLP counts them as OpenTelemetry's Go API does.
func encodeKind(k trace.SpanKind) tracepb.Span_SpanKind {
	if k == trace.SpanKindUnspecified {
		k = trace.SpanKindInternal
	}
	return tracepb.Span_SpanKind(k) //nolint:gosec // There are five.
}

// fit makes a span small enough for a request: the last events go first, then
// the last links and attributes. It says how many, where OTLP has a field for it.
func fit(s *tracepb.Span) {
	over := proto.Size(s) - maxSpanBytes
	if over <= 0 {
		return
	}
	s.Events, s.DroppedEventsCount = withoutLast(s.Events, s.DroppedEventsCount, &over)
	s.Links, s.DroppedLinksCount = withoutLast(s.Links, s.DroppedLinksCount, &over)
	s.Attributes, s.DroppedAttributesCount = withoutLast(s.Attributes, s.DroppedAttributesCount, &over)
}

// withoutLast drops elements from the end while there is something over, and
// counts them.
func withoutLast[T proto.Message](list []T, dropped uint32, over *int) ([]T, uint32) {
	for *over > 0 && len(list) > 0 {
		last := len(list) - 1
		*over -= proto.Size(list[last])
		list = list[:last]
		if dropped++; dropped == 1 {
			*over += countBytes
		}
	}
	return list, dropped
}

// countBytes is how much the number of dropped elements takes at most.
const countBytes = 6

func encodeLink(from *spans.Span, l *spans.Link) *tracepb.Span_Link {
	out := &tracepb.Span_Link{
		TraceId:    l.TraceID[:],
		SpanId:     l.SpanID[:],
		Attributes: encodeAttributes(l.Attributes),
	}
	// A span of another trace may be rollspan's or somebody else's, sampled
	// or not. No flag at all is OTLP's way to say that it is not known.
	if l.TraceID == from.TraceID {
		out.Flags = localFlags
	}
	return out
}

func encodeStatus(code codes.Code, message string) *tracepb.Status {
	switch code {
	case codes.Error:
		return &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: clean(message)}
	case codes.Ok:
		return &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}
	default:
		return &tracepb.Status{}
	}
}

// objectName is the name of the object a Subject ends with: "web" of
// "pod/web-6757-x2x container/web".
func objectName(subject string) string {
	return subject[strings.LastIndexByte(subject, '/')+1:]
}

// unixNano is a time as OTLP writes it; 0 means unknown, as it does there.
func unixNano(t time.Time) uint64 {
	// Outside these years UnixNano is not defined.
	if t.Unix() < 0 || t.Unix() >= math.MaxInt64/int64(time.Second) {
		return 0
	}
	return uint64(t.UnixNano()) //nolint:gosec // Not negative: see above.
}
