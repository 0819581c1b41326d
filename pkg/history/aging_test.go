package history

import (
	"testing"
	"time"
)

// A clock that is set ahead for a moment makes nothing old; one that was behind, as the machine has
// slept, is caught up with; and one that is set back counts at once.
func TestAging(t *testing.T) {
	began := time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)
	wall, elapsed := began, time.Duration(0)
	a := newAging(func() time.Time { return wall }, func() time.Duration { return elapsed })
	for _, step := range []struct {
		what          string
		wall, elapsed time.Duration // since it began
		want          time.Duration
	}{
		{"nothing", 0, 0, 0},
		{"a minute passes", time.Minute, time.Minute, time.Minute},
		{"the clock is set ahead by ten years", 10 * 365 * 24 * time.Hour, 2 * time.Minute, 3 * time.Minute},
		{"it is right again", 3 * time.Minute, 3 * time.Minute, 3 * time.Minute},
		{"the machine sleeps for an hour", 64 * time.Minute, 4 * time.Minute, 5 * time.Minute},
		{"and is awake for one", 124 * time.Minute, 64 * time.Minute, 124 * time.Minute},
		{"the clock is set back", 30 * time.Minute, 65 * time.Minute, 30 * time.Minute},
		{"and goes on", 31 * time.Minute, 66 * time.Minute, 31 * time.Minute},
	} {
		wall, elapsed = began.Add(step.wall), step.elapsed
		if got := a.now().Sub(began); got != step.want {
			t.Errorf("%s: it is %s, want %s", step.what, got, step.want)
		}
	}
}
