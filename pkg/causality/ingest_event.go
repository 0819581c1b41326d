package causality

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
)

// observeEvent files an Event under the object it is about.
func (e *Engine) observeEvent(o Observation, in *corev1.Event) *podlife.Object {
	key, ev := e.eventOf(in)
	times := e.eventTimes(o, in, ev)
	first, last := times.first, times.last
	count := podlife.EventCount(in)
	e.noteLag(o, last)

	id, static := e.involvedObject(in, first)
	obj := e.object(id, in.InvolvedObject.Name)
	if ev == nil && e.seenBefore(in, o, last) {
		e.old.Earlier(obj, o.Time) // it may be known by this alone
		return obj
	}
	obj.Touched = o.Time
	obj.Told.Note(podlife.EventComponent(in), times.offsetAtEnd)
	times.clock.Doubt(&obj.Told, times.stated, times.offsetAtEnd)
	if ev == nil {
		ev = &podlife.Event{
			Key:         key,
			UID:         in.UID,
			Name:        in.Name,
			EventType:   in.Type,
			Reason:      in.Reason,
			Component:   podlife.EventComponent(in),
			Container:   podlife.ContainerOf(in.InvolvedObject.FieldPath),
			Occurrences: []podlife.Occurrence{{Count: 1, At: first, Message: podlife.FirstMessage(in), Seen: o.Time, Listed: o.Initial}},
			Ledger:      &ledger.Event{},
			Offset:      times.offset,
			Static:      static,
			Object:      obj,
		}
		if r := in.Related; r != nil && r.Kind == kube.KindPod && r.UID != "" {
			ev.Related = &kube.ObjectID{Kind: kube.KindPod, Namespace: r.Namespace, UID: r.UID}
		}
		e.events[key] = ev
		obj.Events = append(obj.Events, ev)
		e.old.Earlier(obj, o.Time.Add(podlife.EventLife))
		e.holdings.Put(ev, in)
		e.observeAnnouncement(obj, ev.Reason, ev.Occurrences[0])
		e.boundEvents(obj)
	}
	isNew := ev.LastArrival.IsZero()
	ev.LastArrival = o.Time
	if count > 1 || last.After(ev.First()) {
		if ev.Ledger.Claimed {
			e.stats.LateRepetitions++
		}
		if isNew && e.hadSeen(o, first) {
			// The API server had dropped the Event, and its emitter wrote it again.
			ev.Ledger.PassOver(max(count-1, 1), first)
		}
		o := podlife.Occurrence{Count: count, At: last, Message: in.Message, Seen: o.Time, Listed: o.Initial}
		if in.Series == nil && count > 1 {
			o.Stated = in.LastTimestamp.Add(-times.offsetAtEnd)
		}
		ev.Add(o)
		e.holdings.Measure(ev)
		e.observeAnnouncement(obj, ev.Reason, ev.Last())
	}
	e.records.Observe(ev, in, o)
	e.shed()
	if in.Reason == "" || in.InvolvedObject.Kind == "" || in.InvolvedObject.UID == "" {
		e.stats.IncompleteEvents++
	}
	return obj
}

// eventOf is what is known of an Event, and by which key; nil if it is new. Whoever names Events
// himself may use a name again for what another object does: that is another Event.
func (e *Engine) eventOf(in *corev1.Event) (key string, ev *podlife.Event) {
	key = podlife.EventKey(in)
	if ev = e.events[key]; ev != nil && ev.AboutAnother(in) {
		key = podlife.EventKeyAbout(in)
		ev = e.events[key]
	}
	return key, ev
}

// hadSeen reports whether news of what happened at a time had come, and was forgotten since:
// the watcher was there, and has been for longer than news take.
func (e *Engine) hadSeen(o Observation, at time.Time) bool {
	return !o.Initial && !o.Inferred && o.Time.Sub(evidence.Latest(at, e.since)) > e.opts.Quiet
}

// boundEvents forgets an Event of an object that has too many: one that a span
// has, else one from the middle, as the beginning and the end say most.
func (e *Engine) boundEvents(obj *podlife.Object) {
	if len(obj.Events) <= podlife.MaxEvents {
		return
	}
	i := slices.IndexFunc(obj.Events, (*podlife.Event).Told)
	if i < 0 {
		i = podlife.MaxEvents / 2
	}
	e.noteShed(obj.Events[i], ShedObject)
	e.dropEvent(obj.Events[i])
	obj.Events = slices.Delete(obj.Events, i, i+1)
}

// eventVersion is the newest resource version of a namespace's Events.
type eventVersion struct {
	version uint64
	seen    time.Time
}

// seenBefore reports whether an Event that is not remembered was seen before and
// has been forgotten with its object: a relist brings again what is an hour
// old. Within a namespace Events come in the order of their versions.
func (e *Engine) seenBefore(in *corev1.Event, o Observation, last time.Time) bool {
	version := evidence.NewWrite(in.ResourceVersion, o).Version
	if version == 0 {
		return false
	}
	newest := e.eventVersions[in.Namespace]
	if version > newest.version {
		e.eventVersions[in.Namespace] = eventVersion{version, o.Time}
		return false
	}
	// What is younger than objects are remembered would be known. It is
	// another Event, of a cluster that was restored from a backup perhaps.
	return o.Time.Sub(last) > e.opts.Linger+e.opts.Quiet
}

// expireEvent forgets an Event that the API server has dropped, once a span
// has it. Until then its record is all there is.
func (e *Engine) expireEvent(in *corev1.Event) {
	if _, ev := e.eventOf(in); ev != nil && ev.Told() {
		e.removeEvent(ev)
	}
}
