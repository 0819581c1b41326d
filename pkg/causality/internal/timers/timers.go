// Package timers is a heap of what waits for a time.
package timers

import (
	"time"
)

// Timers are what waits for a time, each once, in a heap that has the first of them first. So
// to know that the time of none has come takes one look, however many wait.
type Timers[K comparable] struct {
	heap []timer[K]
	at   map[K]int // where in the heap each is
}

type timer[K comparable] struct {
	time time.Time
	of   K
}

// Len is how many wait.
func (ts *Timers[K]) Len() int { return len(ts.heap) }

// Has reports whether one waits.
func (ts *Timers[K]) Has(k K) bool {
	_, ok := ts.at[k]
	return ok
}

// At is the time that one waits until, zero if it does not wait.
func (ts *Timers[K]) At(k K) time.Time {
	i, ok := ts.at[k]
	if !ok {
		return time.Time{}
	}
	return ts.heap[i].time
}

// First is the first time that any waits until, zero if none does.
func (ts *Timers[K]) First() time.Time {
	if len(ts.heap) == 0 {
		return time.Time{}
	}
	return ts.heap[0].time
}

// Set has one wait until a time, whatever time it waited for before.
func (ts *Timers[K]) Set(k K, at time.Time) {
	i, ok := ts.at[k]
	if !ok {
		if ts.at == nil {
			ts.at = map[K]int{}
		}
		i = len(ts.heap)
		ts.heap = append(ts.heap, timer[K]{of: k})
	}
	ts.heap[i].time = at
	ts.at[k] = i
	ts.place(i)
}

// Earlier has one wait until a time, if it does not wait for an earlier one.
func (ts *Timers[K]) Earlier(k K, at time.Time) {
	if i, ok := ts.at[k]; !ok || at.Before(ts.heap[i].time) {
		ts.Set(k, at)
	}
}

// Remove has one wait no longer.
func (ts *Timers[K]) Remove(k K) {
	i, ok := ts.at[k]
	if !ok {
		return
	}
	last := len(ts.heap) - 1
	ts.swap(i, last)
	ts.heap[last] = timer[K]{}
	ts.heap = ts.heap[:last]
	delete(ts.at, k)
	if i < last {
		ts.place(i)
	}
	if last == 0 {
		ts.heap, ts.at = nil, nil // with the room that a burst took
	}
}

// place moves what is at i to where its time belongs.
func (ts *Timers[K]) place(i int) {
	for up := (i - 1) / 2; i > 0 && ts.before(i, up); i, up = up, (up-1)/2 {
		ts.swap(i, up)
	}
	for {
		first := i
		for down := 2*i + 1; down <= 2*i+2 && down < len(ts.heap); down++ {
			if ts.before(down, first) {
				first = down
			}
		}
		if first == i {
			return
		}
		ts.swap(i, first)
		i = first
	}
}

func (ts *Timers[K]) before(i, j int) bool { return ts.heap[i].time.Before(ts.heap[j].time) }

func (ts *Timers[K]) swap(i, j int) {
	ts.heap[i], ts.heap[j] = ts.heap[j], ts.heap[i]
	ts.at[ts.heap[i].of], ts.at[ts.heap[j].of] = i, j
}

// Ready reports whether the time of any has come.
func (ts *Timers[K]) Ready(now time.Time) bool {
	return len(ts.heap) > 0 && !now.Before(ts.heap[0].time)
}

// Come are those whose time has come, in no order. They go on waiting until they are set anew
// or removed.
func (ts *Timers[K]) Come(now time.Time) []K {
	var come []K
	var from func(i int)
	from = func(i int) {
		if i >= len(ts.heap) || now.Before(ts.heap[i].time) {
			return // what is below it comes no earlier
		}
		come = append(come, ts.heap[i].of)
		from(2*i + 1)
		from(2*i + 2)
	}
	from(0)
	return come
}

// All are all that wait, in no order.
func (ts *Timers[K]) All() []K {
	all := make([]K, 0, len(ts.heap))
	for i := range ts.heap {
		all = append(all, ts.heap[i].of)
	}
	return all
}
