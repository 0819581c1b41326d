package budget

import (
	"maps"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// extra is what a span that is kept says of what is not.
type extra struct {
	sum   sum
	moved moved
	below int // spans left out of what the span is part of
}

// result returns the spans that are kept, with what they say of the others, and remembers
// these.
func (s *selection) result(room amount) []spans.Span {
	extras := map[int]*extra{}
	of := func(i int) *extra {
		if extras[i] == nil {
			extras[i] = &extra{}
		}
		return extras[i]
	}
	for _, i := range s.inOrder() {
		if s.kept[i] {
			continue
		}
		nearest := s.nearest(i, func(int) bool { return true })
		if s.isPiece(i) || isPod(s.list[i].Kind) {
			s.states.leave(s.state.cut, s.list[i].SpanID, s.idOf(nearest, i))
		}
		step := s.nearest(i, s.isStep)
		if s.isPiece(i) {
			s.sumPiece(i, step, of)
		}
		if nearest == none {
			s.collect(i).add(&s.list[i])
			s.collected.grow(len(s.list[i].Events) + len(s.list[i].Links))
			continue
		}
		of(nearest).moved.add(&s.list[i])
		if !s.isStep(nearest) {
			of(nearest).below++
		}
	}
	if s.bare.events+s.bare.links > 0 {
		of(0).sum.events += s.bare.events
		of(0).sum.links += s.bare.links
	}
	return s.build(extras, room)
}

// inOrder are all spans in order of time.
func (s *selection) inOrder() []int {
	out := make([]int, len(s.list))
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, s.byTime)
	return out
}

// isPiece reports whether a span that is left out is the highest of what is left out with it.
func (s *selection) isPiece(i int) bool {
	return s.top[i] == i || s.kept[s.parent[i]]
}

// parts are what is below a span and part of the same.
func (s *selection) parts(i int) []int {
	if s.isStep(i) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.children[i]), s.isStep)
}

// nearest is the nearest span above one that is kept, of those that are asked for; none if
// there is none, which is only so where the root was handed out before.
func (s *selection) nearest(i int, asked func(int) bool) int {
	p := s.parent[i]
	for p != none && (!s.kept[p] || !asked(p)) {
		p = s.parent[p]
	}
	if p == none && !s.late {
		return 0
	}
	return p
}

// idOf is the ID of the nearest span above one that is kept; where it was handed out before, it
// has no place in list.
func (s *selection) idOf(nearest, i int) trace.SpanID {
	if nearest != none {
		return s.list[nearest].SpanID
	}
	for s.parent[i] != none {
		i = s.parent[i]
	}
	above := s.list[i].ParentID
	if kept, left := s.state.cut.leftOut[above]; left {
		return kept
	}
	return above
}

// sumPiece sums a piece up on its step and on the root. Where both were handed out before, it
// waits for others.
func (s *selection) sumPiece(top, step int, of func(int) *extra) {
	took := s.tile(top)
	var to []*sum
	if step != none {
		to = append(to, &of(step).sum)
	}
	if !s.late && step != 0 {
		to = append(to, &of(0).sum)
	}
	if step == none {
		p := s.collect(top)
		p.extend(&s.list[top])
		s.collected.grow(1)
		to = append(to, &p.sum)
	}
	for _, m := range to {
		m.addPhases(took)
	}
	var walk func(i int)
	walk = func(i int) {
		for _, m := range to {
			m.add(&s.list[i])
		}
		for _, c := range s.parts(i) {
			if !s.kept[c] {
				walk(c)
			}
		}
	}
	walk(top)
}

// collect is where a span is summed up whose step was handed out before.
func (s *selection) collect(i int) *pending {
	return s.collected.of(&s.list[i], s.idOf(none, i), s.state.cut)
}

// isPod reports whether others may lead to spans of a kind, though they are below another pod.
func isPod(k kind.Kind) bool {
	return k == kind.PodStart || k == kind.PodRun || k == kind.PodStop || k == kind.PodRecovery || k == kind.NotReady
}

// build puts together what is sent.
func (s *selection) build(extras map[int]*extra, room amount) []spans.Span {
	for _, i := range slices.SortedFunc(maps.Keys(extras), s.byTime) {
		x := extras[i]
		x.moved.sort()
		chosen, missed, bytes := x.moved.choose(s.Budget, &s.list[i], room.bytes-s.used.bytes)
		x.moved = chosen
		x.sum.events += missed.events
		x.sum.links += missed.links
		s.used.bytes += bytes
		if root := extras[0]; root != nil && !s.late && i != 0 {
			root.sum.events += missed.events
			root.sum.links += missed.links
		}
	}
	var out []spans.Span
	for i := range s.list {
		if !s.kept[i] {
			continue
		}
		span := s.list[i]
		if x := extras[i]; x != nil {
			span.Attributes = slices.Clone(span.Attributes)
			x.moved.addTo(&span)
			x.sum.spans += x.below
			span.Attributes = append(span.Attributes, x.sum.attributes()...)
		}
		out = append(out, span)
	}
	out, _ = s.redirect(out)
	return out
}
