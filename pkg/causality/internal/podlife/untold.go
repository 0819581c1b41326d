package podlife

import (
	"cmp"
	"slices"
	"strconv"
)

// An Event that repeats is one object with a count, however long it goes on: the kubelet's
// `Unhealthy` of Monday is the one of Thursday, with a higher count. So a span has an Event
// up to the span's end, and what comes after that is told anew, in its own time.

// Untold is what no span has of the Event: the Event itself, or what is left of it as an
// Event of its own that begins with the first repetition which no span has. nil if spans
// have all of it.
func (ev *Event) Untold() *Event {
	if !ev.Ledger.Claimed {
		return ev
	}
	i := slices.IndexFunc(ev.Occurrences, func(o Occurrence) bool { return !ev.Ledger.Has(o.Count, o.At) })
	if i < 0 {
		return nil
	}
	left := ev.Occurrences[i:len(ev.Occurrences):len(ev.Occurrences)]
	return &Event{
		Key: ev.Key, UID: ev.UID, Name: ev.Name, EventType: ev.EventType, Reason: ev.Reason, Component: ev.Component,
		Container: ev.Container, Related: ev.Related, Static: ev.Static, Occurrences: left, repeats: true,
		Object: ev.Object, LastArrival: ev.LastArrival, Ledger: ev.Ledger,
	}
}

// Told reports whether spans have all of the Event.
func (ev *Event) Told() bool {
	last := ev.Last()
	return ev.Ledger.Has(last.Count, last.At)
}

// Listed is the last time at which the Event happened that was old news when the watcher
// came; ok is false if there is none.
func (ev *Event) Listed() (last Occurrence, ok bool) {
	for _, o := range ev.Occurrences {
		if o.Listed {
			last, ok = o, true
		}
	}
	return last, ok
}

// Identity tells the Event apart from others, and what is left of it from what was told
// before.
func (ev *Event) Identity() []string {
	if !ev.repeats {
		return []string{ev.Key}
	}
	first := ev.Occurrences[0]
	return []string{ev.Key, strconv.Itoa(int(first.Count)), strconv.FormatInt(first.At.UnixNano(), 10)}
}

// CountAt is how often the Event happened up to one of its occurrences since what spans
// have of it.
func (ev *Event) CountAt(o Occurrence) int {
	if n := o.Count - ev.Ledger.Count; ev.repeats && n > 0 {
		return int(n)
	} else if ev.repeats {
		return 1 // its emitter does not count
	}
	return int(o.Count)
}

// Untold is what no span has of the object's Events, in order.
func (o *Object) Untold() []*Event {
	var left []*Event
	for _, ev := range o.Events {
		if ev = ev.Untold(); ev != nil {
			left = append(left, ev)
		}
	}
	slices.SortFunc(left, (*Event).Compare)
	return left
}

// Compare orders Events by when they began, and those of one time by what they are.
func (ev *Event) Compare(other *Event) int {
	return cmp.Or(ev.First().Compare(other.First()), cmp.Compare(ev.Key, other.Key))
}
