package budget

import (
	"cmp"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// How much of the budget there is for what, in sixteenths. The root of a change may take all
// that is left. What else is handed out at once takes a part of what is left up to a bound, so
// that there is room for what comes later in the same trace: of the same change, and of others
// that a deployer's trace has. The parts are smaller where it matters less.
const (
	untouched   = 12 // up to which a trace is sent as it is
	stepsUpTo   = 15
	stepsOf     = 12 // of what is left up to there
	failedUpTo  = 14
	failedOf    = 8
	detailsUpTo = untouched
	detailsOf   = 8
)

// none is the place of a span that is not there.
const none = -1

// selection finds out what is kept of spans that were handed out at once.
type selection struct {
	*Budget
	list     []spans.Span
	late     bool
	state    *state
	parent   []int   // of each span the place of its parent; none if it is not in list
	children [][]int // in order of time
	top      []int   // the highest span of what a span is part of: of a pod, its start
	kept     []bool
	tooLarge map[int]bool                // of a top: there was no room to keep all of it
	bare     struct{ events, links int } // what the root has lost, for want of room
	used     amount
	has      map[resourceKey]bool // Resources that are paid for
}

// choose selects what is sent of a trace that is over its budget.
func (b *Budget) choose(t *spans.Trace, st *state) {
	s := newSelection(b, t.Spans, t.Late, st)
	if !t.Late && !s.keepRoot(b.max) {
		s = newSelection(b, t.Spans, true, st) // without its root it is as what comes later, and nothing of it is kept
	}
	room := s.used.more(stepsOf, b.max.part(stepsUpTo))
	for _, i := range s.steps() {
		s.keepStep(i, room)
	}
	room = s.used.more(failedOf, b.max.part(failedUpTo))
	for _, i := range s.failures() {
		s.keep(i, room)
	}
	room = s.used.more(detailsOf, b.max.part(detailsUpTo))
	slowest := s.slowest()
	for _, i := range slices.Concat(s.longest(), nth(slowest, 0), s.ends()) {
		s.keep(i, room)
	}
	s.fill(slowest, room)
	out := s.result(room)
	t.Selection = &spans.Selection{Spans: out, LeftOut: len(t.Spans) - len(out)}
	st.used = st.used.plus(b.measure(out))
}

func newSelection(b *Budget, list []spans.Span, late bool, st *state) *selection {
	n := len(list)
	s := &selection{
		Budget: b, list: list, late: late, state: st,
		parent: make([]int, n), children: make([][]int, n), top: make([]int, n), kept: make([]bool, n),
		tooLarge: map[int]bool{}, used: st.used, has: map[resourceKey]bool{},
	}
	place := make(map[trace.SpanID]int, n)
	for i := range s.list {
		place[s.list[i].SpanID] = i
	}
	for i := range s.list {
		s.parent[i], s.top[i] = none, none
		if p, ok := place[s.list[i].ParentID]; ok && p != i {
			s.parent[i] = p
			s.children[p] = append(s.children[p], i)
		}
	}
	for _, c := range s.children {
		slices.SortFunc(c, s.byTime)
	}
	for i := range s.list {
		s.findTop(i)
	}
	return s
}

// findTop finds what a span is part of. Parents mostly come first, so that this is one step.
func (s *selection) findTop(i int) int {
	if s.top[i] == none {
		s.top[i] = i
		if p := s.parent[i]; p != none && !s.isStep(p) && !s.isStep(i) {
			s.top[i] = s.findTop(p)
		}
	}
	return s.top[i]
}

// isStep reports whether a span is a root, or a step.
func (s *selection) isStep(i int) bool { return i == 0 && !s.late || isStep(s.list[i].Kind) }

func isStep(k kind.Kind) bool {
	switch k {
	case kind.ScaleUp, kind.ScaleDown, kind.Paused, kind.Recovery, kind.InProgress:
		return true
	}
	return false
}

// byTime orders spans by their start. Nothing depends on the order that they came in.
func (s *selection) byTime(i, j int) int {
	a, b := &s.list[i], &s.list[j]
	return cmp.Or(a.Start.Compare(b.Start), slices.Compare(a.SpanID[:], b.SpanID[:]))
}

// byLength orders spans by how long they took, the longest first.
func (s *selection) byLength(i, j int) int {
	a, b := &s.list[i], &s.list[j]
	return cmp.Or(cmp.Compare(b.End.Sub(b.Start), a.End.Sub(a.Start)), s.byTime(i, j))
}

// cost is what it takes to keep spans.
func (s *selection) cost(list ...int) amount {
	a := amount{}
	var more []resourceKey
	for _, i := range list {
		a.spans++
		a.bytes += s.sizes.Span(&s.list[i]) + countBytes + len(s.list[i].Links)*linkBytes
		if key := resourceOf(&s.list[i]); !s.has[key] && !slices.Contains(more, key) {
			more = append(more, key)
			a.bytes += s.sizes.Resource(&s.list[i])
		}
	}
	return a
}

// take keeps spans, if there is room.
func (s *selection) take(room amount, extra int, list ...int) bool {
	used := s.used.plus(s.cost(list...))
	if used.bytes += extra; !used.within(room) {
		return false
	}
	s.used = used
	for _, i := range list {
		s.kept[i] = true
		s.has[resourceOf(&s.list[i])] = true
	}
	return true
}

// keepRoot keeps the root, if need be without its events, and then without its links, with room
// for the sums.
func (s *selection) keepRoot(room amount) bool {
	if s.take(room, s.sumBytes, 0) {
		return true
	}
	s.list = slices.Clone(s.list)
	root := &s.list[0]
	s.bare.events, root.Events = len(root.Events), nil
	if s.take(room, s.sumBytes, 0) {
		return true
	}
	s.bare.links, root.Links = len(root.Links), nil
	root.Attributes = slices.DeleteFunc(slices.Clone(root.Attributes), func(kv attribute.KeyValue) bool {
		_, leads := attr.LinkOf(kv.Key)
		return leads
	})
	return s.take(room, s.sumBytes, 0)
}

// keepStep keeps a step, with room for the sums of what is below it.
func (s *selection) keepStep(i int, room amount) {
	if !s.kept[i] && s.mayHang(i) {
		s.take(room, s.sumBytes, i)
	}
}

// mayHang reports whether what is above a span is kept, or was.
func (s *selection) mayHang(i int) bool {
	if p := s.parent[i]; p != none {
		return s.kept[p]
	}
	return !s.isLeftOut(s.list[i].ParentID)
}

// isLeftOut reports whether a span that came before was left out.
func (s *selection) isLeftOut(id trace.SpanID) bool {
	_, left := s.state.cut.leftOut[id]
	return left
}

// keep keeps a span: with all that it is part of, or if there is no room for that, with what
// is above it. What is below a step that is not kept, or below something that was left out, is
// not kept.
func (s *selection) keep(i int, room amount) {
	if s.kept[i] || s.isStep(i) {
		return
	}
	top := s.top[i]
	if !s.kept[top] && !s.mayHang(top) {
		return
	}
	if s.keepWhole(top, room) {
		return
	}
	var chain []int
	for at := i; at != none && !s.kept[at]; at = s.parent[at] {
		chain = append(chain, at)
	}
	s.take(room, 0, chain...)
}

// keepWhole keeps all that a span is part of, if there is room.
func (s *selection) keepWhole(top int, room amount) bool {
	if s.tooLarge[top] || !s.take(room, 0, s.left(top)...) {
		s.tooLarge[top] = true
		return false
	}
	return true
}

// left are the spans of what is part of a top, itself included, that are not kept.
func (s *selection) left(top int) (out []int) {
	var walk func(i int)
	walk = func(i int) {
		if !s.kept[i] {
			out = append(out, i)
		}
		for _, c := range s.children[i] {
			if !s.isStep(c) {
				walk(c)
			}
		}
	}
	walk(top)
	return out
}

// steps are the root and the steps in order of time, each behind what is above it.
func (s *selection) steps() (out []int) {
	depth := map[int]int{}
	for i := range s.list {
		if s.isStep(i) {
			out = append(out, i)
			for p := s.parent[i]; p != none; p = s.parent[p] {
				depth[i]++
			}
		}
	}
	slices.SortFunc(out, func(i, j int) int { return cmp.Or(cmp.Compare(depth[i], depth[j]), s.byTime(i, j)) })
	return out
}

// failures are the first spans that failed for each reason, those of the most frequent reason
// first, and then the last ones. Of what comes later only the first of a reason is there of
// which the trace has none: nobody knows which one will be the last.
func (s *selection) failures() (out []int) {
	of := map[string][]int{}
	for i := range s.list {
		if s.list[i].Status == codes.Error && !s.isStep(i) {
			reason := reasonOf(&s.list[i])
			of[reason] = append(of[reason], i)
		}
	}
	reasons := slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(of[b]), len(of[a])), cmp.Compare(a, b))
	})
	var last []int
	for _, reason := range reasons {
		list := of[reason]
		slices.SortFunc(list, s.byTime)
		known := s.state.cut.reasons[reason]
		if s.late && (known || len(s.state.cut.reasons) >= maxReasons) {
			continue
		}
		if len(s.state.cut.reasons) < maxReasons {
			s.state.cut.reasons[reason] = true
		}
		out, last = append(out, list[0]), append(last, list[len(list)-1])
	}
	return append(out, last...)
}

func reasonOf(s *spans.Span) string {
	v, _ := s.Attribute(semconv.ErrorTypeKey)
	return v.AsString()
}

// longest are the spans of the critical path, the longest first.
func (s *selection) longest() (out []int) {
	for i := range s.list {
		if isCritical(&s.list[i]) {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, s.byLength)
	return out
}

func isCritical(s *spans.Span) bool {
	return slices.ContainsFunc(s.Attributes, func(kv attribute.KeyValue) bool {
		return kv.Key == attr.CriticalKey && kv.Value.AsBool()
	})
}

// slowest are the spans of each kind, the slowest first, of what is below a step that is handed
// out now. What comes by itself later would be the slowest of its kind each time.
func (s *selection) slowest() (out [][]int) {
	of := map[kind.Kind][]int{}
	for i := range s.list {
		if !s.isStep(i) && s.parent[s.top[i]] != none {
			k := s.list[i].Kind
			of[k] = append(of[k], i)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(of)) {
		slices.SortFunc(of[k], s.byLength)
		out = append(out, of[k])
	}
	return out
}

// nth are the elements of lists that are at a place.
func nth(lists [][]int, place int) (out []int) {
	for _, list := range lists {
		if place < len(list) {
			out = append(out, list[place])
		}
	}
	return out
}

// enough is how many pods may find no room before it is taken to be used up.
const enough = 32

// fill keeps the next slowest of each kind, whole, for as long as there is room.
func (s *selection) fill(slowest [][]int, room amount) {
	missed := 0
	for place := 1; missed < enough; place++ {
		next := nth(slowest, place)
		if len(next) == 0 {
			return
		}
		for _, i := range next {
			if top := s.top[i]; !s.kept[top] && !s.tooLarge[top] && s.mayHang(top) && !s.keepWhole(top, room) {
				missed++
			}
		}
	}
}

// ends are the first and the last of what is below each step.
func (s *selection) ends() (out []int) {
	for _, i := range s.steps() {
		pods := slices.DeleteFunc(slices.Clone(s.children[i]), s.isStep)
		if len(pods) > 0 {
			out = append(out, pods[0], pods[len(pods)-1])
		}
	}
	return out
}
