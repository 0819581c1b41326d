package causality_test

import (
	"cmp"
	"slices"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// jaegerSpan is a span as Jaeger's UI has it, in microseconds.
type jaegerSpan struct {
	id, parent string
	name       string
	critical   bool // as rollspan marked it
	start, end int64
	children   []*jaegerSpan
}

// jaegerSection is a piece of the critical path that Jaeger draws.
type jaegerSection struct {
	span       *jaegerSpan
	start, end int64
}

// jaegerTrace reads a trace as Jaeger does. It keeps a start and a duration, and
// rounds both down.
func jaegerTrace(t testing.TB, tr spans.Trace) *jaegerSpan {
	t.Helper()
	encoder, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]*jaegerSpan{}
	var all []*jaegerSpan
	for _, rs := range encoder.Encode([]spans.Trace{tr}) {
		for _, scope := range rs.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				j := readJaegerSpan(s)
				byID[j.id] = j
				all = append(all, j)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *jaegerSpan) int { return cmp.Compare(a.start, b.start) })
	var root *jaegerSpan
	for _, s := range all {
		if p := byID[s.parent]; p != nil {
			p.children = append(p.children, s)
		} else {
			root = s
		}
	}
	root.fit()
	return root
}

func readJaegerSpan(s *tracepb.Span) *jaegerSpan {
	const tick = 1000 // nanoseconds
	start := s.GetStartTimeUnixNano() / tick
	took := (s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()) / tick
	j := &jaegerSpan{
		id: string(s.GetSpanId()), parent: string(s.GetParentSpanId()), name: s.GetName(),
		start: int64(start), end: int64(start + took), //nolint:gosec // Of this century.
	}
	for _, kv := range s.GetAttributes() {
		j.critical = j.critical || kv.GetKey() == "rollspan.critical" && kv.GetValue().GetBoolValue()
	}
	return j
}

// fit makes children fit into their parents: those that begin after its end are
// left out, those that end later are cut. Left out is also what Jaeger cannot
// know from times alone: see misleads.
func (s *jaegerSpan) fit() {
	s.children = slices.DeleteFunc(s.children, func(c *jaegerSpan) bool { return c.start >= s.end || s.misleads(c) })
	for _, c := range s.children {
		c.end = min(c.end, s.end)
		c.fit()
	}
}

// misleads reports whether a child was not waited for, although it ended last:
// an old pod that nobody waits for, or a pod that was made while others of the
// same step could not be.
func (s *jaegerSpan) misleads(c *jaegerSpan) bool {
	switch c.name {
	case "ReplicaSet scale down", "Pod stop":
		return !c.critical
	case "Pod start":
		missing := !slices.ContainsFunc(s.children, func(c *jaegerSpan) bool { return c.critical })
		return missing && s.critical && s.name == "ReplicaSet scale up"
	}
	return false
}

// path is Jaeger's (jaeger-ui, TracePage/CriticalPath) critical path up to a time, the last piece first: the part
// that ended last is followed, and from where that began the one that had ended
// before, strictly. What is between is the span's own.
func (s *jaegerSpan) path(until int64) []jaegerSection {
	var out []jaegerSection
	own := func(from int64) {
		if from < until {
			out = append(out, jaegerSection{s, from, until})
		}
	}
	for first := true; ; first = false {
		var last *jaegerSpan
		for _, c := range s.children {
			if (first || c.end < until) && (last == nil || c.end > last.end) {
				last = c
			}
		}
		if last == nil {
			own(s.start)
			return out
		}
		own(last.end)
		out = append(out, last.path(last.end)...)
		until = last.start
	}
}

// TestJaegerCriticalPath holds the marks against the path that Jaeger draws. It
// knows parents and times only; what misleads it is left out here.
func TestJaegerCriticalPath(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for _, tr := range replay(obs) {
			root := tr.Root()
			if root == nil || tr.Late {
				continue
			}
			if _, has := root.Attribute(keySegments); !has {
				continue
			}
			jaegerAgrees(t, jaegerTrace(t, tr), root.Subject)
		}
	})
}

func jaegerAgrees(t *testing.T, root *jaegerSpan, subject string) {
	t.Helper()
	path := root.path(root.end)
	on := map[*jaegerSpan]bool{}
	at := root.end
	for _, g := range path {
		if g.end > at || at-g.end > 1 {
			t.Errorf("%s: Jaeger's path jumps from %d to %d µs", subject, at-root.start, g.end-root.start)
		}
		at = g.start
		on[g.span] = true
		if !g.span.critical {
			t.Errorf("%s: Jaeger takes %s for critical for %d µs", subject, g.span.name, g.end-g.start)
		}
	}
	root.each(func(s *jaegerSpan) {
		leaf := !slices.ContainsFunc(s.children, func(c *jaegerSpan) bool { return c.critical })
		if s.critical && leaf && !on[s] && s.end-s.start > 1 {
			t.Errorf("%s: Jaeger leaves out %s, %d µs", subject, s.name, s.end-s.start)
		}
	})
}

// each visits a span and all below it, but for stops of pods: a DaemonSet makes
// the next pod when the old one has ended, which is before its stop is over.
func (s *jaegerSpan) each(visit func(*jaegerSpan)) {
	if s.name == "Pod stop" {
		return
	}
	visit(s)
	for _, c := range s.children {
		c.each(visit)
	}
}
