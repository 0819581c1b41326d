package causality_test

import (
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// An engine that is held takes in what it is told and hands nothing out. Of a recording that it
// was held through it then tells the same changes; all is told by the next call that moves time.
func TestHold(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		e := newEngine(causality.Options{})
		e.Hold()
		for _, o := range obs {
			if out := e.Observe(o); len(out) > 0 {
				t.Fatalf("%s is told meanwhile", out[0].Root().Name)
			}
		}
		e.Release()
		end := obs[len(obs)-1].Time
		out := e.Advance(end)
		told := roots(append(out, e.Flush()...))
		for id, want := range roots(replay(obs)) {
			if got, ok := told[id]; !ok || got.Name != want.Name || !got.Start.Equal(want.Start) {
				t.Errorf("%s %s is told as %s %s", want.Name, want.Subject, got.Name, got.Subject)
			}
		}
	})
}

// Nothing is unsettled before anything was seen and when all was told, and what changes is
// unsettled.
func TestUnsettled(t *testing.T) {
	obs := load(t, "slow-image-pull")
	e := newEngine(causality.Options{})
	if got := e.Unsettled(); len(got) > 0 {
		t.Errorf("before anything was seen: %q", got)
	}
	during := 0
	for _, o := range obs {
		e.Observe(o)
		during = max(during, len(e.Unsettled()))
	}
	if during == 0 {
		t.Error("nothing is unsettled during a rollout")
	}
	end := obs[len(obs)-1].Time
	for minutes := range 120 {
		e.Advance(end.Add(time.Duration(minutes) * time.Minute))
	}
	if got := e.Unsettled(); len(got) > 0 {
		t.Errorf("in the end: %q", got)
	}
}
