package spans

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// Span is one finished piece of work in a cluster. It is final: once a Span
// has left the engine nothing about it changes, because backends keep the
// first copy, the last or both of two spans with one ID.
type Span struct {
	TraceID trace.TraceID
	SpanID  trace.SpanID
	// ParentID is zero for the root of a trace.
	ParentID trace.SpanID

	// Kind is what logic tells spans apart by. It is not exported: who reads a span back
	// from OTLP has zero.
	Kind kind.Kind
	// Name is for people. It is low in cardinality: kinds and verbs, no object names.
	Name string
	// Target is whose change it is, "shop/web", where an encoding may put that behind the
	// name of a root: "Deployment rollout shop/web". It is empty below a root, and where
	// what changes has a new name each time, as pods do. It is not exported as such.
	Target string
	// Service is the component that did the work ("kubelet"). It becomes
	// the resource attribute service.name.
	Service string
	// App is the service that the object is part of, as that names itself in its own
	// telemetry. It is nil where the span is about no workload. Spans may share it, so
	// nobody writes to it.
	App *App
	// Subject names the object the span is about, for people, as kubectl
	// would: "pod/web-6757-x2x" or "pod/web-6757-x2x container/web". It is not
	// exported as such: Resource carries the same names.
	Subject string

	// SpanKind is OpenTelemetry's: Server for a root, and where another component does
	// the work than its parent's; Internal for the rest.
	SpanKind trace.SpanKind

	// Start and End have nanosecond precision where the cluster's data
	// had; End is never before Start.
	Start, End time.Time

	// Resource describes the object that the span is about: its namespace, workload,
	// pod, container, node. With Service it becomes the OTLP Resource. Spans about one
	// object may share it, so nobody writes to it.
	Resource []attribute.KeyValue
	// Attributes say what happened. No key is here and in Resource.
	Attributes []attribute.KeyValue
	// Events are in order of time.
	Events []Event
	Links  []Link

	// Status is Error only for work that failed; Message then says why.
	Status  codes.Code
	Message string
}

// App is a service that pods run. Its fields are the attributes service.name,
// service.namespace and service.version of the service's own telemetry; the version may
// be empty. They are worked out as OpenTelemetry's semantic conventions have it
// (docs/non-normative/k8s-attributes.md): from labels and annotations of the pods, or else
// from the names of who owns them and their images.
type App struct {
	Name, Namespace, Version string
}

// String has the fields, so that a span is printed with them.
func (a *App) String() string {
	if a == nil {
		return ""
	}
	return a.Namespace + "/" + a.Name + " " + a.Version
}

// Event is something that happened while a span was open; mostly a
// Kubernetes Event.
type Event struct {
	Name       string
	Time       time.Time
	Attributes []attribute.KeyValue
}

// Link points to a span that is a cause or a relative, but not the parent.
type Link struct {
	TraceID    trace.TraceID
	SpanID     trace.SpanID
	Attributes []attribute.KeyValue
}

// Trace is what the engine hands out at once: all spans of one finished
// change, the root first and every parent before its children; or, with Late
// set, spans that were finished before or after it.
type Trace struct {
	Spans []Span
	// Late says that the root is not among these spans: it went out before, or,
	// where they say what a change in progress waits for, is still to come.
	Late bool
	// Reconstructed says that it had ended when this process began, which tells it by what was left of
	// it: whoever has seen it may have told it otherwise.
	Reconstructed bool

	// Waits is what the root says in rollspan.waiting_for, in parts. It is nil where that is not
	// there, and is not exported as such.
	Waits *Waits

	// Selection says what is sent of a trace that is over its budget: see package budget.
	// All else sees Spans. It is nil for a trace that is sent as it is.
	Selection *Selection

	// Record is a log record that is handed out among traces, in their order. Then there are no
	// spans. It is nil of a trace, and of all where no records are asked for.
	Record *Record
}

// Waits is what a change waits for that is open, or waited for when it ended.
type Waits struct {
	// Paused says that it does not go on before it is resumed.
	Paused bool
	// For is all else, in clauses: "1 of 3 ready".
	For []string
}

// String is "paused; 1 of 3 ready; pod web-0: ImagePullBackOff: app:nope: not found".
func (w *Waits) String() string {
	clauses := w.For
	if w.Paused {
		clauses = append([]string{kind.Paused.String()}, clauses...)
	}
	return strings.Join(clauses, "; ")
}

// Selection is what is sent of a trace that is over its budget.
type Selection struct {
	// Spans are those of the trace that are sent, in its order; of a trace without spans, what
	// sums up what others have left out.
	Spans []Span
	// LeftOut is how many of the trace's spans are not among them.
	LeftOut int
}

// Sent returns the trace as it is sent.
func (t *Trace) Sent() Trace {
	if t.Selection == nil {
		return *t
	}
	out := Trace{Spans: t.Selection.Spans, Late: t.Late, Reconstructed: t.Reconstructed}
	if len(out.Spans) == 0 || len(t.Spans) == 0 || out.Spans[0].SpanID != t.Spans[0].SpanID {
		out.Late = true // its root is not among them
	}
	return out
}

// Root returns the first span, which is the change itself unless the trace
// is Late. It returns nil for an empty trace.
func (t *Trace) Root() *Span {
	if len(t.Spans) == 0 {
		return nil
	}
	return &t.Spans[0]
}

// End returns the latest end of the trace's spans, which is zero without any.
func (t *Trace) End() (end time.Time) {
	for i := range t.Spans {
		if at := t.Spans[i].End; at.After(end) {
			end = at
		}
	}
	return end
}

// Attribute returns the value that a span, or else its Resource, has for a key.
func (s *Span) Attribute(key attribute.Key) (attribute.Value, bool) {
	for _, list := range [...][]attribute.KeyValue{s.Attributes, s.Resource} {
		for _, kv := range list {
			if kv.Key == key {
				return kv.Value, true
			}
		}
	}
	return attribute.Value{}, false
}

// Text is the value that Attribute returns, if it is a text; empty for none and any other.
func (s *Span) Text(key attribute.Key) string {
	if v, ok := s.Attribute(key); ok && v.Type() == attribute.STRING {
		return v.AsString()
	}
	return ""
}
