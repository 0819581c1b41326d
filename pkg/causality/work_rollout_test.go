package causality_test

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestWorkDoesNotGrowWithARollout counts the work of an observation while many pods come up at
// once, and one after the other: with four times as many it is a tenth more, at most. Fewer than
// 500 are up before anybody looks at them for the first time.
func TestWorkDoesNotGrowWithARollout(t *testing.T) {
	for name, observe := range map[string]func(pods int) []causality.Observation{
		"of a Deployment": bigRollout, "of a StatefulSet": orderedRollout,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var each [2]float64
			for i, pods := range []int{500, 2000} {
				obs := observe(pods)
				engine := newEngine(causality.Options{})
				for _, o := range obs {
					engine.Observe(o)
				}
				engine.Flush()
				each[i] = float64(engine.WorkDone()-len(obs)) / float64(len(obs))
			}
			t.Logf("%.2f units of work an observation, %.2f", each[0], each[1])
			if each[1] > 1.1*each[0] {
				t.Errorf("an observation takes %.2f units of work with 2,000 pods, %.2f with 500", each[1], each[0])
			}
		})
	}
}

// TestRecordingsWithPodsAtRest has pods at rest however few there are of a workload: each plan
// without them says of the others what one of all says, and what is told is the same.
func TestRecordingsWithPodsAtRest(t *testing.T) {
	rested := 0
	for _, name := range recordings(t) {
		obs := load(t, name)
		engine := newEngine(causality.Options{})
		engine.CompareAwakePlans(func(what string) { t.Errorf("%s: %s", name, what) })
		var out []spans.Trace
		for _, o := range obs {
			out = append(out, engine.Observe(o)...)
			rested = max(rested, engine.AtRest())
		}
		if got, want := slices.Concat(out, engine.Flush()), replay(obs); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: with pods at rest %d traces are told, which are not the %d that are told otherwise", name, len(got), len(want))
		}
	}
	if rested == 0 {
		t.Error("no pod was at rest")
	}
}

// TestPodsAtRestWhateverComesFirst has observations come later than others, by as much as the
// settle period has room for, in all recordings and scenarios: what is told with pods at rest is
// what is told without.
func TestPodsAtRestWhateverComesFirst(t *testing.T) {
	streams := map[string][]causality.Observation{}
	for _, name := range recordings(t) {
		streams[name] = load(t, name)
	}
	maps.Insert(streams, scenarioStreams(t))
	for name, obs := range streams {
		for seed := range uint64(2) {
			draw := rand.New(rand.NewPCG(seed, 0))
			late := deliver(obs, func(causality.Observation) time.Duration {
				return time.Duration(max(0, draw.Int64N(3*int64(maxLag))-2*int64(maxLag))) // of three one is late
			})
			engine := newEngine(causality.Options{})
			engine.CompareAwakePlans(func(what string) { t.Errorf("%s, seed %d: %s", name, seed, what) })
			var out []spans.Trace
			for _, o := range late {
				out = append(out, engine.Observe(o)...)
			}
			diff(t, canonical(replay(late)), canonical(append(out, engine.Flush()...)))
			if t.Failed() {
				t.Fatalf("%s, seed %d: that is told with pods at rest", name, seed)
			}
		}
	}
}
