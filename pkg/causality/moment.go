package causality

import (
	"strconv"
	"time"
)

// arrivalSlack is how long after the end of the second an object names its
// arrival still dates it: the write then happened late in that second. In
// recordings of a busy node arrival lagged by up to half a second; an
// arrival later than this is a backlog and says nothing.
const arrivalSlack = 2 * time.Second

// moment is what is known of when something happened: not before lo, and, as
// far as there is evidence, at hi or just before. The zero moment is unknown.
type moment struct {
	lo, hi time.Time
}

// exactly is a moment known to the resolution of t.
func exactly(t time.Time) moment { return moment{lo: t, hi: t} }

// arrived is a moment of which only the arrival of its news is known.
func arrived(arrival time.Time) moment { return moment{hi: arrival} }

// inSecond is a moment the API states as a whole second, rounded down, and
// whose news arrived at arrival (zero if that says nothing).
func inSecond(second, arrival time.Time) moment {
	second = second.Truncate(time.Second)
	m := moment{lo: second}
	end := second.Add(time.Second - time.Nanosecond)
	switch {
	case arrival.IsZero() || arrival.Before(second):
	case !arrival.After(end):
		m.hi = arrival
	case arrival.Before(end.Add(arrivalSlack)):
		m.hi = end
	}
	return m
}

func (m moment) known() bool { return !m.lo.IsZero() || !m.hi.IsZero() }

// exact reports whether the moment is known better than to the second.
func (m moment) exact() bool { return !m.lo.IsZero() && m.lo.Equal(m.hi) }

// at is the best single estimate: news comes shortly after the fact, so the
// upper bound where there is one.
func (m moment) at() time.Time {
	if m.hi.IsZero() {
		return m.lo
	}
	return m.hi
}

// before narrows a moment by an effect of it: a cause is not later than its
// effect, but stays in the second the API states.
func (m moment) before(effect time.Time) moment {
	if !m.known() || effect.IsZero() || !m.hi.IsZero() && !effect.Before(m.hi) {
		return m
	}
	if m.hi.IsZero() && effect.After(m.lo.Add(time.Second)) {
		return m
	}
	m.hi = effect
	if m.hi.Before(m.lo) {
		m.hi = m.lo
	}
	return m
}

// stamp dates and orders a write: by resource version where both sides have
// one (one etcd revision counter serves Deployments, ReplicaSets and Pods; see
// also KEP-5504), else by arrival.
type stamp struct {
	version uint64
	arrival time.Time
}

func newStamp(resourceVersion string, o Observation) stamp {
	v, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil || o.Initial {
		// The version of a listed object is that of its latest write, not
		// of the one we are interested in.
		v = 0
	}
	return stamp{version: v, arrival: o.Time}
}

// number tells a write of an object's spec from the others: by the generation that it
// made, or, where a damaged recording has lost that, by the resource version, which is
// negative so that it is no generation.
func (s stamp) number(generation int64) int64 {
	if generation == 0 {
		return -int64(s.version)
	}
	return generation
}

func (s stamp) before(t stamp) bool {
	if s.version != 0 && t.version != 0 {
		return s.version < t.version
	}
	return s.arrival.Before(t.arrival)
}

// compareStamps is 0 for writes of which nobody knows which came first.
func compareStamps(a, b stamp) int {
	switch {
	case a.before(b):
		return -1
	case b.before(a):
		return 1
	}
	return 0
}

// latest returns the last of the times.
func latest(ts ...time.Time) time.Time {
	var last time.Time
	for _, t := range ts {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// earliest returns the first of the times that are set.
func earliest(ts ...time.Time) time.Time {
	var first time.Time
	for _, t := range ts {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
