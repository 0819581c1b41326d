package watcher

import (
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/rollspan/rollspan/pkg/causality"
)

// setClock is a machine's clock that somebody sets.
type setClock struct {
	clock.RealClock
	start        time.Time
	elapsed, off time.Duration
}

func (c *setClock) Now() time.Time { return c.start.Add(c.elapsed + c.off) }

// A machine's clock that is set back dates nothing earlier than it was. One that goes ahead is followed, and
// what is due waits for as long as that, and for no longer than anything waits for late news. A loop that was
// busy is not taken for either.
func TestWhatArrivesIsDatedByASteadyClock(t *testing.T) {
	for name, c := range map[string]struct {
		by, then time.Duration // by how much the clock is set after a minute, and after three
		busy     time.Duration // how long nobody asks after a minute
		off      time.Duration // how far what arrives in the end is dated ahead
		waits    time.Duration // how long what is due waits
		o        causality.Options
	}{
		"right":                  {},
		"a second":               {by: time.Second},
		"set ahead":              {by: 8 * time.Second, off: 8 * time.Second, waits: 8 * time.Second},
		"far ahead":              {by: time.Hour, off: time.Hour, waits: 90 * time.Second},
		"set ahead, pods linger": {by: time.Hour, off: time.Hour, waits: 150 * time.Second, o: causality.Options{Linger: 2 * time.Minute}},
		"set ahead, Events lag":  {by: time.Hour, off: time.Hour, waits: 140 * time.Second, o: causality.Options{Quiet: 70 * time.Second}},
		"set ahead, all settles": {by: time.Hour, off: time.Hour, waits: 110 * time.Second, o: causality.Options{Settle: 50 * time.Second}},
		"set back":               {by: -8 * time.Second},
		"far back":               {by: -time.Hour},
		"busy":                   {busy: 20 * time.Second},
		"busy, and set":          {busy: 20 * time.Second, by: 8 * time.Second, off: 8 * time.Second, waits: 8 * time.Second},
		"set back, and right":    {by: -30 * time.Second, then: 30 * time.Second},
		"set ahead, and right":   {by: 30 * time.Second, then: -30 * time.Second, off: 30 * time.Second, waits: 30 * time.Second},
		"set back, and far more": {by: -30 * time.Second, then: 40 * time.Second, off: 10 * time.Second, waits: 10 * time.Second},
	} {
		m := &setClock{start: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
		s := newSteadyClock(m, &c.o)
		s.elapsed = func() time.Duration { return m.elapsed }
		var waited time.Duration
		var before time.Time
		for ; m.elapsed < 5*time.Minute; m.elapsed += time.Second {
			switch m.elapsed {
			case time.Minute:
				m.off = c.by
				m.elapsed += c.busy
			case 3 * time.Minute:
				m.off += c.then
			}
			if s.leapt() {
				waited += time.Second
			}
			now := s.Now()
			if now.Before(before) {
				t.Errorf("%s: %s comes after %s", name, now, before)
			}
			before = now
		}
		if off := s.Now().Sub(m.start.Add(m.elapsed)); off != c.off || waited != c.waits {
			t.Errorf("%s: what arrives is dated %s ahead, want %s; what is due waits for %s, want %s", name, off, c.off, waited, c.waits)
		}
	}
}
