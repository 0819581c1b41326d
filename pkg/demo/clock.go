package demo

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// tickAtLeast keeps a fast demonstration from doing nothing but ticking.
const tickAtLeast = 20 * time.Millisecond

// playedClock is the clock of the time that is played. Between two watch events it runs,
// faster than time does by its speed; at each it stands still until what watches has dated
// the event, so that every arrival is that of the recording. It never goes back.
type playedClock struct {
	speed float64

	mu sync.Mutex
	// at is what it was when time was since.
	at, since time.Time
	// most is what it does not pass.
	most time.Time
	// ticks counts those that were taken by a ticker's owner.
	ticks int
}

// newClock returns a clock that stands at a time.
func newClock(at time.Time, speed float64) *playedClock {
	return &playedClock{speed: speed, at: at, since: time.Now(), most: at}
}

// Now is the time that is played.
func (c *playedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *playedClock) now() time.Time {
	ran := time.Duration(float64(time.Since(c.since)) * c.speed)
	if at := c.at.Add(ran); at.Before(c.most) {
		return at
	}
	return c.most
}

// until lets the clock run, but not past a time, and says how long it takes to get there.
func (c *playedClock) until(most time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since = c.now(), time.Now()
	if most.After(c.most) {
		c.most = most
	}
	return time.Duration(float64(c.most.Sub(c.at)) / c.speed)
}

// stand puts the clock forward to where it is not to pass.
func (c *playedClock) stand() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since = c.most, time.Now()
}

// taken counts the ticks that were taken.
func (c *playedClock) taken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticks
}

// NewTicker returns a ticker of the time that is played.
func (c *playedClock) NewTicker(every time.Duration) clock.Ticker {
	source := time.NewTicker(max(tickAtLeast, time.Duration(float64(every)/c.speed)))
	t := &ticker{source: source, out: make(chan time.Time), stopped: make(chan struct{})}
	go t.run(c)
	return t
}

// ticker hands out times of a playedClock, each once its owner asks for it: who takes a
// tick has done with the one before.
type ticker struct {
	source  *time.Ticker
	out     chan time.Time
	stop    sync.Once
	stopped chan struct{}
}

func (t *ticker) run(c *playedClock) {
	for {
		select {
		case <-t.source.C:
		case <-t.stopped:
			return
		}
		select {
		case t.out <- c.Now():
			c.mu.Lock()
			c.ticks++
			c.mu.Unlock()
		case <-t.stopped:
			return
		}
	}
}

// C is where the ticks come.
func (t *ticker) C() <-chan time.Time { return t.out }

// Stop ends the ticker.
func (t *ticker) Stop() {
	t.source.Stop()
	t.stop.Do(func() { close(t.stopped) })
}
