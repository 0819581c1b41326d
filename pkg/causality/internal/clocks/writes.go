package clocks

import (
	"cmp"
	"slices"
	"time"
)

// Writes are when what was written to the API was there at the latest, by resource version: one
// counter serves all objects (KEP-5504). So what is learned late of a write that was made before
// another, as a watch was away, was made before the news of the other came.
type Writes struct{ seen []written }

// written is that a version had come by a time, and all of those that were seen before.
type written struct {
	version uint64
	by      time.Time
}

// mostWrites bounds how many are kept: the latest of each second, for a quarter of an hour or
// more, which is four times the life of a pod that is gone.
const mostWrites = 1024

// Note takes in that the news of a write came, which is later than all that came before.
func (w *Writes) Note(version uint64, arrival time.Time) {
	n := len(w.seen)
	switch {
	case version == 0 || n > 0 && (version <= w.seen[n-1].version || arrival.Before(w.seen[n-1].by)):
		// It says nothing new.
	case n > 0 && arrival.Truncate(time.Second).Equal(w.seen[n-1].by.Truncate(time.Second)):
		w.seen[n-1] = written{version, arrival}
	default:
		if n == mostWrites {
			w.seen = slices.Delete(w.seen, 0, n/4)
		}
		w.seen = append(w.seen, written{version, arrival})
	}
}

// By is when a write was there, the news of which came at arrival: then, unless that is late.
func (w *Writes) By(version uint64, arrival time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(w.seen, version, func(s written, v uint64) int { return cmp.Compare(s.version, v) })
	// What is before all that is kept may be of any time before.
	if version == 0 || i == 0 || i == len(w.seen) || arrival.Sub(w.seen[i].by) < late {
		return arrival
	}
	return w.seen[i].by
}

// late is news that comes so much later than what was written after it.
const late = 5 * time.Second
