package e2e

import (
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// TestLeaderElected has two rollspans with the role of config/rbac. Both watch, and one sends:
// the other when that one is stopped.
func TestLeaderElected(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	elected := func() *harness.Program {
		p := s.runApart("--leader-elect", "--leader-elect-namespace", "rollspan")
		s.says(p, "waiting to be elected")
		return p
	}
	first := elected()
	s.watches(first, liveKinds...)
	s.says(first, holdsLease)
	s.isHeld("rollspan", "rollspan")
	second := elected()
	s.watches(second, liveKinds...)
	sends := strings.Contains(second.Stderr(), holdsLease)
	// A leader loses the Lease when the API server does not answer for long enough.
	if lost := strings.Contains(first.Stderr(), losesLease); sends && !lost {
		t.Error("both send at the same time")
	}
	stopped(t, first)
	s.says(second, holdsLease)
}
