package watcher

import (
	"sync"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// steadyClock dates what arrives. It shows what the machine's clock does, but is never set back: how
// much time has passed shows a clock that nobody sets. Where the machine's goes ahead of that, it was
// set, or the machine slept, which is not to be told apart. So it goes ahead, too.
type steadyClock struct {
	Clock
	// elapsed is how long the process runs, by a clock that nobody sets.
	elapsed func() time.Duration
	// longest is how long anything waits for late news at the most.
	longest time.Duration

	mu    sync.Mutex
	began time.Time     // what the clock would have shown then
	until time.Duration // until when what was due may not have waited for late news
}

// goneAhead is by how much the machine's clock is set ahead at the least. By less nobody's time
// is wrong.
const goneAhead = time.Second

func newSteadyClock(clock Clock, o *causality.Options) *steadyClock {
	began := clock.Now()
	return &steadyClock{
		Clock: clock, began: began.Round(0), longest: longestWait(o),
		elapsed: func() time.Duration { return clock.Now().Sub(began) }, // by the monotonic clock, if it has one
	}
}

// longestWait is how long anything waits for late news at the most. Two waits add up: for pods that are slow
// or for further Events, and then for what comes late of either, which is as long as Quiet where Events lag.
func longestWait(o *causality.Options) time.Duration {
	return max(defaultLinger, o.Linger, o.Quiet) + max(defaultQuiet, o.Settle, o.Quiet)
}

func (c *steadyClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.Clock.Now().Round(0) // no later than elapsed, so that nothing is ahead that was only held up
	elapsed := c.elapsed()
	if ahead := wall.Sub(c.began.Add(elapsed)); ahead > goneAhead {
		c.began = c.began.Add(ahead)
		c.until = max(c.until, elapsed+min(ahead, c.longest))
	}
	return c.began.Add(elapsed)
}

// leapt reports whether the machine's clock has gone ahead so lately that what is due by it has not
// waited for as long as it seems. It is asked every second.
func (c *steadyClock) leapt() bool {
	c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed() < c.until
}
