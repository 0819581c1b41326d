package causality_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

const (
	keySegments = attribute.Key("rollspan.critical_path.segments")
	pathPrefix  = "rollspan.critical_path."
)

// TestLawCriticalPath holds for what the engine makes of any recording; damaged
// streams and scenarios are held to it too (sound, tree).
func TestLawCriticalPath(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		paths := 0
		for _, tr := range replay(obs) {
			soundPath(t, tr)
			if _, ok := tr.Root().Attribute(keySegments); ok {
				paths++
			}
		}
		if paths == 0 {
			t.Error("no change has a critical path")
		}
	})
}

// soundPath checks a trace's critical path: that the sums and the segments tile
// the change, and that the marked spans are one chain back to it.
func soundPath(t interface{ Errorf(string, ...any) }, tr spans.Trace) {
	root := tr.Root()
	if root == nil || tr.Late {
		return
	}
	took := root.End.Sub(root.Start)
	segments, has := root.Attribute(keySegments)
	if want := walksPath(*root) && took > 0; has != want {
		t.Errorf("%s %s: has a critical path: %t, want %t", root.Name, root.Subject, has, want)
	}
	if !has {
		return
	}

	var sum time.Duration
	for _, kv := range root.Attributes {
		if strings.HasPrefix(string(kv.Key), pathPrefix) && kv.Key != keySegments {
			sum += time.Duration(math.Round(kv.Value.AsFloat64() * float64(time.Second)))
		}
	}
	if sum != took {
		t.Errorf("%s %s took %s, the phases of its critical path %s", root.Name, root.Subject, took, sum)
	}
	list := segments.AsStringSlice()
	sum = 0
	for _, s := range list {
		seconds, _, _ := strings.Cut(s, "s ")
		d, err := strconv.ParseFloat(seconds, 64)
		if err != nil || d < 0 {
			t.Errorf("%s %s: segment %q", root.Name, root.Subject, s)
		}
		sum += time.Duration(d * float64(time.Second))
	}
	if rounding := time.Duration(len(list)) * time.Millisecond; (sum - took).Abs() > rounding {
		t.Errorf("%s %s took %s, the segments of its critical path %s", root.Name, root.Subject, took, sum)
	}
	soundMarks(t, tr)
}

// walksPath reports whether a root is of a change that waits for something.
func walksPath(root spans.Span) bool {
	if value(root, "rollspan.outcome").AsString() == "open" {
		return false
	}
	switch value(root, "rollspan.change").AsString() {
	case "activity", "disruption", "schedule":
		return false
	}
	return true
}

// soundMarks checks that the marked spans hang together, and that no two of
// them were waited for at the same time.
func soundMarks(t interface{ Errorf(string, ...any) }, tr spans.Trace) {
	root := tr.Root()
	marked := map[trace.SpanID]bool{}
	parents := map[trace.SpanID]bool{}
	for _, s := range tr.Spans {
		if value(s, "rollspan.critical").AsBool() {
			marked[s.SpanID] = true
			parents[s.ParentID] = true
		}
	}
	if !marked[root.SpanID] {
		t.Errorf("%s %s is not on its own critical path", root.Name, root.Subject)
	}
	var leaves []spans.Span
	for _, s := range tr.Spans {
		if !marked[s.SpanID] || s.SpanID == root.SpanID {
			continue
		}
		if !marked[s.ParentID] {
			t.Errorf("%s %s is on the critical path, its parent is not", s.Name, s.Subject)
		}
		if !s.Start.Before(root.End) || s.End.Before(root.Start) {
			t.Errorf("%s %s is on the critical path and outside the change's time", s.Name, s.Subject)
		}
		if !parents[s.SpanID] {
			leaves = append(leaves, s)
		}
	}
	slices.SortFunc(leaves, func(a, b spans.Span) int { return a.Start.Compare(b.Start) })
	for i := 1; i < len(leaves); i++ {
		// Ready is dated within its second, and that a pod is gone by the
		// arrival of the news.
		if over := leaves[i-1].End.Sub(leaves[i].Start); over > 2*time.Second && leaves[i-1].End.Before(root.End) {
			t.Errorf("%s %s and %s %s are both on the critical path for %s",
				leaves[i-1].Name, leaves[i-1].Subject, leaves[i].Name, leaves[i].Subject, over)
		}
	}
}
