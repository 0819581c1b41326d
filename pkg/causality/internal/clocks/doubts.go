package clocks

import (
	"slices"
	"time"
)

// Doubt is how well it is known when that was which a source stated about when its clock jumped:
// it is told as of At, and was not before Earliest and not after Latest.
type Doubt struct{ At, Earliest, Latest time.Time }

const (
	// maxDoubts bounds what is kept of one object.
	maxDoubts = 32
	// maxLate bounds what is kept of one source that came late.
	maxLate = 64
	// Some statements that are late alike are enough to doubt them for good, where the source's news came
	// at once before: then its clock was likely set back. They are told as they were stated, as a
	// recorder may have been held up, too.
	alike      = 500 * time.Millisecond
	lateAtAll  = 1500 * time.Millisecond
	alikeSince = 2 * time.Second
	// overtaken is by how much what a source states may be of before the news of what it stated
	// before that.
	overtaken = 5 * time.Second
)

// doubted is a statement that came late, of which a jump that shows later may be the reason, and how
// well it is known until then.
type doubted struct {
	Statement
	at    time.Time // as it is told
	told  *Told
	doubt Doubt
	// unknown says that it is doubted already.
	unknown bool
}

// Doubt notes with what is told of an object how well it is known when that was which a statement
// is about, where the clock has jumped and has stated too little on that side of the jump to be
// known by. Where something comes late, its recorder may have been held up or the clock may have
// been set back: of an Event that is not known until something comes at once. Believed, unless what
// follows shows otherwise, is what is of no later than what came at once before, and a status, which
// kubelets write up to ten seconds late.
func (c *Clock) Doubt(told *Told, s Statement, offset time.Duration) {
	if c == nil || s.Time.IsZero() || offset.Abs() > Furthest {
		return
	}
	at := s.Time.Add(-offset)
	if c.little(offset) {
		told.doubt(s, c.interval(s, at))
	}
	d := Doubt{At: at, Earliest: at, Latest: s.By}
	switch late := s.By.Sub(at); {
	case late <= leap+s.Rounded:
		c.cameAtOnce(late)
		c.vouched = later(c.vouched, s.Time.Add(s.Rounded))
	case c.isBehind():
		told.doubt(s, d)
	default:
		if len(c.late) == maxLate {
			c.late = c.late[1:]
		}
		unknown := s.Fresh && late > lateAtAll && s.Time.After(c.vouched)
		if unknown {
			told.doubt(s, d)
		}
		c.late = append(c.late, doubted{s, at, told, d, unknown})
	}
}

// cameAtOnce takes in that something came within so much of what it states: the clock was behind by
// no more, so that what came late before was not later by more than that.
func (c *Clock) cameAtOnce(within time.Duration) {
	late := c.late[:0]
	for _, l := range c.late {
		if latest := l.at.Add(within); l.unknown && latest.Before(l.doubt.Latest) {
			l.told.believe(l.doubt)
			l.doubt.Latest = latest
			l.told.doubt(l.Statement, l.doubt)
		}
		if within > leap {
			late = append(late, l)
		}
	}
	clear(c.late[len(late):])
	c.late = late
}

// comes takes in how late a statement came.
func (c *Clock) comes(s Statement) {
	l, known, ahead := &c.behind, c.known(), s.Time.Sub(s.By)
	offset := known.offset()
	if ahead-offset > -lateAtAll-s.Rounded || known.least < offset-time.Second {
		*l = lags{}
		return
	}
	if l.n == 0 || max(l.most, ahead)-min(l.least, ahead) > alike+s.Rounded {
		*l = lags{from: s.By, most: ahead, least: ahead}
	} else if s.By.Sub(l.at) < alike {
		return // the same news
	}
	l.n, l.at = l.n+1, s.By
	l.most, l.least = max(l.most, ahead), min(l.least, ahead)
	if !c.isBehind() {
		return
	}
	for _, l := range c.late {
		if !l.unknown { // else it is
			l.told.doubt(l.Statement, l.doubt)
		}
	}
	c.late = nil
}

// isBehind reports whether the clock was likely set back, by what came late alike.
func (c *Clock) isBehind() bool {
	return c.behind.n >= some && c.behind.at.Sub(c.behind.from) >= alikeSince
}

// little reports whether little was stated on that side of a jump on which the clock was off by
// so much.
func (c *Clock) little(offset time.Duration) bool {
	if !c.shifted {
		return false
	}
	if offset != c.Offset() && offset == c.before.offset() {
		return c.statedBefore < many
	}
	return c.stated < many
}

// interval is when that may have been which is stated, and told as of a time: not before what made
// it possible, nor long before the source's news that came before; and not later than the news.
// While the jump is no more than likely, the clock may be as it was.
func (c *Clock) interval(s Statement, at time.Time) Doubt {
	d := Doubt{At: at, Earliest: s.After, Latest: at.Add(s.Rounded)}
	if most := c.known().most; most < Furthest {
		d.Earliest = later(d.Earliest, s.Time.Add(-most))
	}
	if !c.previous.IsZero() {
		d.Earliest = later(d.Earliest, c.previous.Add(-overtaken))
	}
	if c.statedBefore >= many { // then it is known how late its news is
		d.Earliest = later(d.Earliest, s.By.Add(-c.slowestBefore-leap-s.Rounded))
	}
	if d.Latest.After(s.By) {
		d.Latest = s.By
	}
	if c.likely() || !s.Fresh { // or it was stated before the jump
		d = d.or(s.Time.Add(-c.before.offset()), s)
	}
	return d
}

// or is the doubt with another time, at which what is stated may have been.
func (d Doubt) or(as time.Time, s Statement) Doubt {
	if as.Add(s.Rounded).Before(s.After) || as.After(s.By.Add(Tolerance)) {
		return d
	}
	if as.Before(d.Earliest) {
		d.Earliest = as
	}
	d.Latest = later(d.Latest, as)
	return d
}

// doubtLate notes of what came late, before a jump was known, that the clock may have jumped
// before that.
func (c *Clock) doubtLate() {
	for _, l := range c.late {
		l.told.believe(l.doubt)
		l.told.doubt(l.Statement, Doubt{At: l.at, Earliest: l.at, Latest: l.at}.or(l.Time.Add(-c.now.offset()), l.Statement))
	}
	c.late = nil
}

// doubt keeps it where that is worse than to the second, by more than it is rounded.
func (t *Told) doubt(s Statement, d Doubt) {
	if d.Earliest.IsZero() || d.Latest.Sub(d.Earliest) <= time.Second+s.Rounded {
		return
	}
	if len(t.doubts) == maxDoubts {
		t.doubts = t.doubts[1:]
	}
	t.doubts = append(t.doubts, d)
}

// believe takes back a doubt.
func (t *Told) believe(d Doubt) {
	if i := slices.Index(t.doubts, d); i >= 0 {
		t.doubts = slices.Delete(t.doubts, i, i+1)
	}
}

// Doubts are of those times that the object states about when a clock jumped.
func (t *Told) Doubts() []Doubt { return t.doubts }

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
