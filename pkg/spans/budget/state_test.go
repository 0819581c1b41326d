package budget

import (
	"encoding/binary"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// TestWhatIsRememberedIsBounded: however many traces there are, and spans left out of them, the
// latest are remembered and no more than twice the bounds.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	var s states
	id := func(i int) (id trace.TraceID) {
		binary.BigEndian.PutUint64(id[:], uint64(i)+1) //nolint:gosec // It is small.
		return id
	}
	for i := range 3 * maxTraces {
		s.put(id(i), state{used: amount{spans: i}})
	}
	if n := len(s.recent) + len(s.before); n > 2*maxTraces {
		t.Errorf("%d traces are remembered", n)
	}
	for _, i := range []int{3*maxTraces - 1, 2*maxTraces + 1} {
		if s.get(id(i)).used.spans != i {
			t.Errorf("trace %d of %d is forgotten", i, 3*maxTraces)
		}
	}

	const each = 1 << 12
	for i := range 4 * maxLeftOut / each {
		c := &cut{leftOut: map[trace.SpanID]trace.SpanID{}}
		s.put(id(-i), state{cut: c})
		for j := range each {
			var span trace.SpanID
			binary.BigEndian.PutUint64(span[:], uint64(j)) //nolint:gosec // It is small.
			s.leave(c, span, span)
		}
	}
	n := 0
	for _, of := range []map[trace.TraceID]state{s.recent, s.before} {
		for _, st := range of {
			if st.cut != nil {
				n += len(st.cut.leftOut)
			}
		}
	}
	if n > 2*maxLeftOut+each || n < maxLeftOut {
		t.Errorf("%d spans are remembered that were left out", n)
	}
}
