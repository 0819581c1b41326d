package podlife

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// maxOccurrences bounds what is kept of an Event that repeats for days.
const maxOccurrences = 64

// Event is what the engine keeps of a Kubernetes Event.
type Event struct {
	Key       string // what identifies it: see EventKey
	UID       types.UID
	Name      string
	EventType string
	Reason    string
	Component string
	Container string         // from fieldPath: spec.containers{web}
	Related   *kube.ObjectID // the other pod of the story; nil if there is none
	Static    bool           // about a static pod, by the UID that its kubelet gave it
	repeats   bool           // it is what is left of an Event: see Untold
	// Occurrences are in order of their counts; the first is the Event's
	// first, whose time its name gives to the nanosecond.
	Occurrences []Occurrence
	Object      *Object // the object in whose list of Events it is
	Account     account
	// Offset is how far the clock was ahead that dated its first occurrence.
	Offset      time.Duration
	LastArrival time.Time // when the last news of it came

	// Ledger is shared with what Untold returns of the Event.
	Ledger *ledger.Event
}

// Occurrence is one time at which an Event happened: the 3rd back-off of a container, at 10:02:07.
type Occurrence struct {
	Count   int32
	Listed  bool // it was there before the watcher was
	At      time.Time
	Message string
	// Stated is the second that the Event gives for a repetition, of which
	// nothing better is known than when its news came; else zero.
	Stated time.Time
	Seen   time.Time // when its news came
}

// First is when the Event happened for the first time.
func (ev *Event) First() time.Time { return ev.Occurrences[0].At }

// FirstArrival is when the first news of the Event came.
func (ev *Event) FirstArrival() time.Time { return ev.Occurrences[0].Seen }

// Initial reports whether the Event was there before the watcher was.
func (ev *Event) Initial() bool { return ev.Occurrences[0].Listed }

// Last is the last time that is known at which the Event happened.
func (ev *Event) Last() Occurrence { return ev.Occurrences[len(ev.Occurrences)-1] }

// Stated is when the Event happened for the first time by the clock of who says so. It is
// the same whatever is known of that clock.
func (ev *Event) Stated() time.Time { return ev.First().Add(ev.Offset) }

// Message is what the Event said then.
func (ev *Event) Message() string { return ev.Occurrences[0].Message }

// HasEvent reports whether anything was said with a reason.
func (o *Object) HasEvent(reason string) bool {
	return slices.ContainsFunc(o.Events, func(ev *Event) bool { return ev.Reason == reason })
}

// OccurrencesOf are the occurrences of the Events with a reason that are about a container:
// all that were Unhealthy of the container web.
func (p *Pod) OccurrencesOf(reason string, container *Container) iter.Seq[Occurrence] {
	return func(yield func(Occurrence) bool) {
		for _, ev := range p.Events {
			if ev.Reason != reason || ev.Container != container.Name {
				continue
			}
			for _, o := range ev.Occurrences {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Until returns the last occurrence up to t, and at least the first one.
func (ev *Event) Until(t time.Time) Occurrence {
	last := ev.Occurrences[0]
	for _, o := range ev.Occurrences[1:] {
		if t.IsZero() || !o.At.After(t) {
			last = o
		}
	}
	return last
}

// Add takes in an occurrence; a count that is known already is news we had,
// for example from before a relist, unless the second that the Event states is
// a later one: not all emitters count.
func (ev *Event) Add(o Occurrence) {
	last := ev.Last()
	if o.Count <= last.Count && !o.At.Truncate(time.Second).After(last.At.Truncate(time.Second)) {
		return
	}
	if o.At.Before(last.At) {
		o.At = last.At
	}
	o.Message = evidence.Shared(ev.Occurrences, o.Message)
	ev.Occurrences = evidence.Trimmed(append(ev.Occurrences, o), maxOccurrences)
}

// Words are what an Event keeps of an occurrence, each text once.
func (o Occurrence) Words() (reason, message string) { return "", o.Message }

// EventKey identifies an Event across its updates: by its name, which is
// unique while it lives, and which even those have that lack a UID.
func EventKey(ev *corev1.Event) string {
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

// EventKeyAbout identifies an Event whose name is known of one about another object.
func EventKeyAbout(ev *corev1.Event) string {
	io := &ev.InvolvedObject
	return strings.Join([]string{EventKey(ev), io.Kind, io.Name, string(io.UID)}, "/")
}

// AboutAnother reports whether something states another object than the one that the Event is
// about. What it does not state is no difference, nor are the UIDs that kubelets make: a Node's
// may be its name, and that of a static pod is not its mirror pod's.
func (ev *Event) AboutAnother(in *corev1.Event) bool {
	of, io := ev.Object, &in.InvolvedObject
	differs := func(a, b string) bool { return a != "" && b != "" && a != b }
	return differs(of.Kind, io.Kind) || differs(of.Name, io.Name) ||
		differs(string(of.UID), string(io.UID)) && !ByName(of.ObjectID) && !ev.Static && string(io.UID) != io.Name
}

// EventCount is how often the Event says it happened.
func EventCount(ev *corev1.Event) int32 {
	switch {
	case ev.Series != nil && ev.Series.Count > 0:
		return ev.Series.Count
	case ev.Count > 0:
		return ev.Count
	default:
		return 1
	}
}

// FirstMessage is what an Event said when it happened for the first time, as far as is known.
func FirstMessage(ev *corev1.Event) string {
	if EventCount(ev) > 1 {
		return stream.FirstWords(ev.Message)
	}
	return ev.Message
}

// EventTimes returns when an Event happened first and last. Both are equal
// for one that has not repeated. They fall back from the most to the least
// precise evidence; the last resort is the arrival.
func EventTimes(ev *corev1.Event, o stream.Observation) (first, last time.Time) {
	arrival := o.Arrival()
	// Where an Event has repeated, its news is of the last time.
	repeated := EventCount(ev) > 1
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
		first = evidence.InSecond(stated, firstArrival).At()
	}

	switch {
	case ev.Series != nil && !ev.Series.LastObservedTime.IsZero():
		last = ev.Series.LastObservedTime.Time
	case !ev.LastTimestamp.IsZero() && repeated:
		last = evidence.InSecond(ev.LastTimestamp.Time, arrival).At()
	case !ev.LastTimestamp.IsZero() && first.IsZero():
		last = evidence.InSecond(ev.LastTimestamp.Time, arrival).At()
	}
	if first.IsZero() {
		first = last
	}
	if first.IsZero() && !ev.CreationTimestamp.IsZero() {
		first = evidence.InSecond(ev.CreationTimestamp.Time, arrival).At()
	}
	if first.IsZero() {
		first = o.Time
	}
	if last.Before(first) {
		last = first
	}
	return first, last
}

// IsCombined reports whether an Event stands for several that differ in their words. Its recorder
// dates it when it gets to it, and not when it happened, so that others that waited with it state
// earlier times (client-go, tools/record/events_cache.go: EventAggregate).
func IsCombined(ev *corev1.Event) bool {
	return stream.IsCombined(ev.Message)
}

// StatedBy returns when an Event says that it happened for the first time, and by how much
// that was rounded down at most; zero if it does not say.
func StatedBy(ev *corev1.Event) (at time.Time, rounded time.Duration) {
	stated := ev.FirstTimestamp.Time
	if stated.IsZero() {
		stated = ev.EventTime.Time
	}
	if t, ok := recorderTime(ev.Name, stated); ok {
		return t, 0
	}
	if !ev.EventTime.IsZero() {
		return ev.EventTime.Time, 0
	}
	return stated, time.Second
}

// RepeatedAt returns when an Event says that it happened for the last time, and by how much
// that was rounded down at most; zero if it does not say.
func RepeatedAt(ev *corev1.Event) (at time.Time, rounded time.Duration) {
	if ev.Series != nil && !ev.Series.LastObservedTime.IsZero() {
		return ev.Series.LastObservedTime.Time, 0
	}
	return ev.LastTimestamp.Time, time.Second
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

// ContainerOf reads an involvedObject.fieldPath such as spec.containers{web}
// or spec.initContainers{migrate}; container names are unique in a pod.
func ContainerOf(fieldPath string) string {
	open := strings.IndexByte(fieldPath, '{')
	if open < 0 || !strings.HasSuffix(fieldPath, "}") {
		return ""
	}
	return fieldPath[open+1 : len(fieldPath)-1]
}

// EventComponent is the program that wrote an Event: "kubelet".
func EventComponent(ev *corev1.Event) string {
	if ev.ReportingController != "" {
		return ev.ReportingController
	}
	return ev.Source.Component
}

// MaxEvents bounds the Events of one object: a pod may be pending for days and
// each Event say it in other words.
const MaxEvents = 512

// EventLife is how long an Event that a span has is remembered, so that its
// repetitions are known for what they are. The API server keeps Events for an
// hour after their last repetition (--event-ttl).
const EventLife = 90 * time.Minute

// SweepInterval is how often Events are looked through for ones to forget.
const SweepInterval = 10 * time.Minute
