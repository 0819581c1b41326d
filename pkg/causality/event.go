package causality

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxOccurrences bounds what is kept of an Event that repeats for days.
const maxOccurrences = 64

// event is what the engine keeps of a Kubernetes Event.
type event struct {
	key       string // what identifies it
	uid       types.UID
	name      string
	eventType string
	reason    string
	component string
	container string   // from fieldPath: spec.containers{web}
	related   objectID // the other pod of the story, if there is one
	static    bool     // about a static pod, by the UID that its kubelet gave it
	// occurrences are in order of their counts; the first is the Event's
	// first, whose time its name gives to the nanosecond.
	occurrences []occurrence
	initial     bool    // it was there before the watcher was
	object      *object // in whose list it is
	account     account
	known       time.Time // when its first news came
	arrival     time.Time // and its last

	ledger eventLedger
}

type occurrence struct {
	count   int32
	at      time.Time
	message string
	// stated is the second that the Event gives for a repetition, of which
	// nothing better is known than when its news came; else zero.
	stated time.Time
}

func (ev *event) first() time.Time { return ev.occurrences[0].at }

func (ev *event) message() string { return ev.occurrences[0].message }

// hasEvent reports whether anything was said with a reason.
func (o *object) hasEvent(reason string) bool {
	return slices.ContainsFunc(o.events, func(ev *event) bool { return ev.reason == reason })
}

// said is all that was said with a reason of a container.
func (p *pod) said(reason string, c *container) iter.Seq[occurrence] {
	return func(yield func(occurrence) bool) {
		for _, ev := range p.events {
			if ev.reason != reason || ev.container != c.name {
				continue
			}
			for _, o := range ev.occurrences {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// until returns the last occurrence up to t, and at least the first one.
func (ev *event) until(t time.Time) occurrence {
	last := ev.occurrences[0]
	for _, o := range ev.occurrences[1:] {
		if t.IsZero() || !o.at.After(t) {
			last = o
		}
	}
	return last
}

// add takes in an occurrence; a count that is known already is news we had,
// for example from before a relist, unless the second that the Event states is
// a later one: not all emitters count.
func (ev *event) add(o occurrence) {
	last := ev.occurrences[len(ev.occurrences)-1]
	if o.count <= last.count && !o.at.Truncate(time.Second).After(last.at.Truncate(time.Second)) {
		return
	}
	if o.at.Before(last.at) {
		o.at = last.at
	}
	o.message = shared(ev.occurrences, o.message)
	ev.occurrences = trimmed(append(ev.occurrences, o), maxOccurrences)
}

func (o occurrence) words() (reason, message string) { return "", o.message }

// eventKey identifies an Event across its updates: by its name, which is
// unique while it lives, and which even those have that lack a UID.
func eventKey(ev *corev1.Event) string {
	switch {
	case ev.Name != "":
		return ev.Namespace + "/" + ev.Name
	case ev.UID != "":
		return string(ev.UID)
	default:
		io := ev.InvolvedObject
		return strings.Join([]string{ev.Namespace, io.Kind, io.Name, string(io.UID), ev.Reason, ev.Message, ev.FirstTimestamp.String()}, "/")
	}
}

// eventCount is how often the Event says it happened.
func eventCount(ev *corev1.Event) int32 {
	switch {
	case ev.Series != nil && ev.Series.Count > 0:
		return ev.Series.Count
	case ev.Count > 0:
		return ev.Count
	default:
		return 1
	}
}

// eventTimes returns when an Event happened first and last. Both are equal
// for one that has not repeated. They fall back from the most to the least
// precise evidence; the last resort is the arrival.
func eventTimes(ev *corev1.Event, o Observation) (first, last time.Time) {
	arrival := o.arrival()
	// Where an Event has repeated, its news is of the last time.
	repeated := eventCount(ev) > 1
	firstArrival := arrival
	if repeated {
		firstArrival = time.Time{}
	}
	stated := ev.FirstTimestamp.Time
	if stated.IsZero() {
		stated = ev.EventTime.Time
	}
	if t, ok := recorderTime(ev.Name, stated); ok {
		first = t
	} else if !ev.EventTime.IsZero() {
		first = ev.EventTime.Time
	} else if !stated.IsZero() {
		first = inSecond(stated, firstArrival).at()
	}

	switch {
	case ev.Series != nil && !ev.Series.LastObservedTime.IsZero():
		last = ev.Series.LastObservedTime.Time
	case !ev.LastTimestamp.IsZero() && repeated:
		last = inSecond(ev.LastTimestamp.Time, arrival).at()
	case !ev.LastTimestamp.IsZero() && first.IsZero():
		last = inSecond(ev.LastTimestamp.Time, arrival).at()
	}
	if first.IsZero() {
		first = last
	}
	if first.IsZero() && !ev.CreationTimestamp.IsZero() {
		first = inSecond(ev.CreationTimestamp.Time, arrival).at()
	}
	if first.IsZero() {
		first = o.Time
	}
	if last.Before(first) {
		last = first
	}
	return first, last
}

// recorderTime reads the time that client-go's recorder writes into an Event's
// name: <object>.<hex of UnixNano> (tools/record/event.go, makeEvent). Other
// emitters may name as they like, so it counts only within the second that
// the Event states.
func recorderTime(name string, stated time.Time) (time.Time, bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || stated.IsZero() {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseInt(name[dot+1:], 16, 64)
	if err != nil {
		return time.Time{}, false
	}
	t := time.Unix(0, nanos).UTC()
	if !t.Truncate(time.Second).Equal(stated.UTC().Truncate(time.Second)) {
		return time.Time{}, false
	}
	return t, true
}

// containerOf reads an involvedObject.fieldPath such as spec.containers{web}
// or spec.initContainers{migrate}; container names are unique in a pod.
func containerOf(fieldPath string) string {
	open := strings.IndexByte(fieldPath, '{')
	if open < 0 || !strings.HasSuffix(fieldPath, "}") {
		return ""
	}
	return fieldPath[open+1 : len(fieldPath)-1]
}

func eventComponent(ev *corev1.Event) string {
	if ev.ReportingController != "" {
		return ev.ReportingController
	}
	return ev.Source.Component
}

// observeEvent files an Event under the object it is about.
func (e *Engine) observeEvent(o Observation, in *corev1.Event) *object {
	key := eventKey(in)
	first, last := eventTimes(in, o)
	count := eventCount(in)
	e.noteLag(o, last)

	id, static := e.involved(in, first)
	obj := e.object(id, in.InvolvedObject.Name)
	ev := e.events[key]
	if ev == nil && e.seenBefore(in, o, last) {
		return obj
	}
	obj.touched = o.Time
	if ev == nil {
		ev = &event{
			key:         key,
			uid:         in.UID,
			name:        in.Name,
			eventType:   in.Type,
			reason:      in.Reason,
			component:   eventComponent(in),
			container:   containerOf(in.InvolvedObject.FieldPath),
			occurrences: []occurrence{{count: 1, at: first, message: in.Message}},
			initial:     o.Initial,
			known:       o.Time,
			static:      static,
			object:      obj,
		}
		if r := in.Related; r != nil && r.Kind == kindPod && r.UID != "" {
			ev.related = objectID{kind: kindPod, namespace: r.Namespace, uid: r.UID}
		}
		e.events[key] = ev
		obj.events = append(obj.events, ev)
		e.holdings.put(ev, in)
		e.observeAnnouncement(obj, ev.reason, ev.occurrences[0])
		e.boundEvents(obj)
	}
	ev.arrival = o.Time
	if count > 1 || last.After(ev.first()) {
		if ev.ledger.claimed {
			e.stats.LateRepetitions++
		}
		o := occurrence{count: count, at: last, message: in.Message}
		if in.Series == nil && count > 1 {
			o.stated = in.LastTimestamp.Time
		}
		ev.add(o)
		e.holdings.measure(ev)
		e.observeAnnouncement(obj, ev.reason, ev.occurrences[len(ev.occurrences)-1])
	}
	e.shed()
	if in.Reason == "" || in.InvolvedObject.Kind == "" || in.InvolvedObject.UID == "" {
		e.stats.IncompleteEvents++
	}
	return obj
}

// maxEvents bounds the Events of one object: a pod may be pending for days and
// each Event say it in other words.
const maxEvents = 512

// boundEvents forgets an Event of an object that has too many: one that a span
// has, else one from the middle, as the beginning and the end say most.
func (e *Engine) boundEvents(obj *object) {
	if len(obj.events) <= maxEvents {
		return
	}
	i := slices.IndexFunc(obj.events, func(ev *event) bool { return ev.ledger.claimed })
	if i < 0 {
		i = maxEvents / 2
	}
	e.noteShed(obj.events[i], ShedObject)
	e.dropEvent(obj.events[i])
	obj.events = slices.Delete(obj.events, i, i+1)
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
	version := newStamp(in.ResourceVersion, o).version
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

// eventLife is how long an Event that a span has is remembered, so that its
// repetitions are known for what they are. The API server keeps Events for an
// hour after their last repetition (--event-ttl).
const eventLife = 90 * time.Minute

// sweepInterval is how often Events are looked through for ones to forget.
const sweepInterval = 10 * time.Minute

// sweepEvents forgets the Events that have had their life, and the objects
// that are known by Events only. The API server's own deletions come earlier
// where they come.
func (e *Engine) sweepEvents() {
	if e.now.Before(e.swept.Add(sweepInterval)) {
		return
	}
	e.swept = e.now
	e.sweepClaims()
	for namespace, v := range e.eventVersions {
		if e.now.After(v.seen.Add(eventLife)) {
			delete(e.eventVersions, namespace)
		}
	}
	for _, obj := range e.objects {
		obj.events = slices.DeleteFunc(obj.events, func(ev *event) bool {
			old := ev.ledger.claimed && e.now.After(ev.arrival.Add(eventLife))
			if old {
				e.dropEvent(ev)
			}
			return old
		})
		if len(obj.events) == 0 && e.knownByEventsOnly(obj) {
			e.forget(obj)
		}
	}
	e.sweepNodes()
}

// expireEvent forgets an Event that the API server has dropped, once a span
// has it. Until then its record is all there is.
func (e *Engine) expireEvent(in *corev1.Event) {
	key := eventKey(in)
	ev := e.events[key]
	if ev == nil || !ev.ledger.claimed {
		return
	}
	e.removeEvent(ev)
}

// involved is the identity of what an Event is about. It is an object of the
// Event's own namespace and of the kind that the Event names, whatever UID it states:
// anybody who may write Events somewhere can state any. An Event without its object's
// UID goes to the object that has the name now. Kubelets do not know the UID of their
// Node; older ones give its name for it. Of a static pod they give a UID that the API
// does not have: static is set if it may be one.
func (e *Engine) involved(in *corev1.Event, first time.Time) (id objectID, static bool) {
	ref := &in.InvolvedObject
	id = objectID{ref.Kind, customGroup(ref.APIVersion), scopeOf(in), ref.UID}
	if ref.Kind == kindNode && string(id.uid) == ref.Name || id.byName() {
		id.uid = "" // no API server gives such a UID
	}
	id = e.resolve(id, ref.Name)
	if static = id.kind == kindPod && e.pods[id] == nil; static {
		if p := e.mirrorAt(id, first); p != nil && p.name == ref.Name {
			return p.objectID, true
		}
	}
	return id, static
}

// resolve completes the identity that an Event gives, which may lack the object's UID,
// its API version or its kind, by what is known of the namespace.
func (e *Engine) resolve(id objectID, name string) objectID {
	if e.objects[id] != nil {
		return id
	}
	for candidate := range e.candidates(id) {
		switch known, ok := e.names[nameKey{candidate.kind, candidate.group, candidate.namespace, name}]; {
		case id.uid != "" && e.objects[candidate] != nil:
			return candidate
		case id.uid == "" && ok:
			return known
		}
	}
	if id.uid == "" {
		return id.named(name)
	}
	return id
}

// candidates are the identities that one which an Event gives may stand for.
func (e *Engine) candidates(id objectID) iter.Seq[objectID] {
	return func(yield func(objectID) bool) {
		if id.kind == "" {
			if known := e.uids[id.uid]; id.uid != "" && known.namespace == id.namespace {
				yield(known)
			}
			return
		}
		if !yield(id) || id.group != "" {
			return
		}
		for _, group := range e.groups[id.kind] {
			id.group = group
			if !yield(id) {
				return
			}
		}
	}
}
