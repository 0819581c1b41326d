package records

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const (
	// maxDelay is how long a record waits at the most to be certain of its span.
	maxDelay = 8 * time.Second
	// further is how much longer than for what belongs before an Event is waited for the end of
	// the span that the Event is on.
	further = 2 * time.Second
	// pause is how far apart the times are at which records are handed out.
	pause = time.Second
	// mostWaiting is how many records wait at most. They take some 500 B each.
	mostWaiting = 1 << 16
)

// Records are the log records that are still to be handed out. A nil pointer makes none.
type Records struct {
	wanted  func(*corev1.Event) bool
	waiting []*entry // in the order in which the news came
	next    time.Time
	lost    int64
}

// entry is a record that waits.
type entry struct {
	event *podlife.Event
	// count and at are which time of the Event it is.
	count  int32
	at     time.Time
	seen   time.Time
	record spans.Record
}

// New returns Records of the Events that are wanted; nil where none are.
func New(wanted func(*corev1.Event) bool) *Records {
	if wanted == nil {
		return nil
	}
	return &Records{wanted: wanted}
}

// Observe takes in news of an Event, which the record of the Event has already. News that is
// known makes no record, nor does what was there before the watcher was.
func (r *Records) Observe(ev *podlife.Event, in *corev1.Event, o stream.Observation) {
	if r == nil {
		return
	}
	last := ev.Last()
	if had := ev.Ledger.Records; had != nil && had.Count == last.Count && had.At.Equal(last.At) {
		return
	}
	ev.Ledger.EmitRecord(last.Count, last.At)
	if last.Listed || !r.wanted(in) {
		return
	}
	r.waiting = append(r.waiting, &entry{event: ev, count: last.Count, at: last.At, seen: o.Time, record: recordOf(ev, last, in, o.Time)})
	if n := len(r.waiting); n > 2*mostWaiting {
		r.lost += int64(n - mostWaiting) // nothing is handed out, as the engine is held
		r.waiting = slices.Clone(r.waiting[n-mostWaiting:])
	}
}

// Lost is how many records had no room to wait.
func (r *Records) Lost() int64 {
	if r == nil {
		return 0
	}
	return r.lost
}

// recordOf is what the Event itself says.
func recordOf(ev *podlife.Event, last podlife.Occurrence, in *corev1.Event, seen time.Time) spans.Record {
	count := int(last.Count)
	out := spans.Record{
		UID:       spans.NewTraceID("record", ev.Key, string(in.UID), strconv.Itoa(count), stated(in)),
		Service:   cmp.Or(ev.Component, attr.ServiceUnknown),
		Time:      last.At,
		Observed:  seen,
		Warning:   in.Type == corev1.EventTypeWarning,
		Type:      in.Type,
		Message:   in.Message,
		Reason:    in.Reason,
		Namespace: in.Namespace,
		Kind:      in.InvolvedObject.Kind,
	}
	about := &in.InvolvedObject
	for _, kv := range []attribute.KeyValue{
		attr.K8SEventReasonKey.String(in.Reason),
		spans.EventActionKey.String(in.Action),
		attr.K8SEventNameKey.String(in.Name),
		attr.K8SEventUIDKey.String(string(in.UID)),
		attr.K8SEventTypeKey.String(in.Type),
		attr.K8SEventSourceKey.String(ev.Component),
		spans.EventStartTimeKey.String(ev.First().UTC().Format(time.RFC3339Nano)),
		attr.K8SEventLastTimeKey.String(last.At.UTC().Format(time.RFC3339Nano)),
		spans.ObjectKindKey.String(about.Kind),
		spans.ObjectNameKey.String(about.Name),
		spans.ObjectUIDKey.String(string(about.UID)),
		spans.ObjectAPIVersionKey.String(about.APIVersion),
		spans.ObjectFieldPathKey.String(about.FieldPath),
	} {
		if kv.Value.AsString() != "" {
			out.Attributes = append(out.Attributes, kv)
		}
	}
	out.Attributes = append(out.Attributes, attr.K8SEventCountKey.Int(count))
	return out
}

// stated is when the Event says that it happened last: what tells repetitions apart that their
// emitter does not count. It is the same whoever sees it.
func stated(in *corev1.Event) string {
	at := in.LastTimestamp.Time
	if in.Series != nil {
		at = in.Series.LastObservedTime.Time
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// delay is how long a record waits, where late observations are waited for for a while.
func delay(settle time.Duration) time.Duration { return min(settle+further, maxDelay) }

// Ready reports whether there are records to hand out, where late observations are waited for
// for a while.
func (r *Records) Ready(now time.Time, settle time.Duration) bool {
	if r == nil || len(r.waiting) == 0 || now.Before(r.next) {
		return false
	}
	return len(r.waiting) > mostWaiting || !now.Before(r.waiting[0].seen.Add(delay(settle)))
}

// Around is what is known of what Events are about.
type Around struct {
	Pods map[kube.ObjectID]*podlife.Pod
	Sets map[kube.ObjectID]*workloads.PodSet
	// WorkloadOf is the workload that an object is, or is part of; nil if there is none.
	WorkloadOf func(*podlife.Object) *workloads.Workload
	// PlanOf is the plan of a workload, which is made once; nil where that fails.
	PlanOf func(*workloads.Workload) *plans.Plan
}

// subject is what an Event is about; nil where it is none of these, or that is not known.
type subject struct {
	workload *workloads.Workload
	set      *workloads.PodSet // the object itself, or the pod's
	pod      *podlife.Pod
}

func (a *Around) subject(obj *podlife.Object) subject {
	of := subject{a.WorkloadOf(obj), a.Sets[obj.ObjectID], a.Pods[obj.ObjectID]}
	if of.pod != nil {
		of.set = a.Sets[of.pod.Owner]
	}
	return of
}

// Take returns the records whose time has come; all of them if nothing more will be observed.
func (r *Records) Take(now time.Time, settle time.Duration, all bool, around Around) (out []spans.Trace) {
	if r == nil {
		return nil
	}
	r.next = now.Add(pause)
	n := 0
	for crowd := len(r.waiting) - mostWaiting; n < len(r.waiting); n++ {
		if !all && n >= crowd && now.Before(r.waiting[n].seen.Add(delay(settle))) {
			break
		}
	}
	look := lookout{now: now, settle: settle, planOf: around.PlanOf, aheads: map[*workloads.Change]*build.Ahead{}}
	for _, it := range r.waiting[:n] {
		of := around.subject(it.event.Object)
		of.describe(&it.record, it.event)
		it.record.TraceID, it.record.SpanID = look.spanOf(it, of)
		out = append(out, spans.Trace{Record: &it.record})
	}
	clear(r.waiting[:n])
	if r.waiting = r.waiting[n:]; len(r.waiting) == 0 {
		r.waiting = nil
	}
	return out
}
