package causality_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/recent"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// latelyFrom is what a rollspan tells that is started at observation m with a watermark: what
// has to do with something that happened since is reconstructed from what is there, all else is
// there, and the stream goes on.
func latelyFrom(obs []causality.Observation, m int, watermark time.Time) (out []spans.Trace, restless int) {
	now := obs[m].Time
	list := existing(obs, m)
	activity := recent.NewActivity(watermark.Add(-2*time.Minute), now)
	for _, o := range list {
		activity.Note(o.Object)
	}
	restless = activity.Close()
	var quiet []causality.Observation
	reconstruct := func() snapshots.History {
		var active []runtime.Object
		quiet = nil
		for _, o := range list {
			if activity.Active(o.Object) {
				active = append(active, o.Object.DeepCopyObject())
				continue
			}
			o.Initial = true
			quiet = append(quiet, o)
		}
		return snapshots.Reconstruct(active, now.Sub(watermark)+24*time.Hour, now)
	}
	history := reconstruct()
	if doubted := activity.Doubt(history.Unproven); doubted > 0 {
		restless += doubted
		history = reconstruct()
	}
	e := newEngine(causality.Options{})
	for _, o := range history.Observations {
		out = append(out, e.Observe(o)...)
	}
	out = append(out, e.Advance(now)...)
	for _, o := range quiet {
		out = append(out, e.Observe(o)...)
	}
	for _, o := range obs[m:] {
		out = append(out, e.Observe(o)...)
	}
	return append(out, e.Flush()...), restless
}

// followed reports whether another change of the same workload began before a time.
func followed(all map[trace.SpanID]spans.Span, s spans.Span, before time.Time) bool {
	for _, other := range all {
		if other.Subject == s.Subject && other.Start.After(s.Start) && other.Start.Before(before) {
			return true
		}
	}
	return false
}

// TestWhatEndedLatelyIsTold stops rollspan at observations of a recording, and starts another
// one some time later that has nothing but a watermark and what it lists. What ended after the
// watermark is told by either with the same ID and outcome, as far as snapshots tell of such; a
// change that is open then, or begins later, always; and nothing that did not happen.
func TestWhatEndedLatelyIsTold(t *testing.T) {
	meanwhile := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		full := replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)
		want := roots(full)
		recovered := map[trace.SpanID]bool{} // that they had failed is gone from the status
		for _, s := range allSpans(full) {
			if s.Name == "Deployment recovery" || s.Name == "Rollout recovery" {
				recovered[s.ParentID] = true
			}
		}
		for n := 5; n < len(obs); n += 7 * stride(t) {
			m := n + 20
			if m >= len(obs) {
				break
			}
			watermark, at := obs[n].Time.Add(-time.Minute), obs[m].Time
			traces, restless := latelyFrom(obs, m, watermark)
			sound(t, slices.DeleteFunc(slices.Clone(traces), func(tr spans.Trace) bool {
				_, has := tr.Root().Attribute(keySegments)
				return !tr.Late && !has && walksPath(*tr.Root()) // nothing may tell what it waited for
			}))
			got := roots(traces)
			for id, w := range want {
				g, told := got[id]
				what := fmt.Sprintf("from %s, started at %s: %s %s (%s..%s, %s)", watermark.Format("04:05.000"), at.Format("04:05.000"), w.Name, w.Subject,
					w.Start.Format("04:05.000"), w.End.Format("04:05.000"), attributeOf(w, "rollspan.outcome"))
				open := w.Start.Before(at.Add(-2*time.Second)) && w.End.After(at.Add(2*time.Second))
				later := w.Start.After(at.Add(2 * time.Second))
				// What followed hides what went before.
				ended := w.End.After(watermark) && w.End.Before(at.Add(-4*time.Second)) && reconstructed(w.Name) && restless == 0 && !recovered[id] && !followed(want, w, at.Add(2*time.Second))
				switch {
				case (w.Name == "Deployment scale" || w.Name == "Rollout scale") && open:
				case (open || later || ended) && !told:
					t.Errorf("%s is not told", what)
				case told && (open || later || ended) && attributeOf(g, "rollspan.outcome") != attributeOf(w, "rollspan.outcome"):
					t.Errorf("%s: outcome %s", what, attributeOf(g, "rollspan.outcome"))
				case ended:
					meanwhile++
				}
			}
			for id, g := range got {
				if _, ok := want[id]; !ok && g.End.After(watermark) {
					t.Errorf("from %s, started at %s: %s %s (%s..%s) did not happen", watermark.Format("04:05.000"), at.Format("04:05.000"), g.Name, g.Subject,
						g.Start.Format("04:05.000"), g.End.Format("04:05.000"))
				}
			}
		}
	})
	if meanwhile < 10 {
		t.Errorf("%d changes ended meanwhile, which is hardly a test", meanwhile)
	}
}
