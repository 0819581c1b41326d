package spans

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Record is one time at which a Kubernetes Event happened, as an OpenTelemetry log record. It
// is handed out within seconds of the Event, and not when what the Event is part of is over. It
// is final: whoever sees the same news of the Event makes the same record of it.
type Record struct {
	// UID tells the record from all others. It is made of who the Event is and how often it
	// had happened, so that a record that comes twice can be told.
	UID trace.TraceID
	// TraceID and SpanID are the span that has the Event, or will have it. They are zero
	// where that is not certain; a trace may be where its span is not.
	TraceID trace.TraceID
	SpanID  trace.SpanID

	// Service is the component that wrote the Event: "kubelet". App, Subject and Resource are
	// of the object that the Event is about, as they are of a Span about it.
	Service  string
	App      *App
	Subject  string
	Resource []attribute.KeyValue

	// Time is when it happened, and Observed when the news of it came.
	Time, Observed time.Time
	// Warning says that the Event is one; else it is normal.
	Warning bool
	// Type is the Event's type as it states it: "Normal", "Warning", or anything else.
	Type string
	// Message is what the Event says.
	Message string
	// Reason is the Event's reason, and Namespace that of the Event itself.
	Reason, Namespace string
	// Kind is the kind of the object that the Event is about: "Pod".
	Kind string
	// Attributes say what happened. No key is here and in Resource.
	Attributes []attribute.KeyValue
}

// Key identifies the record among all that is handed out, as a span's two IDs do.
func (r *Record) Key() (trace.TraceID, trace.SpanID) {
	return r.UID, NewSpanID(r.UID, "record")
}

// Attribute returns the value that a record, or else its Resource, has for a key.
func (r *Record) Attribute(key attribute.Key) (attribute.Value, bool) {
	return (&Span{Attributes: r.Attributes, Resource: r.Resource}).Attribute(key)
}
