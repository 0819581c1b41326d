package watcher

import (
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/journal"
)

// passage is up to when the API server's time has passed, as far as this process can tell. It
// is what others go by when they take over: whoever says that a time has passed which has not
// come yet has them leave out what ends by then.
type passage struct {
	// elapsed is how long the process runs, by a clock that nobody sets.
	elapsed func() time.Duration
	last    time.Time
	at      time.Duration
}

// catchUp is by how much faster than it does time may seem to pass. A clock that was set
// forward is noticed when the API server dates something that is made, which takes seconds; a
// machine that has slept is behind, and has caught up when it was awake for as long.
const catchUp = 2

// by is up to when it has, where the machine's clock shows a time and is off by what an engine
// has found out. It never goes back.
func (p *passage) by(now time.Time, off []causality.Clock) time.Time {
	now = corrected(now, off).Round(0)
	elapsed := p.elapsed()
	if most := p.last.Add(catchUp * (elapsed - p.at)); !p.last.IsZero() && now.After(most) {
		now = most
	}
	p.at = elapsed
	if now.After(p.last) {
		p.last = now
	}
	return p.last
}

// corrected is the API server's time where the machine's clock shows a time.
func corrected(now time.Time, off []causality.Clock) time.Time {
	for _, c := range off {
		if c.Node == "" && c.Component == "" {
			now = now.Add(-c.Offset)
		}
	}
	return now
}

// keptUntil is up to when it has passed where a journal ends. Watermarks go by the API server's clock, but that of the
// first process that there is goes by the machine's: so the one that is ahead counts.
func keptUntil(k *journal.Keeper) time.Time {
	machine := k.Now()
	if server := corrected(machine, k.EngineStats().Clocks); server.After(machine) {
		return server
	}
	return machine
}
