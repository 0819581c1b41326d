package watcher

import (
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// TestPassage sets the machine's clock while time passes. What others are told to have passed
// never has not: at the most by as long as it takes until the engine knows how far the clock is
// off.
func TestPassage(t *testing.T) {
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		begin  time.Duration // how far the clock is off at first
		step   time.Duration // by how much it is set after a minute
		knows  time.Duration // how long after that the engine knows
		ahead  time.Duration // how far ahead of the truth it may be
		behind time.Duration // how far behind the truth it may be in the end
	}{
		"right":                   {},
		"set forward":             {step: 10 * time.Minute, knows: 30 * time.Second, ahead: 31 * time.Second, behind: 0},
		"set back":                {step: -10 * time.Minute, knows: 30 * time.Second, behind: 0},
		"put right from ahead":    {begin: 10 * time.Minute, step: -10 * time.Minute, knows: 30 * time.Second},
		"put right from behind":   {begin: -10 * time.Minute, step: 10 * time.Minute, knows: 30 * time.Second, ahead: 31 * time.Second},
		"set forward, and unseen": {step: time.Minute, knows: time.Hour, ahead: time.Minute},
	} {
		var truth time.Duration
		p := passage{elapsed: func() time.Duration { return truth }}
		off, found := test.begin, test.begin
		var got, before time.Time
		for ; truth < 10*time.Minute; truth += time.Second {
			if truth == time.Minute {
				off += test.step
			}
			if truth == time.Minute+test.knows {
				found = off
			}
			var clocks []causality.Clock
			if found != 0 {
				clocks = []causality.Clock{{Node: "node-a", Offset: time.Hour}, {Offset: found}}
			}
			got = p.by(start.Add(truth+off), clocks)
			if ahead := got.Sub(start.Add(truth)); ahead > test.ahead {
				t.Errorf("%s: after %s it is %s ahead", name, truth, ahead)
			}
			if got.Before(before) {
				t.Errorf("%s: after %s it goes back by %s", name, truth, before.Sub(got))
			}
			before = got
		}
		if behind := start.Add(truth - time.Second).Sub(got); behind > test.behind {
			t.Errorf("%s: in the end it is %s behind", name, behind)
		}
	}
}

// A machine that has slept catches up.
func TestPassageOfSleep(t *testing.T) {
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var awake time.Duration
	p := passage{elapsed: func() time.Duration { return awake }}
	p.by(start, nil)
	for ; awake < 10*time.Minute; awake += time.Second {
		p.by(start.Add(10*time.Minute+awake), nil)
	}
	if behind := start.Add(10*time.Minute + awake).Sub(p.last); behind > 2*time.Second {
		t.Errorf("it is %s behind after it was awake for as long as it has slept", behind)
	}
}

// What a journal knows reaches as far as the clock says that is ahead: its own, or the API server's.
func TestJournalIsKeptUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for off, want := range map[time.Duration]time.Duration{0: 0, 10 * time.Minute: 0, -10 * time.Minute: 10 * time.Minute} {
		k := remembering(t, &misled{Engine: causality.New(causality.Options{}), off: off})
		k.Advance(now)
		if got := keptUntil(k); !got.Equal(now.Add(want)) {
			t.Errorf("a clock is off by %s, and the journal is kept until %s", off, got)
		}
	}
}

// misled is an engine that has found out that the machine's clock is off.
type misled struct {
	*causality.Engine
	off time.Duration
}

func (e *misled) Stats() causality.Stats {
	return causality.Stats{Clocks: []causality.Clock{{Node: "n", Offset: time.Hour}, {Offset: e.off}}}
}
