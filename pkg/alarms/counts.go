package alarms

import (
	"hash/maphash"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxCounts is how many Events are known in each of the two generations of counts. An Event
// takes some forty bytes.
const maxCounts = 1 << 16

// counts know how often Events have happened, so that each time is counted once: when an Event
// is updated, and when a list brings it again.
//
// Those that were heard of longest ago are forgotten. Of an Event that was forgotten, and
// happens again, one time is counted.
type counts struct {
	seed       maphash.Seed
	young, old map[uint64]count
	forgot     bool
}

type count struct {
	uid   uint32 // a part of its hash
	times int32
}

func newCounts() *counts {
	return &counts{seed: maphash.MakeSeed(), young: map[uint64]count{}, old: map[uint64]count{}}
}

// anew is how often an Event has happened since it was last seen. Of what was there when
// rollspan began to look, at since, that is not at all; of what began before and is new to it,
// once: the recorder writes an Event anew, with its count, that the API server has dropped.
func (c *counts) anew(ev *corev1.Event, initial bool, since time.Time) int {
	key := maphash.String(c.seed, ev.Namespace+"/"+ev.Name)
	now := count{uid: uint32(maphash.String(c.seed, string(ev.UID))), times: timesOf(ev)}
	before, known := c.young[key]
	if !known {
		before, known = c.old[key]
	}
	if len(c.young) >= maxCounts {
		c.young, c.old = map[uint64]count{}, c.young
		c.forgot = true
	}
	n := now.times
	switch {
	case initial:
		n = 0
	case known && (before.uid == now.uid || now.times > before.times):
		n = max(now.times-before.times, 0)
	case !known && n > 1 && (c.forgot || firstOf(ev).Before(since)):
		n = 1
	}
	if known && before.uid == now.uid {
		now.times = max(now.times, before.times) // a list may be older than the watch was
	}
	c.young[key] = now
	return int(n)
}

// timesOf is how often an Event says it happened.
func timesOf(ev *corev1.Event) int32 {
	switch {
	case ev.Series != nil && ev.Series.Count > 0:
		return ev.Series.Count
	case ev.Count > 0:
		return ev.Count
	default:
		return 1
	}
}

// firstOf is when an Event happened for the first time, as it says.
func firstOf(ev *corev1.Event) time.Time {
	switch {
	case !ev.FirstTimestamp.IsZero():
		return ev.FirstTimestamp.Time
	case !ev.EventTime.IsZero():
		return ev.EventTime.Time
	default:
		return ev.CreationTimestamp.Time
	}
}

// lastOf is when an Event happened for the last time, as it says; seen if it does not.
func lastOf(ev *corev1.Event, seen time.Time) time.Time {
	switch {
	case ev.Series != nil && !ev.Series.LastObservedTime.IsZero():
		return ev.Series.LastObservedTime.Time
	case !ev.LastTimestamp.IsZero():
		return ev.LastTimestamp.Time
	}
	if first := firstOf(ev); !first.IsZero() {
		return first
	}
	return seen
}
