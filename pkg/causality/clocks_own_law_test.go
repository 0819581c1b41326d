package causality_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestLawALateRecorderIsNoSlowClock: the Events of each program come late by any lag that client-go's
// recorder may have, from the first on or later, or by minutes more where its queue grows. That
// proves no clock behind.
func TestLawALateRecorderIsNoSlowClock(t *testing.T) {
	held := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		if showWrong(obs) {
			return
		}
		held++
		rapid.Check(t, func(t *rapid.T) {
			right := causality.Options{OnClock: func(c causality.Clock) {
				t.Errorf("the clock of %s%s is said to be off by %s", c.Node, c.Component, c.Offset)
			}}
			lags := rapid.SliceOfN(rapid.IntRange(0, 150_000), 8, 8).Draw(t, "lags")
			replayWith(right, backlogged(obs, lags, fromTheBeginning))
			lags = rapid.SliceOfN(rapid.IntRange(0, 900_000), 8, 8).Draw(t, "lags of queues")
			replayWith(right, backlogged(obs, lags, fromItsFirst))
		})
	})
	if held == 0 {
		t.Error("all recordings have clocks that are off")
	}
}

// TestLawWhatOurClockMovesSaysSo: rollspan's own clock is set ahead anywhere. What is told at another
// time than it was says how well that is known. What is open ends when the stream does.
func TestLawWhatOurClockMovesSaysSo(t *testing.T) {
	const found = time.Second // how well our clock is known where it is
	held := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		if strings.Contains(t.Name(), "/argo-rollouts-") {
			t.Skip("dated by arrival")
		}
		want := byKey(replay(obs))
		hold := func(t *rapid.T, c wrongClock) {
			for id, g := range byKey(replay(c.put(obs))) {
				w, ok := want[id]
				what := g.Name + " " + g.Subject
				if !ok || tries[g.Name] || numbered[g.Name] || g.Kind == kind.Activity || g.Kind == kind.LateEvents {
					continue
				}
				held++
				for boundary, off := range map[string]time.Duration{"start": g.Start.Sub(w.Start), "end": g.End.Sub(w.End)} {
					if boundary == "end" && value(g, attr.OutcomeKey).AsString() == "open" {
						continue
					}
					if off.Abs() > precision(g, boundary)+found {
						t.Errorf("with our clock %s, the %s of %s is %s off and states %s", c, boundary, what, off, precision(g, boundary))
					}
				}
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			for range 5 {
				hold(t, wrongClock{by: jump(t).Abs(), until: obs[rapid.IntRange(0, len(obs)-1).Draw(t, "jump")].Time})
			}
		})
	})
	if held == 0 {
		t.Error("nothing was told")
	}
}
