package timers

import "time"

// longOpen is the age from which on a change is told of once an hour: who did not
// look at it until then will not for the next few minutes.
const longOpen = time.Hour

// Intervals are the ends of the intervals in which a change is told of, as its
// age: After, then each Every later, and from the first that is longOpen or more
// each longOpen later.
type Intervals struct{ After, Every time.Duration }

// long is the first end that is longOpen or more.
func (iv Intervals) long() time.Duration {
	left := max(longOpen-iv.After, 0)
	return iv.After + (left+iv.Every-1)/iv.Every*iv.Every
}

// Last is the latest end that is not later than age, 0 if there is none.
func (iv Intervals) Last(age time.Duration) time.Duration {
	from, step := iv.After, iv.Every
	if long := iv.long(); age >= long {
		from, step = long, max(longOpen, iv.Every)
	}
	if age < from {
		return 0
	}
	return age - (age-from)%step
}

// Next is the first end that is later than age.
func (iv Intervals) Next(age time.Duration) time.Duration {
	switch last := iv.Last(age); {
	case last == 0:
		return iv.After
	case last >= iv.long():
		return last + max(longOpen, iv.Every)
	default:
		return last + iv.Every
	}
}
