package causality_test

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/causality"
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
				each[i] = float64(engine.SpentWork()) / float64(len(obs))
			}
			t.Logf("%.2f units of work an observation, %.2f", each[0], each[1])
			if each[1] > 1.1*each[0] {
				t.Errorf("an observation takes %.2f units of work with 2,000 pods, %.2f with 500", each[1], each[0])
			}
		})
	}
}
