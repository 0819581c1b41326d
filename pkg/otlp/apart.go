package otlp

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// tick is the resolution of Jaeger's times.
const tick = time.Microsecond

// apart returns the ends of a trace's spans as they are sent. One that ends in
// the microsecond in which a sibling begins ends a microsecond earlier.
//
// Jaeger works out a critical path of its own (jaeger-ui, CriticalPath): back
// from the start of a span it goes on with the sibling that had ended before,
// and "before" means strictly, in microseconds. Of phases that follow each other
// without a gap it would leave out every other one. It rounds a start and a
// duration down, each for itself, so that a microsecond less is always enough.
func apart(list []spans.Span) []time.Time {
	starts := map[trace.SpanID][]time.Time{}
	for i := range list {
		s := &list[i]
		starts[s.ParentID] = append(starts[s.ParentID], s.Start)
	}
	for _, siblings := range starts {
		slices.SortFunc(siblings, time.Time.Compare)
	}
	ends := make([]time.Time, len(list))
	for i := range list {
		s := &list[i]
		ends[i] = s.End
		siblings := starts[s.ParentID]
		next, _ := slices.BinarySearchFunc(siblings, s.End, time.Time.Compare)
		if next < len(siblings) && siblings[next].Sub(s.End) < tick && s.End.Sub(s.Start) >= tick {
			ends[i] = s.End.Add(-tick)
		}
	}
	return ends
}
