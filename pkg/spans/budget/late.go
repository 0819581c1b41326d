package budget

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// What comes when a trace is over its budget, and its root was sent, is collected for a time,
// and then summed up on a span of its own. The first one of a trace comes after a minute, and
// each next one after twice the time of the one before, up to ten minutes.
const (
	lateAfter = time.Minute
	lateMost  = 10
)

// Bounds of what is collected.
const (
	maxPending        = 1 << 10      // spans to be, of all traces
	maxCollected      = 1 << 13      // pieces, events and links, of all of them
	maxCollectedMoved = 2 * maxMoved // events, and links, of one
)

// collection is what waits to be summed up.
type collection struct {
	now     time.Time
	pending []*pending // in the order in which they came
	next    time.Time  // when the first of them is due
	size    int        // pieces, events and links
	full    bool       // all of it is due
}

// pending sums up what was left out below one span that was sent before.
type pending struct {
	sum    sum
	moved  moved
	pieces int // what was left out as a whole

	trace      trace.TraceID
	above      trace.SpanID
	due        time.Time
	first      trace.SpanID // makes the ID
	like       spans.Span   // what it has of the first span that was left out
	uid        string       // of an object that it is about
	start, end time.Time
}

// of is what sums up below a span. A span that was left out is the first of it if there is
// none yet.
func (l *collection) of(first *spans.Span, above trace.SpanID, c *cut) *pending {
	for _, p := range l.pending {
		if p.trace == first.TraceID && p.above == above {
			return p
		}
	}
	c.wait = min(max(2*c.wait, 1), lateMost)
	p := &pending{
		trace: first.TraceID, above: above, first: first.SpanID, due: l.now.Add(time.Duration(c.wait) * lateAfter),
		like: spans.Span{
			Kind: kind.LeftOut, Name: kind.LeftOut.Name(""), Service: first.Service, SpanKind: first.SpanKind,
			App: first.App, Resource: workloadOf(first.Resource),
		},
		start: first.Start, end: first.End,
	}
	for _, kv := range first.Resource {
		if strings.HasSuffix(string(kv.Key), ".uid") {
			p.uid = kv.Value.AsString() // the last one is the pod's
		}
	}
	l.wait(p)
	return p
}

// wait has something wait until it is due.
func (l *collection) wait(p *pending) {
	if l.pending = append(l.pending, p); len(l.pending) == 1 || p.due.Before(l.next) {
		l.next = p.due
	}
	l.size += p.pieces + len(p.moved.events) + len(p.moved.links)
	l.full = l.full || len(l.pending) > maxPending
}

// workloadOf is what a Resource says of the workload, and not of one of its pods.
func workloadOf(resource []attribute.KeyValue) []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(resource), func(kv attribute.KeyValue) bool {
		return kv.Key == attr.JobCompletionIndexKey || slices.ContainsFunc(ofPods, func(prefix string) bool { return strings.HasPrefix(string(kv.Key), prefix) })
	})
}

// ofPods is what keys begin with that are about a pod, or a part of one.
var ofPods = []string{"k8s.pod.", "k8s.container.", "container.", "k8s.node.", "k8s.persistentvolumeclaim."}

// grow notes that more was collected.
func (l *collection) grow(n int) {
	l.size += n
	l.full = l.full || l.size > maxCollected
}

// add takes in the events and links of a span that was left out.
func (p *pending) add(s *spans.Span) {
	p.moved.add(s)
	if over := len(p.moved.events) - maxCollectedMoved; over > 0 {
		p.moved.events, p.sum.events = p.moved.events[:maxCollectedMoved], p.sum.events+over
	}
	if over := len(p.moved.links) - maxCollectedMoved; over > 0 {
		p.moved.links, p.sum.links = p.moved.links[:maxCollectedMoved], p.sum.links+over
	}
}

// extend takes in the time of a piece.
func (p *pending) extend(s *spans.Span) {
	p.pieces++
	p.start, p.end = earlier(p.start, s.Start), later(p.end, s.End)
}

// isDue reports whether something is to be summed up now.
func (l *collection) isDue() bool {
	return l.full || len(l.pending) > 0 && !l.next.After(l.now)
}

func (l *collection) unsettled() (out []string) {
	for _, p := range l.pending {
		if p.uid != "" {
			out = append(out, p.uid)
		}
	}
	return out
}

// sumUp returns spans for what is due.
func (b *Budget) sumUp() (out []spans.Trace) {
	all := b.collected
	b.collected = collection{now: all.now}
	for _, p := range all.pending {
		if !all.full && p.due.After(all.now) {
			b.collected.wait(p)
			continue
		}
		if s, ok := b.spanOf(p); ok {
			out = append(out, spans.Trace{Late: true, Selection: &spans.Selection{Spans: []spans.Span{s}}})
		}
	}
	return out
}

// spanOf is the span that sums up; ok is false if there is no room for it, nor will be.
func (b *Budget) spanOf(p *pending) (s spans.Span, ok bool) {
	st := b.states.get(p.trace)
	s = p.like
	s.TraceID, s.ParentID = p.trace, p.above
	s.SpanID = spans.NewSpanID(p.trace, kind.LeftOut.ID(), p.first.String())
	s.Start, s.End = p.start, p.end
	most := b.max.part(stepsUpTo)
	room := most.bytes - st.used.bytes - b.sizes.Span(&s) - b.sizes.Resource(&s) - b.sumBytes
	if st.used.spans >= most.spans || room < 0 {
		return s, false
	}
	p.moved.sort()
	chosen, missed, _ := p.moved.choose(b, &s, room/2)
	p.sum.events, p.sum.links = p.sum.events+missed.events, p.sum.links+missed.links
	chosen.addTo(&s)
	s.Attributes = append(s.Attributes, p.sum.attributes()...)
	st.used = st.used.plus(b.measure([]spans.Span{s}))
	b.states.put(p.trace, st)
	return s, true
}
