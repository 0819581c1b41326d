package records

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality/internal/build"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const (
	// MaxDelay is how long a record waits at the most to be certain of its span.
	MaxDelay = 8 * time.Second
	// further is how much longer than for what belongs before an Event is waited for the end of
	// the span that the Event is on.
	further = 2 * time.Second
	// pause is how far apart the times are at which records are handed out.
	pause = time.Second
	// mostWaiting is how many records wait at most, and mostBytes how much they may take: anybody
	// may write long Events. Where there are more, the first are handed out before their time.
	mostWaiting = 1 << 16
	mostBytes   = 64 << 20
	// entryOverhead is what a record takes beside its texts, in bytes.
	entryOverhead = 1 << 10
)

// Records are the log records that are still to be handed out. A nil pointer makes none.
type Records struct {
	wanted  func(*corev1.Event) bool
	waiting []*entry // in the order in which the news came
	bytes   int      // what they take
	next    time.Time
	lost    int64
	failed  map[*workloads.Workload]bool // in this Take: see GiveUp
}

// entry is a record that waits.
type entry struct {
	event *podlife.Event
	// count and at are which time of the Event it is.
	count  int32
	at     time.Time
	seen   time.Time
	record spans.Record
	// repeated says that the span which took the Event last was not handed out: see Repeated.
	repeated bool
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
	it := &entry{event: ev, count: last.Count, at: last.At, seen: o.Time, record: recordOf(ev, last, in, o.Time)}
	r.waiting, r.bytes = append(r.waiting, it), r.bytes+it.bytes()
	if len(r.waiting) <= 2*mostWaiting && r.bytes <= 2*mostBytes {
		return
	}
	for r.full() { // nothing is handed out, as the engine is held
		r.lost++
		r.drop()
	}
	r.waiting = slices.Clone(r.waiting)
}

// bytes is what the record takes, at the most: an Event that is remembered has its texts, too.
func (it *entry) bytes() int {
	n := entryOverhead + len(it.record.Message)
	for _, kv := range it.record.Attributes {
		n += len(kv.Value.AsString())
	}
	return n
}

// full reports whether more records wait than may.
func (r *Records) full() bool { return len(r.waiting) > mostWaiting || r.bytes > mostBytes }

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
	if at.IsZero() && !in.EventTime.IsZero() {
		at = in.EventTime.Time
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// delay is how long a record waits, where late observations are waited for for a while.
func delay(settle time.Duration) time.Duration { return min(settle+further, MaxDelay) }

// Repeated is told of a span that is not handed out, as another of its ID was: what it had taken of
// Events is on no span. Spans repeat where an object states what another one did, or is known anew
// after a fault: so they are few.
func (r *Records) Repeated(in trace.TraceID, id trace.SpanID) {
	if r == nil {
		return
	}
	for _, it := range r.waiting {
		if on := it.event.Ledger.Records; on != nil && on.TraceID == in && on.SpanID == id {
			it.repeated = true
		}
	}
}

// SetBack is told that it is earlier than was believed, as our clock turned out to have been ahead:
// what came meanwhile came by now, and holds up nothing until the clock shows that time again.
func (r *Records) SetBack(now time.Time) {
	if r == nil {
		return
	}
	for _, it := range r.waiting {
		it.seen = evidence.Earliest(it.seen, now)
	}
	r.next = evidence.Earliest(r.next, now)
}

// Ready reports whether there are records to hand out, where late observations are waited for
// for a while.
func (r *Records) Ready(now time.Time, settle time.Duration) bool {
	if r == nil || len(r.waiting) == 0 || now.Before(r.next) {
		return false
	}
	return r.full() || !now.Before(r.waiting[0].seen.Add(delay(settle)))
}

// Around is what is known of what Events are about.
type Around struct {
	Pods   map[kube.ObjectID]*podlife.Pod
	Sets   map[kube.ObjectID]*workloads.PodSet
	Nodes  map[kube.ObjectID]*nodes.Record
	Claims *podlife.VolumeClaims
	// WorkloadOf is the workload that an object is, or is part of; nil if there is none. Above is
	// also the one that an object is for, as an autoscaler is, or that owns it.
	WorkloadOf, Above func(*podlife.Object) *workloads.Workload
	// Patience is how long what is observed of objects may come late.
	Patience time.Duration
	// PlanOf is the plan of a workload, which is made once; nil where that fails.
	PlanOf func(*workloads.Workload) *plans.Plan
}

// subject is what an Event is about; nil where it is none of these, or that is not known.
type subject struct {
	workload *workloads.Workload
	set      *workloads.PodSet // the object itself, or the pod's
	pod      *podlife.Pod
	node     *nodes.Record
	// claim is a volume claim, and pods are the pods of the workload that use it.
	claim *podlife.VolumeClaim
	pods  []*podlife.Pod
	// scaler says that it is an autoscaler of the workload.
	scaler bool
}

func (a *Around) subject(obj *podlife.Object) subject {
	of := subject{workload: a.WorkloadOf(obj), set: a.Sets[obj.ObjectID], pod: a.Pods[obj.ObjectID], node: a.Nodes[obj.ObjectID], claim: a.Claims.ByID[obj.ObjectID]}
	switch {
	case of.pod != nil:
		of.set = a.Sets[of.pod.Owner]
	case of.claim != nil && of.workload == nil:
		for _, pod := range a.Claims.Users[podlife.ClaimKey(of.claim.Namespace, of.claim.Name)] {
			if w := a.WorkloadOf(pod.Object); w != nil && (of.workload == nil || of.workload == w) {
				of.workload, of.pods = w, append(of.pods, pod)
			} else {
				of.workload, of.pods = nil, nil // whose it is nobody says
				break
			}
		}
	case obj.Kind == kube.KindAutoscaler && of.workload == nil:
		of.workload, of.scaler = a.Above(obj), true
	}
	return of
}

// Take appends the records whose time has come to what is handed out; all of them if nothing more
// will be observed. Should it end in a panic, what it was about to hand out is first in GiveUp.
func (r *Records) Take(now time.Time, settle time.Duration, all bool, around Around, out *[]spans.Trace) {
	if r == nil {
		return
	}
	r.next = now.Add(pause)
	look := lookout{now: now, patience: around.Patience, settle: settle, around: around, aheads: map[any]*build.Ahead{}}
	for len(r.waiting) > 0 && (all || r.full() || !now.Before(r.waiting[0].seen.Add(delay(settle)))) {
		it := r.waiting[0]
		of := around.subject(it.event.Object)
		record := it.record
		of.describe(&record, it.event)
		if w := of.workload; w == nil || !r.failed[w] {
			record.TraceID, record.SpanID = look.spanOf(it, of)
		}
		*out = append(*out, spans.Trace{Record: &record})
		r.drop()
	}
	r.failed = nil
}

// drop drops the record that waits longest.
func (r *Records) drop() {
	r.bytes -= r.waiting[0].bytes()
	r.waiting[0] = nil
	if r.waiting = r.waiting[1:]; len(r.waiting) == 0 {
		r.waiting = nil
	}
}

// GiveUp is for who recovered from a panic of Take: the record at which that was is handed out as
// the Event itself has it, without what is known of its object. So it is those of a workload of
// which looking ahead fails, until the next time.
func (r *Records) GiveUp(around Around, out *[]spans.Trace) (id kube.ObjectID, name string) {
	it := r.waiting[0]
	*out = append(*out, spans.Trace{Record: &it.record})
	r.drop()
	if w := around.WorkloadOf(it.event.Object); w != nil {
		if r.failed == nil {
			r.failed = map[*workloads.Workload]bool{}
		}
		r.failed[w] = true
	}
	return it.event.Object.ObjectID, it.event.Object.Name
}
