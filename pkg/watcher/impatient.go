package watcher

import (
	"time"

	"k8s.io/utils/clock"
)

// impatientClock is a clock for a Reflector that has nothing to wait for any more
// when it is done. Where an API server refuses connections, a Reflector that
// streams its lists waits up to a minute without a look at its context, which is
// longer than a pod has to end, and the spans that are still to be sent wait
// behind it.
type impatientClock struct {
	clock.RealClock
	done <-chan struct{}
	// back is closed when there is nothing to wait for at the moment.
	back func() <-chan struct{}
}

// After returns a channel that gets the time after d, or is closed when the clock
// is done.
func (c impatientClock) After(d time.Duration) <-chan time.Time {
	after := make(chan time.Time, 1)
	back := c.back() // now, or what is told before the goroutine runs is missed
	go func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case now := <-timer.C:
			after <- now
		case <-back:
			after <- time.Now()
		case <-c.done:
			close(after)
		}
	}()
	return after
}
