package podlife

import (
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
)

// Of a pod that a list shows not Ready, the time of that tells whether it was Ready after one of its containers
// had crashed.
func TestWasReadyAfterACrash(t *testing.T) {
	crash := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	at := crash.Add(72 * time.Hour)
	for since, want := range map[time.Time]bool{crash.Add(-time.Minute): false, crash.Add(time.Second): false, crash.Add(71 * time.Hour): true} {
		p := &Pod{}
		p.Unready.Add(evidence.Reason{Reason: "ContainersNotReady", Stated: since, From: evidence.Exactly(at.Add(-time.Minute))}, at.Add(-time.Minute))
		if got := p.wasReadyBetween(crash, at); got != want {
			t.Errorf("not Ready since %s, it was Ready after %s: %v", since, crash, got)
		}
	}
}
