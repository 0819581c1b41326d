package causality_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// stories are all streams that tests replay.
func stories(t *testing.T) [][]causality.Observation {
	var all [][]causality.Observation
	forEachStory(t, func(_ *testing.T, obs []causality.Observation) {
		if len(obs) > 0 {
			all = append(all, obs)
		}
	})
	return all
}

// drawStory draws one of the streams, in an order in which a watcher might have got it, or
// one in which a pod is taken away for another workload's.
func drawStory(t *rapid.T, all [][]causality.Observation) []causality.Observation {
	if rapid.IntRange(0, 3).Draw(t, "a preemption if 0") == 0 {
		kind := rapid.SampledFrom(slices.Sorted(maps.Keys(preemptors))).Draw(t, "by a")
		return preemption(t, preemptors[kind].lines, "0", 61, 62, rapid.SampledFrom([]string{"60.01", "65.00"}).Draw(t, "its revision comes"))
	}
	obs := all[rapid.IntRange(0, len(all)-1).Draw(t, "story")]
	kind := rapid.SampledFrom([]string{"", "Pod", "Event", "ControllerRevision"}).Draw(t, "what is late")
	return lagging(obs, kind, maxLag)
}

// TestLawAPlanChangesNothing stops at drawn times, and plans drawn workloads, once or
// again: nothing that the engine keeps changes by that, two plans of one are the same, and
// what comes out in the end is what comes out without them.
func TestLawAPlanChangesNothing(t *testing.T) {
	all := stories(t)
	rapid.Check(t, func(t *rapid.T) {
		obs := drawStory(t, all)
		stops := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(obs)-1), 1, 4).Draw(t, "stops") {
			stops[i] = true
		}
		e := newEngine(causality.Options{})
		var got []spans.Trace
		for i, o := range obs {
			got = append(got, e.Observe(o)...)
			if !stops[i] {
				continue
			}
			turns := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 5).Draw(t, "workloads")
			before := e.Prints(true)
			if err := e.PlanInTurn(turns); err != nil {
				t.Fatal(err)
			}
			if what := before.Differs(e.Prints(true)); what != "" {
				t.Fatalf("after observation %d, to plan has changed %s", i, what)
			}
		}
		got = append(got, e.Flush()...)
		if want := replay(obs); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			diff(t, canonical(want), canonical(got))
			t.Error("with plans in between something else comes out")
		}
	})
}

// TestLawBuildingChangesNoFacts stops at a drawn time and builds all that there is to tell
// by then: that is noted in ledgers, and what was observed is as it was.
func TestLawBuildingChangesNoFacts(t *testing.T) {
	all := stories(t)
	noted := false
	rapid.Check(t, func(t *rapid.T) {
		obs := drawStory(t, all)
		e := newEngine(causality.Options{})
		for _, o := range obs[:rapid.IntRange(1, len(obs)).Draw(t, "stop")] {
			e.Observe(o)
		}
		facts, everything := e.Prints(false), e.Prints(true)
		e.BuildAll()
		if what := facts.Differs(e.Prints(false)); what != "" {
			t.Fatalf("to build has changed %s", what)
		}
		noted = noted || everything.Differs(e.Prints(true)) != ""
	})
	if !noted && !testing.Short() { // in the few draws of a short run nothing may be
		t.Error("nothing was ever handed out")
	}
}

// The fingerprints tell when anything has changed.
func TestPrintsTell(t *testing.T) {
	e := newEngine(causality.Options{})
	before := e.Prints(true)
	if what := before.Differs(e.Prints(true)); what != "" {
		t.Errorf("%s has changed, and nothing was done", what)
	}
	for _, o := range stories(t)[0] {
		e.Observe(o)
		now := e.Prints(true)
		if before.Differs(now) == "" {
			t.Fatalf("an observation of a %s has changed nothing", kindOf(o))
		}
		before = now
	}
}
