package history

import "time"

// aging is the time that ages are counted from where what is too old is dropped, which is for good.
// The machine's clock may be set ahead by years, and be right again a minute later. So time passes
// here at most twice as fast as it does by a clock that nobody sets; a machine that has slept catches
// up. A clock that is wrong from the start is believed.
type aging struct {
	wall    func() time.Time
	elapsed func() time.Duration
	last    time.Time
	at      time.Duration
}

func newAging(wall func() time.Time, elapsed func() time.Duration) *aging {
	return &aging{wall: wall, elapsed: elapsed, last: wall().Round(0), at: elapsed()}
}

// now is that time. It is for one goroutine.
func (a *aging) now() time.Time {
	const catchUp = 2
	wall, elapsed := a.wall().Round(0), a.elapsed()
	a.last, a.at = a.last.Add(catchUp*(elapsed-a.at)), elapsed
	if wall.Before(a.last) {
		a.last = wall
	}
	return a.last
}
