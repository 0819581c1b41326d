package causality_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestLawWhatAClockThatJumpsMovesSaysSo: the clock of a node, a controller or the scheduler is set anywhere:
// ahead by anything, or back by so little that nothing shows it. What is told at another time than it was says
// how well that is known, unless it is off by less than that, and the second that is rounded.
func TestLawWhatAClockThatJumpsMovesSaysSo(t *testing.T) {
	const (
		unshown = 3 * time.Second
		found   = unshown + time.Second - snapshotSlack // which precision adds
	)
	held := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		want := byKey(replay(obs))
		all := sources(obs)[1:]
		rapid.Check(t, func(t *rapid.T) {
			c := rapid.SampledFrom(all).Draw(t, "source")
			c.by, c.until = max(jump(t), -time.Duration(rapid.Int64Range(0, int64(unshown)).Draw(t, "at most"))), obs[rapid.IntRange(0, len(obs)-1).Draw(t, "jump")].Time
			for id, g := range byKey(replay(c.put(obs))) {
				w, ok := want[id]
				if !ok || tries[g.Name] || numbered[g.Name] || g.Kind == kind.Activity || g.Kind == kind.LateEvents {
					continue
				}
				held++
				for boundary, off := range map[string]time.Duration{"start": g.Start.Sub(w.Start), "end": g.End.Sub(w.End)} {
					if boundary == "end" && value(g, attr.OutcomeKey).AsString() == "open" {
						continue
					}
					if off.Abs() > precision(g, boundary)+found {
						t.Errorf("with the clock of %s, the %s of %s is %s off and states %s", c, boundary, g.Name+" "+g.Subject, off, precision(g, boundary))
					}
				}
			}
		})
	})
	if held == 0 {
		t.Error("nothing was told")
	}
}
