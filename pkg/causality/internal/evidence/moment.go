package evidence

import (
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

// Seconds is an attribute that has a duration in seconds.
func Seconds(key attribute.Key, d time.Duration) attribute.KeyValue {
	return key.Float64(d.Seconds())
}

// ArrivalSlack is how long after the end of the second an object names its
// arrival still dates it: the write then happened late in that second. In
// recordings of a busy node arrival lagged by up to half a second; an
// arrival later than this is a backlog and says nothing.
const ArrivalSlack = 2 * time.Second

// Moment is what is known of when something happened: not before Earliest, and, as far
// as there is evidence, at Latest or just before. A container that, by its status, ended
// in the second 10:02:07, the news of which came at 10:02:07.4, ended between 10:02:07.0
// and 10:02:07.4. The zero moment is unknown.
type Moment struct {
	Earliest, Latest time.Time
}

// Exactly is a moment known to the resolution of t.
func Exactly(t time.Time) Moment { return Moment{Earliest: t, Latest: t} }

// Arrived is a moment of which only the arrival of its news is known.
func Arrived(arrival time.Time) Moment { return Moment{Latest: arrival} }

// InSecond is a moment the API states as a whole second, rounded down, and
// whose news arrived at arrival (zero if that says nothing). By a clock that is not the
// API server's, the second need not begin with one of the API server's.
func InSecond(second, arrival time.Time) Moment {
	m := Moment{Earliest: second}
	end := second.Add(time.Second - time.Nanosecond)
	switch {
	case arrival.IsZero() || arrival.Before(second):
	case !arrival.After(end):
		m.Latest = arrival
	case arrival.Before(end.Add(ArrivalSlack)):
		m.Latest = end
	}
	return m
}

// Known reports whether there is any evidence of the moment.
func (m Moment) Known() bool { return !m.Earliest.IsZero() || !m.Latest.IsZero() }

// Exact reports whether the moment is known better than to the second.
func (m Moment) Exact() bool { return !m.Earliest.IsZero() && m.Earliest.Equal(m.Latest) }

// At is the best single estimate: news comes shortly after the fact, so the
// upper bound where there is one.
func (m Moment) At() time.Time {
	if m.Latest.IsZero() {
		return m.Earliest
	}
	return m.Latest
}

// SecondOnly reports whether no more is known than the second that the API states.
func (m Moment) SecondOnly() bool { return m.Latest.IsZero() && !m.Earliest.IsZero() }

// LastOfSecond is the end of that second.
func (m Moment) LastOfSecond() time.Time { return m.Earliest.Add(time.Second - time.Nanosecond) }

// Before narrows a moment by an effect of it: a cause is not later than its
// effect, but stays in the second the API states.
func (m Moment) Before(effect time.Time) Moment {
	if !m.Known() || effect.IsZero() || !m.Latest.IsZero() && !effect.Before(m.Latest) {
		return m
	}
	if m.Latest.IsZero() && effect.After(m.Earliest.Add(time.Second)) {
		return m
	}
	m.Latest = effect
	if m.Latest.Before(m.Earliest) {
		m.Latest = m.Earliest
	}
	return m
}

// Told narrows a moment by what was said of it as soon as it had happened. What was said in
// the second after the one that the API states tells that it happened at the end of that.
func (m Moment) Told(at time.Time) Moment {
	if m.Latest.IsZero() && m.Known() && !at.IsZero() {
		return InSecond(m.Earliest, at)
	}
	return m.Before(at)
}

// Write dates and orders a write to the API: by resource version where both sides have
// one (one etcd revision counter serves all objects; see also KEP-5504), else by the
// arrival of its news. So a pod with resourceVersion 812 was made before a ReplicaSet was
// scaled by 815, though the watch of ReplicaSets may have been the faster.
type Write struct {
	Version uint64
	Arrival time.Time
}

// NewWrite is the write that led to an observation of an object with this resourceVersion.
func NewWrite(resourceVersion string, o stream.Observation) Write {
	w := Write{Arrival: o.Time}
	if !o.Initial { // that of a listed object is of its latest write, not of the one we are interested in
		w.Version = Version(resourceVersion)
	}
	return w
}

// Stated is the write of a deletion that an object states. One of an object that was listed was
// made then, and what it took was taken since.
func (w Write) Stated(at time.Time, o stream.Observation) Write {
	if o.Initial && !o.Inferred {
		return Write{Arrival: at}
	}
	return w
}

// Version is a resourceVersion as a number, 0 if it is none that fits.
func Version(resourceVersion string) uint64 {
	v, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// Number tells a write of an object's spec from the others: by the generation that it
// made, or, where a damaged recording has lost that, by the resource version, which is
// negative so that it is no generation.
func (w Write) Number(generation int64) int64 {
	if generation == 0 {
		return -int64(w.Version)
	}
	return generation
}

// Before reports whether a write was made before another, as far as that is known.
func (w Write) Before(other Write) bool {
	if w.Version != 0 && other.Version != 0 {
		return w.Version < other.Version
	}
	return w.Arrival.Before(other.Arrival)
}

// SurelyAfter reports whether a write came after another, whichever of the two ways to tell
// the order is used. Of writes each of which came surely after the one before, what is before
// one is before all that follow.
func SurelyAfter(a, b Write) bool {
	return !a.Arrival.Before(b.Arrival) && (b.Version != 0 && a.Version > b.Version || a.Version == 0 && b.Version == 0)
}

// CompareWrites is 0 for writes of which nobody knows which came first.
func CompareWrites(a, b Write) int {
	switch {
	case a.Before(b):
		return -1
	case b.Before(a):
		return 1
	}
	return 0
}

// Latest returns the last of the times.
func Latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// Earliest returns the first of the times that are set.
func Earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Failure is why something failed: a reason in one word, as the API has it
// ("ErrImagePull"), and a sentence that may say more. Container names the container that it
// is about, where a pod has several and it is known which.
type Failure struct{ Reason, Message, Container string }

// Words are what a history of failures keeps of one.
func (f Failure) Words() (reason, message string) { return f.Reason, f.Message }

// Sentence is the failure in words, its reason first: "Unhealthy: container web: Readiness
// probe failed".
func (f Failure) Sentence() string {
	words := f.Reason
	if f.Container != "" {
		words += ": container " + f.Container
	}
	if f.Message != "" {
		words += ": " + f.Message
	}
	return words
}

// Forbidden is the failure without the name of the pod that could not be created, which
// is another with every try: `pods "web-x" is forbidden: exceeded quota: …`.
func (f Failure) Forbidden() Failure {
	if _, why, ok := strings.Cut(f.Message, " is forbidden: "); ok {
		f.Message = why
	}
	return f
}
