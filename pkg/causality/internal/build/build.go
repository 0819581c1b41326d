package build

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// builder collects the spans of one trace.
type builder struct {
	place ledger.Place
	base  []attribute.KeyValue // on every span
	spans []*spans.Span
	known map[trace.SpanID]*spans.Span // spans by their IDs
	// above are the services of spans that are not among these, but parents of them: they
	// went out before, or come later. The root of a rollout has deployment-controller.
	above map[trace.SpanID]parent
	// resources are those that spans have so far. Spans about one object share one.
	resources map[string][]attribute.KeyValue
	late      bool
	// workload is whose trace it is; nil of an object's that is of none. app is the service
	// that its pods run: that of what is about the workload, and not about a pod.
	workload *workloads.Workload
	app      *spans.App
	work     *evidence.Work // what building it costs; nil where that is little
	rootID   trace.SpanID   // the place's: see rootIs
	// What describe puts together, of each span anew.
	object, own []attribute.KeyValue
	key         []byte
	// doubts are of the times that are known worse than to the second, by the subject of the
	// object that they are of.
	doubts map[string]evidence.Doubts
	// endsBySelf says that the root ends by what its own object says, and not with pods.
	endsBySelf bool
}

// rootIs is the ID of the root, which all spans are compared with.
func (b *builder) rootIs() trace.SpanID {
	if !b.rootID.IsValid() {
		b.rootID = b.place.RootID()
	}
	return b.rootID
}

// remember is what to remember of one of the spans.
func (b *builder) remember(s *spans.Span) *ledger.SentSpan {
	return &ledger.SentSpan{Place: b.place, SpanID: s.SpanID, Service: s.Service, Start: s.Start, End: s.End}
}

// parent is what is known of a span that has others below it.
type parent struct {
	service string
	start   time.Time // zero where it is not known yet
}

// below notes that spans of this builder are below one that is not among them, which
// component that is of, and when it began: none of them begins before it.
func (b *builder) below(id trace.SpanID, of parent) {
	if b.above == nil {
		b.above = map[trace.SpanID]parent{}
	}
	b.above[id] = of
}

// belowSent notes that of one that was handed out.
func (b *builder) belowSent(s *ledger.SentSpan) { b.below(s.SpanID, parent{s.Service, s.Start}) }

// SpanSpec says what a span is to be: who did what to which object, and when. The kubelet
// pulled the image of the container app of pod web-1 from 10:02:03 to 10:02:07.
type SpanSpec struct {
	parent  trace.SpanID
	id      []string // tells it from the other spans of the trace; nil of the root
	Kind    kind.Kind
	Object  string // the kind of the object, where the span's name begins with it
	Service string // by default the kind's
	Target  string // of a root, whose change it is: see spans.Span
	Subject string
	Start   time.Time
	End     time.Time
	app     *spans.App // by default the builder's
	// Attrs describe the object, or say what happened: add tells them apart.
	Attrs []attribute.KeyValue
	// StartProof and EndProof say how well the boundaries are known, where that is worse
	// than to the second.
	StartProof, EndProof evidence.Proof
}

// add makes a span. Of several that have one ID the trace gets the first: a backend
// would keep one or the other.
func (b *builder) add(spec SpanSpec) *spans.Span {
	b.work.Spend(1)
	var id trace.SpanID
	if spec.id != nil {
		id = b.place.SpanID(spec.id...)
	} else {
		id, spec.parent = b.rootIs(), b.place.Joined.SpanID()
	}
	spec.Start = evidence.Latest(spec.Start, b.above[spec.parent].start)
	s := &spans.Span{
		TraceID:  b.place.TraceID(),
		SpanID:   id,
		ParentID: spec.parent,
		Kind:     spec.Kind,
		Name:     spec.Kind.Name(spec.Object),
		Target:   spec.Target,
		Service:  cmp.Or(spec.Service, spec.Kind.Service()),
		App:      cmp.Or(spec.app, b.app),
		Subject:  spec.Subject,
		Start:    spec.Start,
		End:      evidence.Latest(spec.End, spec.Start),
	}
	b.describe(s, b.base, spec.Attrs)
	s.Attributes = append(s.Attributes, spec.StartProof.Attributes(attr.StartPrecisionKey, attr.StartSourceKey)...)
	s.Attributes = append(s.Attributes, spec.EndProof.Attributes(attr.EndPrecisionKey, attr.EndSourceKey)...)
	if b.known == nil {
		b.known = map[trace.SpanID]*spans.Span{}
	}
	if b.known[id] == nil {
		b.known[id] = s
		b.spans = append(b.spans, s)
	}
	return s
}

// describe gives a span what its object is described by, and what happened. Of a key that
// is there twice the first counts: a pod that is its own workload would be named twice.
func (b *builder) describe(s *spans.Span, lists ...[]attribute.KeyValue) {
	b.object, b.own = b.object[:0], b.own[:0]
	for _, list := range lists {
		for _, kv := range list {
			if service, is := attr.ClockOffsetService(kv.Key); is {
				if service != s.Service {
					continue
				}
				kv.Key = attr.ClockOffsetKey
			}
			into := &b.own
			if attr.OfObject(kv.Key) {
				into = &b.object
			}
			if !slices.ContainsFunc(*into, func(have attribute.KeyValue) bool { return have.Key == kv.Key }) {
				*into = append(*into, kv)
			}
		}
	}
	s.Attributes, s.Resource = kept(b.own), b.share(b.object)
}

// kept is a list as it stays, nil if there is nothing in it.
func kept(list []attribute.KeyValue) []attribute.KeyValue {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// share returns what is said of an object in the memory of whichever span said so first.
func (b *builder) share(object []attribute.KeyValue) []attribute.KeyValue {
	b.key = b.key[:0]
	for _, kv := range object {
		b.key = append(append(b.key, kv.Key...), 0)
		b.key = append(append(b.key, kv.Value.String()...), 0)
	}
	shared, ok := b.resources[string(b.key)]
	if !ok {
		if b.resources == nil {
			b.resources = map[string][]attribute.KeyValue{}
		}
		shared = kept(object)
		b.resources[string(b.key)] = shared
	}
	return shared
}

// done returns the trace. Siblings come in order of their start, every parent
// before its children.
func (b *builder) done() spans.Trace {
	b.prove()
	for _, s := range b.spans {
		s.SpanKind = b.spanKind(s)
	}
	return spans.Trace{Late: b.late, Spans: spans.Ordered(b.spans)}
}

// spanKind is Server for a root, and for what another component does than its parent: to
// that, this is a request. Backends draw rates and structures of Server spans alone.
func (b *builder) spanKind(s *spans.Span) trace.SpanKind {
	service := b.above[s.ParentID].service
	if parent := b.known[s.ParentID]; parent != nil {
		service = parent.Service
	}
	if s.SpanID == b.rootIs() || s.Service != service {
		return trace.SpanKindServer
	}
	return trace.SpanKindInternal
}

// fail marks a span as failed.
func fail(s *spans.Span, f evidence.Failure) {
	s.Status = codes.Error
	if strings.HasSuffix(s.Subject, " container/"+f.Container) {
		f.Container = "" // the span is about it
	}
	s.Message = f.Sentence()
	s.Attributes = append(s.Attributes, semconv.ErrorTypeKey.String(f.Reason))
}

// Link adds a link from a span to another change.
func Link(s *spans.Span, to ledger.Place, why attr.Link) { addLink(s, to.TraceID(), to.RootID(), why) }

func addLink(s *spans.Span, t trace.TraceID, id trace.SpanID, why attr.Link) {
	s.Links = append(s.Links, spans.Link{TraceID: t, SpanID: id, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(why))}})
	if _, has := s.Attribute(why.TraceIDKey()); !has {
		s.Attributes = append(s.Attributes, why.TraceIDKey().String(t.String()), why.SpanIDKey().String(id.String()))
	}
}

// linkLoss links what tells of a pod's loss to its causes beyond the workload, but for
// what is in the same trace.
func linkLoss(s *spans.Span, causes []ledger.Place) {
	for _, by := range causes {
		if by.TraceID() != s.TraceID {
			Link(s, by, attr.LinkCausedBy)
		}
	}
}

// linkStop links to these causes the stop of a pod that was lost while a change was open:
// it has no trace of its own, whose root would have the links and say what was said of the loss.
func linkStop(p *plans.Plan, s *spans.Span, at plans.Attribution) {
	if at.Lost != nil && !replacedByChange(p, at) {
		disrupted := p.Around.NodeCause(at.Lost, s.End)
		s.Attributes = append(s.Attributes, nodes.LossAttributes(at.Lost, disrupted, s.Start)...)
		linkLoss(s, p.Around.CausesOfLoss(at.Lost, disrupted))
	}
}

// replacedByChange reports whether nothing says more of why a pod went than that a rollout, which was
// open, replaces those of its kind. Whatever ails the pod's node then has nothing to do with it.
func replacedByChange(p *plans.Plan, at plans.Attribution) bool {
	return at.Change != nil && at.Change.Kind == attr.ChangeRollout && p.Workload.Direct() &&
		at.Lost.Disruption == "" && !at.Lost.Failed.Known() && !p.Wants(at.Change, at.Lost)
}

// attachDuring puts the Events of a span's time on it.
func attachDuring(s *spans.Span, about *podlife.Object) {
	for _, ev := range about.Untold() {
		if within(ev.First(), s.Start, s.End) {
			attach(s, ev, s.End)
		}
	}
}

// attach puts what no span has of an Event on a span, with what of its repetitions
// fell into the time up to until (zero: all), so that it does not matter how much
// later the span is built. What came after that is still to be told.
func attach(s *spans.Span, ev *podlife.Event, until time.Time) {
	if ev = ev.Untold(); ev == nil {
		return
	}
	name := ev.Reason
	if name == "" {
		name = "Event"
	}
	last := ev.Until(until)
	count := ev.CountAt(last)
	ev.Ledger.EmitOn(s.TraceID, s.SpanID)
	ev.Ledger.Claim(last.Count, last.At)
	attrs := append(make([]attribute.KeyValue, 0, 8), attr.K8SEventReasonKey.String(ev.Reason))
	for _, kv := range []attribute.KeyValue{
		attr.K8SEventNameKey.String(ev.Name),
		attr.K8SEventUIDKey.String(string(ev.UID)),
		attr.K8SEventTypeKey.String(ev.EventType),
		attr.K8SEventMessageKey.String(last.Message),
		attr.K8SEventSourceKey.String(ev.Component),
	} {
		if kv.Value.AsString() != "" {
			attrs = append(attrs, kv)
		}
	}
	attrs = append(attrs, attr.K8SEventCountKey.Int(count))
	if last.At.After(ev.First()) {
		attrs = append(attrs, attr.K8SEventLastTimeKey.String(last.At.UTC().Format(time.RFC3339Nano)))
	}
	s.Events = append(s.Events, spans.Event{Name: name, Time: ev.First(), Attributes: attrs})
}

// linkContexts links a change to the deployers' spans that it is not below.
func linkContexts(c *workloads.Change, root *spans.Span) {
	linked := []trace.SpanContext{c.Ledger.Joined}
	for _, o := range c.Offers {
		if slices.ContainsFunc(linked, func(sc trace.SpanContext) bool { return workloads.SameSpan(sc, o.Context) }) {
			continue
		}
		linked = append(linked, o.Context)
		addLink(root, o.Context.TraceID(), o.Context.SpanID(), attr.LinkContext)
	}
}

// linkUnblocked links a span to what it could begin because of, once.
func linkUnblocked(from, to *spans.Span) {
	if !slices.ContainsFunc(from.Links, func(l spans.Link) bool { return l.SpanID == to.SpanID }) {
		addLink(from, to.TraceID, to.SpanID, attr.LinkUnblockedBy)
	}
}
