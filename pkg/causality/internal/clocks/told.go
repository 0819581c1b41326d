package clocks

import (
	"slices"
	"time"
)

// Told is what is kept of what was stated of one object: which times, and by how much each
// was corrected, as of one time that is stated again and again there is one truth; and how
// far the clocks were off by which it was stated.
type Told struct {
	times   []told
	offsets []Offset
	doubts  []Doubt
}

// told is a time that the object states, of what (as a hash), and its correction.
type told struct {
	of     uint32
	at     int64 // in seconds since 1970
	offset time.Duration
}

// Stated is a time that an object states of something, such as the start of a container.
type Stated struct {
	// What and Of tell it from the others: "started ", and the ID of the container. Each
	// update of each pod has some, so that they are not put together.
	What, Of string
	Time     time.Time
}

// key is how it is found among what was told.
func (s Stated) key() told {
	return told{of: hashed(hashed(fnvOffset, s.What), s.Of), at: s.Time.Unix()}
}

// The constants of FNV-1a with 32 bits, which package hash/fnv has behind an interface.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

// hashed goes on with a hash.
func hashed(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return h
}

// Offset is how far the clock was ahead by which a component stated what an object says.
type Offset struct {
	Service string
	By      time.Duration
}

// mostTimes bounds how many times are remembered of one object. A pod states some five of
// its own and three of each container.
const mostTimes = 256

// mostOffsets bounds of how many components one object says how far they were off.
const mostOffsets = 8

// Correct finds by how much to correct each of the times that an object states now. Those
// that it stated before are as they were; the others are taken in by date, and are then
// corrected by what read says, when all were taken in. It reports whether any is corrected.
func (t *Told) Correct(stated []Stated, date func(time.Time), read func(time.Time) time.Duration) (corrected bool) {
	slices.SortStableFunc(stated, func(a, b Stated) int { return a.Time.Compare(b.Time) })
	if len(stated) > mostTimes {
		stated = stated[len(stated)-mostTimes:]
	}
	fresh := len(stated) != len(t.times)
	for _, s := range stated {
		if _, known := t.find(s); !known {
			fresh = true
			date(s.Time)
		}
	}
	if !fresh {
		return t.corrects()
	}
	times := make([]told, 0, len(stated))
	for _, s := range stated {
		next := s.key()
		var known bool
		if next.offset, known = t.find(s); !known {
			next.offset = read(s.Time)
		}
		times = append(times, next)
	}
	t.times = times
	return t.corrects()
}

func (t *Told) corrects() bool {
	return slices.ContainsFunc(t.times, func(s told) bool { return s.offset != 0 })
}

func (t *Told) find(s Stated) (offset time.Duration, known bool) {
	key := s.key()
	for _, told := range t.times {
		if told.of == key.of && told.at == key.at {
			return told.offset, true
		}
	}
	return 0, false
}

// Time is a time that the object states, by the API server's clock.
func (t *Told) Time(s Stated) time.Time {
	if s.Time.IsZero() {
		return s.Time
	}
	offset, _ := t.find(s)
	return s.Time.Add(-offset)
}

// Until is the latest of the times that the object stated, by the API server's clock;
// zero if there is none.
func (t *Told) Until() (last time.Time) {
	for _, s := range t.times {
		if at := time.Unix(s.at, 0).UTC().Add(-s.offset); at.After(last) {
			last = at
		}
	}
	return last
}

// Latest is by how much the latest of the times that the object states is corrected.
func (t *Told) Latest() time.Duration {
	if len(t.times) == 0 {
		return 0
	}
	return t.times[len(t.times)-1].offset
}

// Note keeps how far the clock of a component is ahead by which it stated something.
func (t *Told) Note(service string, by time.Duration) {
	i := slices.IndexFunc(t.offsets, func(o Offset) bool { return o.Service == service })
	switch {
	case by == 0: // what is corrected stays so
	case i >= 0:
		t.offsets[i].By = by
	case len(t.offsets) < mostOffsets:
		t.offsets = append(t.offsets, Offset{service, by})
	}
}

// Offsets are how far those clocks were ahead that were off.
func (t *Told) Offsets() []Offset { return t.offsets }
