package causality_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
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
			grown := rapid.SampledFrom([]int{0, 25_000, 150_000}).Draw(t, "from the first on")
			replayWith(right, behindSince(obs, lags, obs[0].Time.Add(-time.Duration(grown)*time.Millisecond)))
			lags = rapid.SliceOfN(rapid.IntRange(0, 900_000), 8, 8).Draw(t, "lags of queues")
			long := obs[0].Time.Add(-900 * time.Second)
			replayWith(right, behindSince(obs, lags, rapid.SampledFrom([]time.Time{sinceItsFirst, long}).Draw(t, "begin")))
		})
	})
	if held == 0 {
		t.Error("all recordings have clocks that are off")
	}
}

// handed is a span, and with which observation it was handed out.
type handed struct {
	spans.Span
	with int
}

// byOurClock replays observations as rollspan's own clock dates them, and returns all spans by
// their IDs.
func byOurClock(obs []causality.Observation, c wrongClock) map[string]handed {
	e, all := newEngine(causality.Options{}), map[string]handed{}
	note := func(with int, traces []spans.Trace) {
		for _, s := range allSpans(traces) {
			all[s.TraceID.String()+s.SpanID.String()] = handed{s, with}
		}
	}
	for i, o := range c.put(obs) {
		note(i, e.Observe(o))
	}
	note(len(obs), e.Flush())
	return all
}

// createdSince is the first observation of something that the API server has created after a time by
// more than it rounds seconds; of nothing at all if that does not come.
func createdSince(obs []causality.Observation, t time.Time) int {
	i := slices.IndexFunc(obs, func(o causality.Observation) bool {
		return o.Type == watch.Added && !o.Initial && o.Object.(metav1.Object).GetCreationTimestamp().After(t)
	})
	if i < 0 {
		return math.MaxInt
	}
	return i
}

// TestLawWhatOurClockMovesSaysSo: rollspan's own clock is set anywhere, ahead or back. What is told at
// another time than it was says how well that is known. That it was set back is known when something is
// created. What is open ends when the stream does.
func TestLawWhatOurClockMovesSaysSo(t *testing.T) {
	const found = time.Second // how well our clock is known where it is
	held := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		if strings.Contains(t.Name(), "/argo-rollouts-") {
			t.Skip("dated by arrival")
		}
		want := byOurClock(obs, wrongClock{})
		hold := func(t *rapid.T, c wrongClock) {
			known := 0
			if c.by < 0 {
				known = createdSince(obs, c.until)
			}
			for id, g := range byOurClock(obs, c) {
				w, ok := want[id]
				what := g.Name + " " + g.Subject
				if !ok || tries[g.Name] || numbered[g.Name] || g.Kind == kind.Activity || g.Kind == kind.LateEvents {
					continue
				}
				if g.with < known {
					continue
				}
				held++
				for boundary, off := range map[string]time.Duration{"start": g.Start.Sub(w.Start), "end": g.End.Sub(w.End)} {
					if boundary == "end" && value(g.Span, attr.OutcomeKey).AsString() == "open" {
						continue
					}
					if off.Abs() > precision(g.Span, boundary)+found {
						t.Errorf("with our clock %s, the %s of %s is %s off and states %s", c, boundary, what, off, precision(g.Span, boundary))
					}
				}
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			for range 5 {
				hold(t, wrongClock{by: jump(t), until: obs[rapid.IntRange(0, len(obs)-1).Draw(t, "jump")].Time})
			}
		})
	})
	if held == 0 {
		t.Error("nothing was told")
	}
}
