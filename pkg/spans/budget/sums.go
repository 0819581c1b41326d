package budget

import (
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// sum says what was left out.
type sum struct {
	spans, starts, stops, errors int
	events, links                int // those that have not moved either
	// phases are how many seconds each piece took for each phase. A piece is what was left out
	// as a whole: a pod, mostly.
	phases map[attr.Phase][]float64
}

// add takes in a span that was left out.
func (m *sum) add(s *spans.Span) {
	m.spans++
	switch s.Kind {
	case kind.PodStart, kind.PodRun:
		m.starts++
	case kind.PodStop:
		m.stops++
	}
	if s.Status == codes.Error {
		m.errors++
	}
}

// addPhases takes in what a piece took.
func (m *sum) addPhases(took map[attr.Phase]time.Duration) {
	if m.phases == nil {
		m.phases = map[attr.Phase][]float64{}
	}
	for phase, d := range took {
		m.phases[phase] = append(m.phases[phase], d.Seconds())
	}
}

// attributes say all of it; nothing for nothing.
func (m *sum) attributes() (out []attribute.KeyValue) {
	for _, count := range []struct {
		key attribute.Key
		n   int
	}{
		{attr.LeftOutSpansKey, m.spans}, {attr.LeftOutStartsKey, m.starts}, {attr.LeftOutStopsKey, m.stops},
		{attr.LeftOutErrorsKey, m.errors}, {attr.LeftOutEventsKey, m.events}, {attr.LeftOutLinksKey, m.links},
	} {
		if count.n > 0 {
			out = append(out, count.key.Int(count.n))
		}
	}
	for _, phase := range phases {
		if took := m.phases[phase]; len(took) > 0 {
			slices.Sort(took)
			out = append(out, phase.Statistics(took)...)
		}
	}
	return out
}

// phases are all that spans may count as, in order.
var phases = func() (out []attr.Phase) {
	out = append(out, attr.PhaseUnknown)
	for _, k := range kind.All() {
		out = append(out, k.Phase(0))
	}
	slices.Sort(out)
	return slices.Compact(out)
}()

// largestSum are attributes that take as much as any sum's.
func largestSum() []attribute.KeyValue {
	m := sum{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, map[attr.Phase][]float64{}}
	for _, phase := range phases {
		m.phases[phase] = []float64{1}
	}
	out := m.attributes()
	for i, kv := range out {
		if kv.Value.Type() == attribute.INT64 {
			out[i].Value = attribute.Int64Value(math.MaxInt64)
		}
	}
	return out
}

// countBytes is the most that the attributes take for how much is left out below a span that
// is no step.
const countBytes = 160

// tile says how long a piece took for each phase. Of the time of a span, what is not a part's
// is its own; of two parts at a time it is the one's that began first, and what outlasts the
// piece does not count. So the phases add up to the time of the piece.
func (s *selection) tile(top int) map[attr.Phase]time.Duration {
	took := map[attr.Phase]time.Duration{}
	var walk func(i int, from, to time.Time)
	walk = func(i int, from, to time.Time) {
		own := max(to.Sub(from), 0)
		for _, c := range s.parts(i) {
			begin, end := later(s.list[c].Start, from), earlier(s.list[c].End, to)
			if end.After(begin) {
				walk(c, begin, end)
				own -= end.Sub(begin)
				from = end
			}
		}
		if own > 0 {
			above := kind.Kind(0)
			if p := s.parent[i]; p != none {
				above = s.list[p].Kind
			}
			took[s.list[i].Kind.Phase(above)] += own
		}
	}
	walk(top, s.list[top].Start, s.list[top].End)
	return took
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
