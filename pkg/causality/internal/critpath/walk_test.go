package critpath

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestTheWalkOfAPathEnds draws spans as no builder makes them: several of one ID,
// parents that are their own children, children from before their parents, ends before
// starts. The walk ends within a bound, and its pieces tile the root.
func TestTheWalkOfAPathEnds(t *testing.T) {
	begin := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 24).Draw(t, "spans")
		all := make([]*spans.Span, n)
		second := rapid.IntRange(-3, 12)
		for i := range all {
			all[i] = &spans.Span{
				SpanID:   trace.SpanID{byte(rapid.IntRange(1, 1+n/2).Draw(t, "ID"))},
				ParentID: trace.SpanID{byte(rapid.IntRange(0, 1+n/2).Draw(t, "parent"))},
				Name:     rapid.SampledFrom([]string{"Deployment rollout", "Pod start", "Pod stop", "init container", "container", "run container", "pull image"}).Draw(t, "name"),
				Start:    begin.Add(time.Duration(second.Draw(t, "start")) * time.Second),
				End:      begin.Add(time.Duration(second.Draw(t, "end")) * time.Second),
			}
		}
		root := all[0]
		path := New(all, root, &evidence.Work{Left: n * n * n * 50})
		path.Descend(root)
		phases := path.Finish()
		var sum time.Duration
		for _, d := range phases {
			sum += d
		}
		if want := max(root.End.Sub(root.Start), 0); sum != want {
			t.Errorf("the phases come to %s, the root takes %s", sum, want)
		}
	})
}
