package budget

import (
	"cmp"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// How many events and links of what is left out a span may take up, and how many bytes of them.
const (
	maxMoved      = 128
	maxMovedBytes = 64 << 10
)

// linkBytes is what a link takes more if it leads to a span that was left out, or moves: it
// says so, and the span that has it says where it leads.
const linkBytes = 256

// moved are the events and links of what was left out, on their way to one span.
type moved struct {
	events []spans.Event
	links  []spans.Link
}

// add takes in those of a span that was left out.
func (m *moved) add(s *spans.Span) {
	m.events = append(m.events, s.Events...)
	m.links = append(m.links, s.Links...)
}

// choose returns those that have room, and how many have not: of events the first of each
// name, then the last of each, then the others, in order of time; of links the first ones, each
// only once, and none that would lead to the span itself.
func (m *moved) choose(b *Budget, to *spans.Span, room int) (out moved, sum sum, bytes int) {
	room = min(room, maxMovedBytes)
	taken := make([]bool, len(m.events))
	n := 0
	for _, i := range m.order() {
		if size := b.sizes.Event(&m.events[i]); n < maxMoved && bytes+size <= room {
			taken[i], bytes = true, bytes+size
			n++
		}
	}
	for i := range m.events {
		if taken[i] {
			out.events = append(out.events, m.events[i])
		}
	}
	sum.events = len(m.events) - n

	there := map[string]bool{}
	for i := range to.Links {
		there[linkKey(&to.Links[i])] = true
	}
	for _, l := range m.links {
		if above, ok := b.states.keptFor(l.TraceID, l.SpanID); ok {
			l = leadTo(l, above)
		}
		key := linkKey(&l)
		if there[key] || l.TraceID == to.TraceID && l.SpanID == to.SpanID {
			continue
		}
		there[key] = true
		if size := b.sizes.Link(&l) + linkBytes; len(out.links) < maxMoved && bytes+size <= room {
			out.links, bytes = append(out.links, l), bytes+size
		} else {
			sum.links++
		}
	}
	return out, sum, bytes
}

// order is in which order events have room.
func (m *moved) order() []int {
	first, last := map[string]int{}, map[string]int{}
	for i := range m.events {
		name := m.events[i].Name
		if _, has := first[name]; !has {
			first[name] = i
		}
		last[name] = i
	}
	rank := func(i int) int {
		switch name := m.events[i].Name; i {
		case first[name]:
			return 0
		case last[name]:
			return 1
		}
		return 2
	}
	out := make([]int, len(m.events))
	for i := range out {
		out[i] = i
	}
	slices.SortStableFunc(out, func(i, j int) int { return cmp.Compare(rank(i), rank(j)) })
	return out
}

// sort puts events into the order of time.
func (m *moved) sort() {
	slices.SortStableFunc(m.events, func(x, y spans.Event) int { return x.Time.Compare(y.Time) })
}

// addTo puts them on a span, which has no slice in common with others.
func (m *moved) addTo(s *spans.Span) {
	s.Events = append(slices.Clone(s.Events), m.events...)
	slices.SortStableFunc(s.Events, func(x, y spans.Event) int { return x.Time.Compare(y.Time) })
	s.Links = append(slices.Clone(s.Links), m.links...)
	for i := range m.links {
		l := &m.links[i]
		meaning := attr.LinkType(l.Attributes)
		if _, has := s.Attribute(meaning.TraceIDKey()); !has && meaning != "" {
			s.Attributes = append(s.Attributes, meaning.TraceIDKey().String(l.TraceID.String()), meaning.SpanIDKey().String(l.SpanID.String()))
		}
	}
}

// linkKey tells apart where links lead, and what they mean.
func linkKey(l *spans.Link) string {
	return string(l.TraceID[:]) + string(l.SpanID[:]) + string(attr.LinkType(l.Attributes))
}

// leadTo is a link to a span that was left out, which leads to one above that.
func leadTo(l spans.Link, above trace.SpanID) spans.Link {
	l.SpanID = above
	l.Attributes = append(slices.Clone(l.Attributes), attr.LinkLeftOutKey.Bool(true))
	return l
}

// redirect has links that lead to spans which were left out lead to what is above these. It
// returns the spans, and whether there are any.
func (b *Budget) redirect(list []spans.Span) (out []spans.Span, redirected bool) {
	if !b.states.any {
		return list, false
	}
	for i := range list {
		var to map[string]string // of the IDs as attributes have them
		for j := range list[i].Links {
			l := list[i].Links[j]
			above, ok := b.states.keptFor(l.TraceID, l.SpanID)
			if !ok {
				continue
			}
			if !redirected {
				list, redirected = slices.Clone(list), true
			}
			if to == nil {
				to = map[string]string{}
				list[i].Links = slices.Clone(list[i].Links)
			}
			to[l.SpanID.String()] = above.String()
			list[i].Links[j] = leadTo(l, above)
		}
		if to != nil {
			list[i].Attributes = redirectAttributes(list[i].Attributes, to)
		}
	}
	return list, redirected
}

// redirectAttributes does the same with the attributes that say where the links of a span lead.
func redirectAttributes(kvs []attribute.KeyValue, to map[string]string) []attribute.KeyValue {
	kvs = slices.Clone(kvs)
	for i, kv := range kvs {
		meaning, ok := attr.LinkOf(kv.Key)
		if above := to[kv.Value.AsString()]; ok && above != "" && kv.Key == meaning.SpanIDKey() {
			kvs[i].Value = attribute.StringValue(above)
		}
	}
	return kvs
}
