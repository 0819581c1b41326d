package causality_test

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// drawnOf draws which of the Events of a snapshot to leave out, and says which these are.
func drawnOf(draw func(*rand.Rand, []*corev1.Event) func(*corev1.Event) bool, random *rand.Rand, objects []runtime.Object, without string) (leave func(runtime.Object) bool, said string) {
	var events []*corev1.Event
	for _, o := range objects {
		if ev, ok := o.(*corev1.Event); ok {
			events = append(events, ev)
		}
	}
	if len(events) == 0 {
		return func(runtime.Object) bool { return false }, without
	}
	isLeftOut := draw(random, events)
	names := []string{without}
	for _, ev := range events {
		if isLeftOut(ev) {
			names = append(names, ev.Reason+" "+ev.InvolvedObject.Name)
		}
	}
	return func(o runtime.Object) bool {
		ev, ok := o.(*corev1.Event)
		return ok && isLeftOut(ev)
	}, strings.Join(names, ", ")
}

// oldestEvents leaves out those that were written last before one of them was: they have expired.
func oldestEvents(random *rand.Rand, events []*corev1.Event) func(*corev1.Event) bool {
	kept := writtenAt(events[random.IntN(len(events))])
	return func(ev *corev1.Event) bool { return writtenAt(ev).Before(kept) }
}

// writtenAt is when an Event was written for the last time, from when on it is kept for an hour.
func writtenAt(ev *corev1.Event) time.Time {
	last := ev.LastTimestamp.Time
	for _, at := range []time.Time{ev.EventTime.Time, ev.FirstTimestamp.Time} {
		if at.After(last) {
			last = at
		}
	}
	if ev.Series != nil && ev.Series.LastObservedTime.After(last) {
		last = ev.Series.LastObservedTime.Time
	}
	return last
}

// someEvents leaves out any: the recorder of a busy component holds some back, and some are lost.
func someEvents(random *rand.Rand, _ []*corev1.Event) func(*corev1.Event) bool {
	most, salt := random.Uint32(), []byte{byte(random.IntN(256)), byte(random.IntN(256))}
	return func(ev *corev1.Event) bool {
		h := fnv.New32a()
		h.Write([]byte(ev.Name))
		h.Write(salt)
		return h.Sum32() < most
	}
}

func anEvent(random *rand.Rand, events []*corev1.Event) func(*corev1.Event) bool {
	out := events[random.IntN(len(events))]
	return func(ev *corev1.Event) bool { return ev.Name == out.Name && ev.Namespace == out.Namespace }
}

// eventsOfAReason leaves out what one component says of one thing that it does, as an older version of it,
// which says nothing.
func eventsOfAReason(random *rand.Rand, events []*corev1.Event) func(*corev1.Event) bool {
	out := events[random.IntN(len(events))].Reason
	return func(ev *corev1.Event) bool { return ev.Reason == out }
}
