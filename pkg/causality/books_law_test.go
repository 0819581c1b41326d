package causality_test

import (
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// TestLawBooks holds for every recording that whatever is to be looked at later is noted: what
// waits, what grows old, what is lost and what is open. Once all is over, nothing waits.
func TestLawBooks(t *testing.T) {
	const every = 40
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		engine := newEngine(causality.Options{})
		var now time.Time
		for i, o := range obs {
			engine.Observe(o)
			now = o.Time
			if i%every == 0 {
				engine.CheckBooks(t)
			}
		}
		for range 30 {
			now = now.Add(10 * time.Minute)
			engine.Advance(now)
			engine.CheckBooks(t)
		}
		if n := engine.Stuck(); n > 0 {
			t.Errorf("after hours %d objects wait that nothing is open about", n)
		}
	})
}
