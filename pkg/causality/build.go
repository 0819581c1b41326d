package causality

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// builder collects the spans of one trace.
type builder struct {
	place place
	base  []attribute.KeyValue // on every span
	spans []*spans.Span
	known map[trace.SpanID]bool // the IDs of spans
	late  bool
	work  *work // what building it costs; nil where that is little
}

// remember is what to remember of one of the spans.
func (b *builder) remember(s *spans.Span) *sentSpan {
	return &sentSpan{b.place, s.SpanID, s.Start, s.End}
}

// node is a span to be: who did what to which object, and when.
type node struct {
	parent  trace.SpanID
	id      []string // tells it from the other spans of the trace
	kind    kind.Kind
	object  string // the kind of the object, where the span's name begins with it
	service string // by default the kind's
	subject string
	start   time.Time
	end     time.Time
	attrs   []attribute.KeyValue
}

// add makes a span. Of several that have one ID the trace gets the first: a backend
// would keep one or the other.
func (b *builder) add(n node) *spans.Span {
	b.work.spend(1)
	id := b.place.rootID()
	if n.id != nil {
		id = b.place.spanID(n.id...)
	} else {
		n.parent = b.place.joined.SpanID()
	}
	s := &spans.Span{
		TraceID:    b.place.traceID(),
		SpanID:     id,
		ParentID:   n.parent,
		Kind:       n.kind,
		Name:       n.kind.Name(n.object),
		Service:    cmp.Or(n.service, n.kind.Service()),
		Subject:    n.subject,
		Start:      n.start,
		End:        latest(n.end, n.start),
		Attributes: slices.Clone(b.base),
	}
	for _, kv := range n.attrs {
		// A pod that is its own workload would be named twice.
		if !slices.ContainsFunc(b.base, func(have attribute.KeyValue) bool { return have.Key == kv.Key }) {
			s.Attributes = append(s.Attributes, kv)
		}
	}
	if b.known == nil {
		b.known = map[trace.SpanID]bool{}
	}
	if !b.known[id] {
		b.known[id] = true
		b.spans = append(b.spans, s)
	}
	return s
}

// done returns the trace. Siblings come in order of their start, every parent
// before its children.
func (b *builder) done() spans.Trace {
	children := map[trace.SpanID][]*spans.Span{}
	var tops []*spans.Span
	for _, s := range b.spans {
		if b.known[s.ParentID] {
			children[s.ParentID] = append(children[s.ParentID], s)
		} else {
			tops = append(tops, s)
		}
	}
	t := spans.Trace{Late: b.late, Spans: make([]spans.Span, 0, len(b.spans))}
	var walk func(siblings []*spans.Span)
	walk = func(siblings []*spans.Span) {
		slices.SortStableFunc(siblings, func(x, y *spans.Span) int { return x.Start.Compare(y.Start) })
		for _, s := range siblings {
			slices.SortStableFunc(s.Events, func(x, y spans.Event) int { return x.Time.Compare(y.Time) })
			t.Spans = append(t.Spans, *s)
			walk(children[s.SpanID])
		}
	}
	walk(tops)
	return t
}

// fail marks a span as failed.
func fail(s *spans.Span, f failure) {
	s.Status = codes.Error
	s.Message = f.reason
	if f.message != "" {
		s.Message = f.reason + ": " + f.message
	}
	s.Attributes = append(s.Attributes, semconv.ErrorTypeKey.String(f.reason))
}

// link adds a link from a span to another change.
func link(s *spans.Span, to place, why attr.Link) { addLink(s, to.traceID(), to.rootID(), why) }

func addLink(s *spans.Span, t trace.TraceID, id trace.SpanID, why attr.Link) {
	s.Links = append(s.Links, spans.Link{TraceID: t, SpanID: id, Attributes: []attribute.KeyValue{attr.LinkKey.String(string(why))}})
}

// linkLoss links what tells of a pod's loss to its causes beyond the workload, but for
// what is in the same trace.
func linkLoss(s *spans.Span, causes []place) {
	for _, by := range causes {
		if by.traceID() != s.TraceID {
			link(s, by, attr.LinkCausedBy)
		}
	}
}

// linkStop does so for the stop of a pod that was lost while a change was open:
// it has no trace of its own, whose root would have the links.
func (p *plan) linkStop(s *spans.Span, at slot) {
	if at.lost != nil {
		linkLoss(s, p.around.causesOfLoss(at.lost, p.around.nodeCause(at.lost, s.End)))
	}
}

// attachDuring puts the Events of a span's time on it.
func attachDuring(s *spans.Span, events []*event) {
	for _, ev := range events {
		if !ev.first().Before(s.Start) && !ev.first().After(s.End) {
			attach(s, ev, s.End)
		}
	}
}

// attach puts an Event on a span, with what of its repetitions fell into the
// time up to until (zero: all), so that it does not matter how much later the
// span is built. An Event is claimed once.
func attach(s *spans.Span, ev *event, until time.Time) {
	if ev.ledger.claimed {
		return
	}
	ev.ledger.claim()
	name := ev.reason
	if name == "" {
		name = "Event"
	}
	last := ev.until(until)
	attrs := []attribute.KeyValue{attr.K8SEventReasonKey.String(ev.reason)}
	for _, kv := range []attribute.KeyValue{
		attr.K8SEventNameKey.String(ev.name),
		attr.K8SEventUIDKey.String(string(ev.uid)),
		attr.K8SEventTypeKey.String(ev.eventType),
		attr.K8SEventMessageKey.String(last.message),
		attr.K8SEventSourceKey.String(ev.component),
	} {
		if kv.Value.AsString() != "" {
			attrs = append(attrs, kv)
		}
	}
	attrs = append(attrs, attr.K8SEventCountKey.Int(int(last.count)))
	if last.at.After(ev.first()) {
		attrs = append(attrs, attr.K8SEventLastTimeKey.String(last.at.UTC().Format(time.RFC3339Nano)))
	}
	s.Events = append(s.Events, spans.Event{Name: name, Time: ev.first(), Attributes: attrs})
}
