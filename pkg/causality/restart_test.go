package causality_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// restarted is what rollspan sees that is started at observation n of a
// recording: a list of what is there, and of the last hour's Events, then the
// rest of the stream.
func restarted(obs []causality.Observation, n int) []causality.Observation {
	out := existing(obs, n)
	for i := range out {
		out[i].Initial = true
	}
	return append(out, obs[n:]...)
}

// existing is a list of what is there at observation n.
func existing(obs []causality.Observation, n int) []causality.Observation {
	latest := map[string]causality.Observation{}
	var order []string
	for _, o := range obs[:n] {
		id := identity(o)
		if _, ok := latest[id]; !ok {
			order = append(order, id)
		}
		if o.Type == watch.Deleted {
			delete(latest, id)
		} else {
			latest[id] = o
		}
	}
	var out []causality.Observation
	for _, id := range order {
		if o, ok := latest[id]; ok {
			o.Type, o.Time = watch.Added, obs[n].Time
			out = append(out, o)
		}
	}
	return out
}

// roots are the changes by the IDs of their spans, but for activity.
func roots(traces []spans.Trace) map[trace.SpanID]spans.Span {
	out := map[trace.SpanID]spans.Span{}
	for _, s := range allSpans(traces) {
		if isRoot(s) && !strings.HasSuffix(s.Name, " activity") {
			out[s.SpanID] = s
		}
	}
	return out
}

// TestRestartAnywhere starts rollspan at every observation. A change that
// is open then is told with the same ID and outcome as if rollspan had been
// there all along; nothing is told that did not happen; and what was over is
// not told again.
func TestRestartAnywhere(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		full := replay(obs)
		want := roots(full)
		recovered := map[trace.SpanID]bool{}
		for _, s := range allSpans(full) {
			if s.Name == "Deployment recovery" || s.Name == "Rollout recovery" {
				recovered[s.ParentID] = true
			}
		}
		for n := 1; n < len(obs); n += stride(t) {
			at := obs[n].Time
			traces := replay(restarted(obs, n))
			sound(t, traces)
			got := roots(traces)
			outlived := setsWithoutRollout(existing(obs, n))
			for id, w := range want {
				// Clear cases only: at the edges it depends on what had
				// reached whom.
				open := w.Start.Before(at.Add(-2*time.Second)) && w.End.After(at.Add(2*time.Second))
				later := w.Start.After(at.Add(2 * time.Second))
				over := w.End.Before(at.Add(-10 * time.Second))
				g, told := got[id]
				what := fmt.Sprintf("restarted at %s: %s %s (%s..%s, %s)", at.Format("04:05.000"), w.Name, w.Subject,
					w.Start.Format("04:05.000"), w.End.Format("04:05.000"), value(w, "rollspan.outcome").AsString())
				switch {
				case (w.Name == "Deployment scale" || w.Name == "Rollout scale") && open:
					// Nothing tells a scale from pods that became unready.
				case (open || later) && !told:
					t.Errorf("%s is not told", what)
				case over && told && recovered[id]:
					// That it had failed is gone from the status.
				case over && told:
					t.Errorf("%s is told again", what)
				case told && value(g, "rollspan.outcome").AsString() != value(w, "rollspan.outcome").AsString() && (open || later):
					t.Errorf("%s: outcome %s", what, value(g, "rollspan.outcome").AsString())
				}
			}
			for id, g := range got {
				if _, ok := want[id]; !ok && g.Name == "ReplicaSet delete" && outlived[value(g, "k8s.replicaset.uid").AsString()] {
					continue // nobody can tell it from one of a Rollout that may not be read
				}
				if _, ok := want[id]; !ok {
					t.Errorf("restarted at %s: %s %s did not happen", at.Format("04:05.000"), g.Name, g.Subject)
				}
			}
		}
	})
}

// setsWithoutRollout are the UIDs of the ReplicaSets among what is there whose Rollout was
// deleted, and is not there.
func setsWithoutRollout(there []causality.Observation) map[string]bool {
	owners := map[types.UID]bool{}
	for _, o := range there {
		owners[o.Object.(metav1.Object).GetUID()] = true
	}
	left := map[string]bool{}
	for _, o := range there {
		meta := o.Object.(metav1.Object)
		if ref := metav1.GetControllerOf(meta); ref != nil && ref.Kind == "Rollout" && !owners[ref.UID] {
			left[string(meta.GetUID())] = true
		}
	}
	return left
}

// TestFirstListComesInAnyOrder starts rollspan here and there, with a first list of
// Events that comes in the order of the writes, of the names, and backwards: the API
// server gives lists by name, and a watcher need not hold them all to sort them. What
// the Events tell is some minutes old by then, and the change still open.
func TestFirstListComesInAnyOrder(t *testing.T) {
	const away = 10 * time.Minute
	version := func(o causality.Observation) int {
		n, err := strconv.Atoi(o.Object.(metav1.Object).GetResourceVersion())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	name := func(o causality.Observation) string {
		m := o.Object.(metav1.Object)
		return m.GetNamespace() + "/" + m.GetName()
	}
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for n := 11; n < len(obs); n += 11 * stride(t) {
			var objects, events []causality.Observation
			for _, o := range existing(obs, n) {
				o.Initial, o.Time = true, o.Time.Add(away)
				if kindOf(o) == "Event" {
					events = append(events, o)
				} else {
					objects = append(objects, o)
				}
			}
			rest := slices.Clone(obs[n:])
			for i := range rest {
				rest[i].Time = rest[i].Time.Add(away)
			}
			told := func(order func(a, b causality.Observation) int) []string {
				slices.SortFunc(events, order)
				return canonical(replay(slices.Concat(objects, events, rest)))
			}
			byVersion := func(a, b causality.Observation) int { return cmp.Compare(version(a), version(b)) }
			want := told(byVersion)
			diff(t, want, told(func(a, b causality.Observation) int { return cmp.Compare(name(a), name(b)) }))
			diff(t, want, told(func(a, b causality.Observation) int { return byVersion(b, a) }))
			if t.Failed() {
				t.Fatalf("started at %s", obs[n].Time)
			}
		}
	})
}

// TestARelistChangesNothing gives the engine everything again in the middle of
// a recording, as a watch that was cut off does.
func TestARelistChangesNothing(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := canonical(replay(obs))
		for n := 7; n < len(obs); n += 7 * stride(t) {
			again := slices.Concat(obs[:n], existing(obs, n), obs[n:])
			diff(t, want, canonical(replay(again)))
			if t.Failed() {
				t.Fatalf("with a relist at %s", obs[n].Time)
			}
		}
	})
}
