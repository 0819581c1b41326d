package clocks

import (
	"slices"
	"time"
)

// watch is rollspan's own clock, by which the arrival of news is dated. The API server dates
// what is created, so that the two can be compared: an object is created before the news of
// it comes, and, while the watch keeps up, shortly before.
type watch struct {
	offset time.Duration // how far it is ahead of the API server's
	// late is how late news came alike, n times, the last of them at at of what was created at
	// stamp.
	late      time.Duration
	n         int
	at, stamp time.Time
	// shown is the latest arrival, backs how many after it were earlier, and back the first of
	// those. gap is the longest time without an arrival since the news of a creation came at once.
	shown, back time.Time
	backs       int
	gap         time.Duration
	gapEnd      time.Time // when something came again
	// unproven are the arrivals since the news of a creation came at once, the latest of them.
	// doubtful is how late the news of a creation came since, where the clock may have been set
	// ahead by that.
	unproven []arrived
	doubtful time.Duration
}

// arrived is when the news of an object came, by the time of the API server.
type arrived struct {
	told    *Told
	at      time.Time
	created time.Time // the object; zero of an Event, which somebody else dates
}

// mayBeBefore notes with what is told of the object that what it tells may be of so much before.
func (a arrived) mayBeBefore(late time.Duration) {
	if a.created.IsZero() {
		return
	}
	a.told.doubt(Statement{}, Doubt{At: a.at, Earliest: later(a.at.Add(-late), a.created), Latest: a.at})
}

// maxUnproven bounds how many arrivals are kept.
const maxUnproven = 256

// Arrived notes that news of an object, of which told is kept, came at a time of the API server's.
// Until the news of a creation comes, it is not known whether our clock has been set meanwhile.
func (w *watch) Arrived(told *Told, created, at time.Time) {
	a := arrived{told, at, created}
	if w.doubtful > 0 {
		a.mayBeBefore(w.doubtful)
		return
	}
	if len(w.unproven) == maxUnproven {
		w.unproven = slices.Delete(w.unproven, 0, maxUnproven/4)
	}
	w.unproven = append(w.unproven, a)
}

// proves takes in how late the news of a creation came. If nothing had come for as long before, the
// clock may have been set ahead, or the watch was away: what came since may be of so much before.
func (w *watch) proves(late time.Duration, arrival time.Time) {
	if gap := arrival.Sub(w.shown); !w.shown.IsZero() && gap > w.gap {
		w.gap, w.gapEnd = gap, arrival
	}
	switch {
	case late < -Tolerance: // the clock is behind: see Existed
	case late <= spread:
		w.unproven, w.doubtful = nil, 0
	case late <= w.gap+nearby:
		for _, a := range w.unproven {
			if !a.at.Before(w.Time(w.gapEnd)) {
				a.mayBeBefore(late)
			}
		}
		w.unproven, w.doubtful = nil, max(w.doubtful, late)
	}
}

const (
	// spread is how late the news of a creation is where the watch keeps up.
	spread = 2 * time.Second
	// few statements are enough where they are very late alike.
	few         = 5
	fewVeryLate = 10 * time.Second
	// some statements are enough where they are late by more than surely: no queue delays
	// all by the same, and by that much.
	some   = 3
	surely = time.Minute
	// nearby is how far apart they may be: the second is rounded, by half of it on average.
	nearby  = 1500 * time.Millisecond
	halfway = 500 * time.Millisecond
	// overtakes is by how much what arrives may be earlier than what came before, as streams overtake
	// each other.
	overtakes = 4 * time.Second
	// afterGap is how late some have to be where nothing came for as long before: the clock was
	// set ahead. Where a watch was away, what was made meanwhile is ever less late.
	afterGap = 5 * time.Second
)

// enough reports whether what is late alike shows that the clock is ahead.
func (w *watch) enough() bool {
	return w.n >= many || w.n >= few && w.late > fewVeryLate ||
		w.n >= some && (w.late > surely || w.late > afterGap && w.gap >= w.late-nearby)
}

// Time is a time of rollspan's clock by that of the API server.
func (w *watch) Time(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-w.offset)
}

// Shown is a time of the API server by what rollspan's clock shows then.
func (w *watch) Shown(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(w.offset)
}

// Created takes in that the news of an object that the API server created at stamp, a second
// that is rounded down, arrived at arrival, by rollspan's clock. No list brings such news.
func (cs *Clocks) Created(stamp, arrival time.Time) {
	w := &cs.Watch
	late := arrival.Sub(stamp) - w.offset
	if !stamp.IsZero() && late <= Furthest {
		w.proves(late, arrival)
	}
	switch {
	case stamp.IsZero() || late > Furthest:
	case late <= spread:
		w.n, w.gap = 0, 0
	case w.n > 0 && (late-w.late).Abs() <= nearby:
		if arrival.Sub(w.at) < time.Second || stamp.Sub(w.stamp) < time.Second {
			return
		}
		w.n++
		w.late, w.at, w.stamp = min(w.late, late), arrival, stamp
		if w.enough() {
			cs.set(w.offset+w.late-halfway, arrival)
		}
	default:
		w.n, w.late, w.at, w.stamp = 1, late, arrival, stamp
	}
}

// Existed takes in that an object was there that the API server created at stamp, zero if
// nothing was, when the news of it arrived by rollspan's clock, and returns when that was. If
// it is not after the creation, the clock is behind.
func (cs *Clocks) Existed(stamp, arrival time.Time) time.Time {
	w := &cs.Watch
	if arrival.Before(w.shown.Add(-overtakes)) {
		if w.goesBack(arrival); w.backs < some {
			return w.Time(w.shown.Add(arrival.Sub(w.back)))
		}
		cs.goOn(arrival)
	} else if arrival.After(w.shown) {
		if w.backs > 1 {
			cs.goOn(arrival)
		} else if gap := arrival.Sub(w.shown); !w.shown.IsZero() && gap > w.gap {
			w.gap, w.gapEnd = gap, arrival
		}
		w.shown, w.backs = arrival, 0
	}
	if late := w.Time(arrival).Sub(stamp); !stamp.IsZero() && late < -Tolerance && late > -Furthest {
		cs.set(w.offset+late, arrival)
	}
	return w.Time(arrival)
}

// IsBack reports whether an arrival is so much earlier than one before that the clock may have been
// set back. What is stated of a later time shows it then, by whoever's clock is known: see Existed.
func (w *watch) IsBack(arrival time.Time) bool { return arrival.Before(w.shown.Add(-leap)) }

// Shows is the time that shows it: when an object was created, or what is stated, unless that is so
// much later than the news that it may be anybody's.
func Shows(created, stated, arrival time.Time) time.Time {
	if stated.Sub(arrival) > surely {
		return created
	}
	return later(created, stated)
}

// goesBack takes in an arrival that is earlier than one before. Some, one after the other, show
// that the clock was put back. A single one does not, as lines of a recording may be damaged.
func (w *watch) goesBack(arrival time.Time) {
	if w.backs == 0 || arrival.Before(w.back) {
		w.backs, w.back = 0, arrival
	}
	w.backs++
}

// goOn has the clock that was put back go on from where it was: nothing tells yet how much time had
// passed. What is known of other clocks was found before. No clock is put back by more than Furthest:
// that is what damaged lines show, and what comes next says when it was.
func (cs *Clocks) goOn(arrival time.Time) {
	w := &cs.Watch
	by := w.back.Sub(w.shown)
	if by < -Furthest {
		by = 0
	}
	w.offset += by
	w.n, w.at, w.shown, w.backs = 0, arrival, arrival, 0
	if w.offset.Abs() <= Tolerance {
		w.offset = 0
	}
	if by.Abs() >= time.Second {
		cs.tell(Finding{Source: Watcher, Offset: w.offset, At: arrival})
	}
}

// set notes how far rollspan's clock is ahead. What is known of the others was found by it.
func (cs *Clocks) set(offset time.Duration, at time.Time) {
	if offset.Abs() <= Tolerance {
		offset = 0
	}
	w := &cs.Watch
	by := offset - w.offset
	if by < 0 {
		for _, a := range w.unproven {
			a.told.doubt(Statement{}, Doubt{At: a.at, Earliest: a.at, Latest: a.at.Add(-by)})
		}
	}
	w.offset, w.n, w.at, w.unproven, w.doubtful = offset, 0, at, nil, 0
	for _, c := range cs.byKey {
		was := c.now.offset()
		c.cameAtOnce(0) // what came late did so by the wrong clock, by which these were as well
		c.behind, c.previous, c.used, c.held = lags{}, time.Time{}, earlier(c.used, w.Time(at)), earlier(c.held, w.Time(at))
		c.latest.told, c.vouched = time.Time{}, time.Time{}
		c.now, c.before = c.now.moved(by), c.before.moved(by)
		c.told += c.now.offset() - was // that it is ours is told
	}
	if by.Abs() >= time.Second {
		cs.tell(Finding{Source: Watcher, Offset: offset, At: at})
	}
}

// moved are the bounds where the clock that they were found by turns out to be ahead by so much more
// than was believed. It may not have been so when all was stated that they are of. So they only get wider.
func (b bounds) moved(by time.Duration) bounds {
	if b.least > -Furthest {
		b.least += min(by, 0)
	}
	if b.most < Furthest {
		b.most += max(by, 0)
	}
	return b
}
