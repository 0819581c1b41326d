package clocks

import "time"

const (
	// Tolerance is how far clocks are apart where nobody would call one of them wrong: as far
	// as NTP leaves them on a busy network.
	Tolerance = 100 * time.Millisecond
	// Furthest is how far a clock may be off. What is stated from further away is no time
	// that a clock has shown, but rubbish.
	Furthest = 25 * time.Hour
	// leap is how far what a source states may go back where its clock does not: its words
	// overtake each other.
	leap = time.Second
	// many statements show how a clock was before it jumped.
	many = 20
	// farLeap is a jump so far that of two times which one statement may mean the later one
	// is right, as the news of the other would be as late as that.
	farLeap = 30 * time.Second
)

// Statement is a time that somebody states, and what is known of it otherwise: the kubelet
// says 10:02:07, in a status of a pod that was created at 10:02:05, and the news came at
// 10:02:07.4.
type Statement struct {
	Time time.Time
	// Rounded is what it was rounded down by at most: a second for most of the API, else zero.
	Rounded time.Duration
	// After is what it cannot have been before, zero if that is not known. By is when it was
	// over: when the news came, by the time of the API server.
	After, By time.Time
	// Fresh says that it was stated just now, and not again. Version orders such statements,
	// as a source makes one after the other; zero where that is not known.
	Fresh   bool
	Version uint64
}

// bounds are how far ahead a clock is at the least and at the most.
type bounds struct{ least, most time.Duration }

// unbounded is what is known of a clock before it states anything.
var unbounded = bounds{-Furthest, Furthest}

// bounds are what one statement says of its clock: it is not over after the news of it, and
// not before what made it possible.
func (s Statement) bounds() bounds {
	b := bounds{max(s.Time.Sub(s.By), -Furthest), Furthest}
	if b.least > 0 && b.least <= s.Rounded {
		b.least = 0 // by seconds nobody can tell clocks apart that are so near
	}
	if !s.After.IsZero() {
		b.most = min(s.Time.Add(s.Rounded).Sub(s.After), Furthest)
	}
	return b
}

// meets reports whether a clock may be in both bounds.
func (b bounds) meets(other bounds) bool {
	return max(b.least, other.least) <= min(b.most, other.most)+Tolerance
}

// and is what both say, which have to meet.
func (b bounds) and(other bounds) bounds {
	least := max(b.least, other.least)
	return bounds{least, max(least, min(b.most, other.most))}
}

// offset is how far ahead the clock is, as far as one can say. It is right if it may be. Else
// it is ahead by what the news says that came the soonest.
func (b bounds) offset() time.Duration {
	if b.least > Tolerance || b.most < -Tolerance {
		return b.least
	}
	return 0
}

// Clock is what is known of one source's clock.
type Clock struct {
	// trusted is the same source's by what nobody else can have written, once there is one, and
	// others is where to look for it; nil of that itself.
	trusted *Clock
	others  *Clocks
	// now is what was stated since it jumped, before what was stated before, if it jumped.
	now, before bounds
	jumped      bool
	stated      int // since it jumped
	// shifted says that it has jumped by more than clocks are read apart. The jump is no more
	// than likely until so much was stated since. The next are of before it: how much was stated,
	// and how late the news of it came at the most.
	shifted       bool
	likelyUntil   int
	statedBefore  int
	slowestBefore time.Duration
	slowest       time.Duration // since it jumped
	previous      time.Time     // the news before that of used
	vouched       time.Time     // the latest that it stated of which the news came at once, by itself
	held          time.Time     // the latest news of what fits how the clock is believed to be now
	late          []doubted
	behind        lags // what came late alike, one after the other
	// newest is the newest fresh statement, and latest that of those that are not rounded, and as of
	// when it is told.
	newest last
	latest struct {
		last
		told time.Time
	}
	told   time.Duration // what was reported
	used   time.Time
	name   Source
	report func(Finding)
}

// last is a fresh statement, the newest of some by its version.
type last struct {
	version uint64
	at      time.Time
}

// goesBack reports whether a statement is of an earlier time.
func (l last) goesBack(s Statement) bool {
	return l.version > 0 && s.Time.Add(s.Rounded+leap).Before(l.at)
}

func newClock(name Source) *Clock { return &Clock{name: name, now: unbounded} }

// known is what is known of the clock as of now, by all who speak of it.
func (c *Clock) known() bounds {
	if c.trusted == nil && c.others != nil {
		c.trusted = c.others.Known("", c.name)
	}
	if c.trusted != nil && c.now.meets(c.trusted.now) {
		return c.now.and(c.trusted.now)
	}
	return c.now
}

// Known is a time that is stated now by the API server's clock; zero unless enough was stated before.
func (c *Clock) Known(t time.Time) time.Time {
	if c == nil || t.IsZero() || c.stated < few {
		return time.Time{}
	}
	return t.Add(-c.Offset())
}

// Offset is how far the clock is ahead; behind, if it is negative.
func (c *Clock) Offset() time.Duration { return c.known().offset() }

// Date takes in a statement, and returns by how much to correct it: the time of the API
// server is the stated time less that.
//
// A statement that does not meet what is known shows that the clock has jumped. It is dated by
// the arrival of its news then, and so are those that follow, until one came sooner. What
// meets what was known before the jump was stated before it. If that was not enough to know
// the clock by, what may be of a right clock is.
//
// A kubelet writes its Events one after the other, however late (client-go's recorder has one
// queue, in which what is tried again holds up the rest). So where its clock was put back, by
// less than an Event may be late, the news of the first Event after that says by how much. What an
// Event says of its repetitions is stated in seconds, and proves less.
func (c *Clock) Date(s Statement) time.Duration {
	if c == nil || s.Time.IsZero() {
		return 0
	}
	before := c.latest
	offset := c.date(s)
	if c.latest.version == before.version {
		return offset
	}
	// It was stated after what was stated before, whatever is known of the clock meanwhile.
	if at := s.Time.Add(-offset); at.Before(before.told) && !s.Time.Before(before.at) {
		offset = s.Time.Sub(before.told)
	}
	c.latest.told = s.Time.Add(-offset)
	return offset
}

// date is Date, but for the order of what is stated.
func (c *Clock) date(s Statement) time.Duration {
	if s.By.After(c.used) {
		c.previous = c.used
	}
	c.used = s.By
	said := s.bounds()
	if said.least >= Furthest || said.most <= -Furthest {
		return 0 // no clock shows that
	}
	defer c.tell(s.By)
	if s.Fresh && s.Version > c.newest.version {
		c.newest = last{s.Version, s.Time}
	}
	if s.Rounded > 0 && !s.After.IsZero() && c.Offset() != 0 {
		c.comes(s) // it is off already, so that it may well have been set
	}
	likelyUntil := 0
	if c.returns(s) {
		likelyUntil = some
		if c.name.Node != "" && said.least < -leap {
			said.most = min(said.most, said.least+leap)
		}
	} else if offset, ok := c.reading(s, said); ok {
		return offset
	}
	before := c.known()
	now := said
	c.held = s.By
	if c.jumped && c.before.meets(said) {
		now = c.before.and(said)
	}
	c.jumps(before, now, likelyUntil)
	return c.Offset()
}

// jumps notes that the clock was within other bounds before, and until how much is stated that
// is no more than likely. If so little was stated before that it was not known, what may be of a right clock is.
func (c *Clock) jumps(before, now bounds, likelyUntil int) {
	c.jumped = c.stated >= many || before.offset() != 0
	c.statedBefore, c.slowestBefore = c.stated, c.slowest
	c.before, c.now, c.stated, c.slowest, c.behind = before, now, 1, 0, lags{}
	c.shifted, c.likelyUntil = (before.offset()-now.offset()).Abs() > leap, likelyUntil
	if c.shifted {
		c.vouched = time.Time{}
		c.doubtLate()
	}
}

// likely reports whether the latest jump is not proven.
func (c *Clock) likely() bool { return c.stated < c.likelyUntil }

// reading finds how far the clock was off when it stated something, of what is known, and
// notes what it says of the clock as it is now.
func (c *Clock) reading(s Statement, said bounds) (offset time.Duration, ok bool) {
	if offset, old := c.old(s, said); old {
		return offset, true
	}
	if c.known().meets(said) {
		c.now = c.now.and(said)
		c.held = later(c.held, s.By)
		c.stated++
		offset = c.Offset()
		c.slowest = max(c.slowest, s.By.Sub(s.Time)+offset)
		return offset, true
	}
	return 0, false
}

// old reports whether something was stated before the clock jumped, and how far the clock was
// ahead then. What does not fit the clock as it is, and happened after the latest news of what
// does, was not stated before: the clock has jumped again.
func (c *Clock) old(s Statement, said bounds) (offset time.Duration, ok bool) {
	now := c.known()
	fits := now.meets(said)
	if s.Fresh || fits && (!c.jumped || now.offset()-c.before.offset() < farLeap) {
		return 0, false
	}
	if c.jumped && c.before.meets(said) {
		return c.before.offset(), fits || !s.Time.Add(-c.before.offset()).After(c.held)
	}
	return 0, !fits && said.offset() == 0 && !s.Time.After(c.held)
}

// returns reports whether the clock was put back: the source states an earlier time than in
// what it said before. What it says of repetitions, in seconds, does not count.
func (c *Clock) returns(s Statement) bool {
	if !s.Fresh || s.Rounded > 0 || s.Version <= c.latest.version {
		return false
	}
	back := c.latest.goesBack(s)
	c.latest.last = last{s.Version, s.Time}
	return back
}

// GoesBack reports whether a statement that is to be taken in is of an earlier time than the one before
// it. A queue would not have them so: where it does not go back, that it comes late proves nothing.
func (c *Clock) GoesBack(s Statement) bool {
	return c != nil && s.Version > c.newest.version && c.newest.goesBack(s)
}

// Reading is by how much to correct a statement that was taken in already.
func (c *Clock) Reading(s Statement) time.Duration {
	if c == nil {
		return 0
	}
	if said := s.bounds(); said.least < Furthest && said.most > -Furthest {
		if offset, old := c.old(s, said); old {
			return offset
		}
		if c.known().meets(said) {
			return c.Offset()
		}
	}
	return 0
}

// lags are the latest statements that came late alike: how far the clock was ahead of the news of
// them, at the most and at the least.
type lags struct {
	n           int
	from, at    time.Time // of the first and the last
	most, least time.Duration
}

// Came takes in how late a statement came, where that is dated by who wrote it down and not by when
// it arrived. However late that is, it proves no clock behind: a recorder may have been held up. Who
// states what is before that which made it possible is behind.
func (c *Clock) Came(s Statement) {
	if c != nil && s.Rounded == 0 && s.Time.Sub(s.By).Abs() <= Furthest {
		c.comes(s)
	}
}

// tell reports where the clock is off by another second than was reported.
func (c *Clock) tell(at time.Time) {
	if offset := c.now.offset(); c.report != nil && !c.likely() && (offset-c.told).Abs() >= time.Second {
		c.told = offset
		c.report(Finding{Source: c.name, Offset: offset, At: at})
	}
}
