package causality

import (
	"cmp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/clocks"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// What kubelets and controllers state is by their own clocks, and what arrives is dated by
// rollspan's. Here all of it becomes the time of the API server, before it is filed: what
// reads the records knows one clock only.
//
// What the first list shows may be of long ago, by a clock that was another then. So of that
// it only counts that it is not of later.

// lateRecorder is how late an Event may be written: client-go's recorder tries twelve times,
// and waits ten seconds between (tools/record/event.go: maxTriesPerEvent, defaultSleepDuration).
const lateRecorder = 150 * time.Second

// lateQueue is how late an Event may be that waited behind others: a recorder has up to a thousand
// in its queue (tools/record/event.go: maxQueuedEvents), which a busy API server takes one a second.
const lateQueue = 1000 * time.Second

// promptly is how soon the news of a write comes where the watch keeps up.
const promptly = 5 * time.Second

// overtaken is by how much what a source says in an object may be of an earlier time than
// what it said in it before.
const overtaken = 5 * time.Second

// inClusterTime dates the arrival of an observation by the API server's clock. That is who
// dates creations, and nobody can have it write another time.
func (e *Engine) inClusterTime(o Observation) Observation {
	meta, ok := o.Object.(metav1.Object)
	if !ok || o.Inferred || !o.Since.IsZero() {
		o.Time = e.clocks.Watch.Time(o.Time)
		return o
	}
	created, arrival := meta.GetCreationTimestamp().Time, o.Time
	if o.Type == watch.Added && !o.Initial && !e.knows(o, meta) { // what a list has again is no news of that
		e.clocks.Created(created, arrival)
	}
	if e.clocks.Watch.IsBack(arrival) {
		created = clocks.Shows(created, e.statedIn(o), arrival)
	}
	o.Time = e.clocks.Existed(created, arrival)
	return o
}

// observeArrival notes that an Event about an object arrived: the clock that dates it is read by ours.
func (e *Engine) observeArrival(o Observation, obj *podlife.Object) {
	if !o.Initial && !o.Inferred && o.Since.IsZero() {
		e.clocks.Watch.Arrived(&obj.Told, time.Time{}, o.Time)
	}
}

// statedIn is the latest time that an observation states by a clock that is known.
func (e *Engine) statedIn(o Observation) (last time.Time) {
	switch in := o.Object.(type) {
	case *corev1.Event:
		at, _ := podlife.RepeatedAt(in)
		if at.IsZero() {
			at, _ = podlife.StatedBy(in)
		}
		return e.clockOf(in).Known(at)
	case *corev1.Pod:
		clock := e.clocks.Known("", clocks.Source{Node: in.Spec.NodeName})
		kube.KubeletTimes(&in.Status, false, func(_, _ string, t *metav1.Time) { last = evidence.Latest(last, clock.Known(t.Time)) })
	}
	return last
}

// knows reports whether something was told of before, or may have been: Events that are told are
// forgotten, and ControllerRevisions are kept by their owners.
func (e *Engine) knows(o Observation, meta metav1.Object) bool {
	if in, ok := o.Object.(*corev1.Event); ok {
		_, ev := e.eventOf(in)
		return ev != nil || e.hadSeen(o, meta.GetCreationTimestamp().Time)
	}
	if _, ok := o.Object.(*appsv1.ControllerRevision); ok {
		return true
	}
	obj := e.objects[kube.IDOf(o.Object, meta)]
	return obj != nil && !e.knownByEventsOnly(obj)
}

// datedPod is a pod that states all times by the API server's clock: what its kubelet says
// is corrected by how far its node's is off.
func (e *Engine) datedPod(o Observation, pod *podlife.Pod, in *corev1.Pod) *corev1.Pod {
	if o.Inferred || in.Spec.NodeName == "" {
		return in
	}
	mirror := in.Annotations[corev1.MirrorPodAnnotationKey] != ""
	stated := make([]clocks.Stated, 0, len(in.Status.Conditions)+4*len(in.Status.ContainerStatuses))
	kube.KubeletTimes(&in.Status, mirror, func(what, of string, t *metav1.Time) {
		stated = append(stated, clocks.Stated{What: what, Of: of, Time: t.Time})
	})
	if len(stated) == 0 {
		return in
	}
	var runs map[int64]bool // made when a time is new: most updates of a pod state none
	statement := func(at time.Time) clocks.Statement {
		s := clocks.Statement{Time: at, Rounded: time.Second, By: o.OverAt()}
		if runs == nil {
			runs = map[int64]bool{}
			kube.RunTimes(&in.Status, func(_, _ string, t *metav1.Time) { runs[t.Unix()] = true })
		}
		if !mirror && !o.Initial { // a static pod runs before the API knows it
			s.After = evidence.Latest(in.CreationTimestamp.Time, pod.Scheduled.Earliest)
		}
		if runs[at.Unix()] && !o.Initial && !pod.Ran.IsZero() {
			s.After = evidence.Latest(s.After, pod.Ran.Add(-overtaken))
		}
		return s
	}
	corrected := e.correct(&pod.Told, in.Namespace, clocks.Source{Node: in.Spec.NodeName}, stated, statement)
	dated := func(what, of string, t *metav1.Time) time.Time {
		return pod.Told.Time(clocks.Stated{What: what, Of: of, Time: t.Time})
	}
	kube.RunTimes(&in.Status, func(what, of string, t *metav1.Time) { pod.Ran = evidence.Latest(pod.Ran, dated(what, of, t)) })
	if !corrected {
		return in
	}
	out := *in
	out.Status = *in.Status.DeepCopy()
	kube.KubeletTimes(&out.Status, mirror, func(what, of string, t *metav1.Time) { t.Time = dated(what, of, t) })
	return &out
}

// correct takes in what an object of a namespace states by the clock of a source, each as the
// statement that it is, and reports whether any of it is to be corrected.
func (e *Engine) correct(told *clocks.Told, namespace string, by clocks.Source, stated []clocks.Stated, statement func(at time.Time) clocks.Statement) bool {
	clock, trusted := e.clocks.Of(namespace, by), e.clocks.Of("", by)
	corrected := told.Correct(stated, func(at time.Time) {
		s := statement(at)
		trusted.Date(s)
		clock.Date(s)
	}, func(at time.Time) time.Duration {
		s := statement(at)
		offset := clock.Reading(s)
		clock.Doubt(told, s, offset)
		return offset
	})
	if corrected {
		told.Note(cmp.Or(by.Component, attr.ServiceKubelet), told.Latest())
	}
	return corrected
}

// nodeOffset is by how much the time is to be corrected that a condition of a Node states.
func (e *Engine) nodeOffset(o Observation, in *corev1.Node, c *corev1.NodeCondition) time.Duration {
	if o.Inferred {
		return 0
	}
	s := clocks.Statement{Time: c.LastTransitionTime.Time, Rounded: time.Second, By: o.OverAt()}
	if !o.Initial {
		s.After = in.CreationTimestamp.Time
	}
	return nodes.Ahead(c, e.clocks.Of("", clocks.Source{Node: in.Name}), s)
}

// datedWorkload is a workload that states all times by the API server's clock: what its
// controller says in the status is corrected by how far that one's is off.
func (e *Engine) datedWorkload(o Observation, w *workloads.Workload) Observation {
	object := o.Object.(metav1.Object)
	told := &w.Told
	var stated []clocks.Stated
	kube.ControllerTimes(object, func(of string, t *metav1.Time) { stated = append(stated, clocks.Stated{Of: of, Time: t.Time}) })
	if o.Inferred || len(stated) == 0 {
		return o
	}
	var after time.Time
	if !o.Initial {
		after = object.GetCreationTimestamp().Time
		if before := told.Until(); !before.IsZero() {
			after = evidence.Latest(after, before.Add(-overtaken))
		}
	}
	statement := func(at time.Time) clocks.Statement {
		return clocks.Statement{Time: at, Rounded: time.Second, By: o.OverAt(), After: after}
	}
	if !e.correct(told, object.GetNamespace(), clocks.Source{Component: w.Service()}, stated, statement) {
		return o
	}
	o.Object = o.Object.DeepCopyObject()
	kube.ControllerTimes(o.Object.(metav1.Object), func(of string, t *metav1.Time) {
		t.Time = told.Time(clocks.Stated{Of: of, Time: t.Time})
	})
	return o
}

// eventTimes are when an Event happened first and last, by the API server's clock, and how
// far the clock was ahead that dated each, by what was stated: no clock if nothing new was.
type eventTimes struct {
	first, last         time.Time
	offset, offsetAtEnd time.Duration
	clock               *clocks.Clock
	stated              clocks.Statement
}

// eventTimes are those of an Event; known is what is known of it, nil if it is new.
func (e *Engine) eventTimes(o Observation, in *corev1.Event, known *podlife.Event) (t eventTimes) {
	if o.Inferred {
		t.first, t.last = podlife.EventTimes(in, o)
		return t
	}
	stated, _ := podlife.StatedBy(in)
	if known == nil && isRubbish(stated, in, o) {
		off := stated.Sub(o.Time)
		return eventTimes{first: o.Time, last: o.Time, offset: off, offsetAtEnd: off}
	}
	t = e.correctedTimes(o, in, known)
	if ahead := t.last.Sub(o.Time); ahead > clocks.Furthest {
		t.last, t.offsetAtEnd = o.Time, ahead
	}
	return t
}

// correctedTimes are those of an Event by a clock that may be off.
func (e *Engine) correctedTimes(o Observation, in *corev1.Event, known *podlife.Event) (t eventTimes) {
	clock := e.clockOf(in)
	if known != nil {
		t.offset = known.Offset
	} else if clock != nil {
		t.clock = clock
		t.offset, t.stated = e.dateEvent(o, in, clock)
	}
	t.offsetAtEnd = t.offset
	// They are read as of when they arrived by the clock that states them.
	at := o
	at.Time = o.Time.Add(t.offset)
	t.first, t.last = podlife.EventTimes(in, at)
	t.first, t.last = t.first.Add(-t.offset), t.last.Add(-t.offset)
	s := clocks.Statement{By: o.OverAt()}
	if s.Time, s.Rounded = podlife.RepeatedAt(in); clock == nil || podlife.EventCount(in) <= 1 || s.Time.IsZero() {
		return t
	}
	if known != nil {
		if before := known.Last(); podlife.EventCount(in) > before.Count {
			s.After, s.Fresh = before.At.Add(-time.Second), !o.Initial
			s.Version = evidence.NewWrite(in.ResourceVersion, o).Version
		}
	}
	t.clock, t.stated = clock, s
	if t.offsetAtEnd = clock.Date(s); t.offsetAtEnd != t.offset {
		t.last = s.Time.Add(-t.offsetAtEnd)
		if s.Rounded > 0 {
			t.last = evidence.InSecond(t.last, o.Arrival()).At()
		}
		t.last = evidence.Latest(t.first, t.last)
	}
	return t
}

// isRubbish reports whether what an Event states is so far from when it was written that no
// clock is believed to be off by that much, but the one that was never set: it is dated by
// its arrival. Of one that counts the first time may be long ago, as of any in a first list.
func isRubbish(stated time.Time, in *corev1.Event, o Observation) bool {
	if stated.IsZero() {
		return false
	}
	written := in.CreationTimestamp.Time
	long := !o.Initial && podlife.EventCount(in) <= 1 && !written.IsZero() && o.Time.Sub(written).Abs() < promptly && written.Sub(stated) > clocks.Furthest
	return long || stated.Sub(o.Time) > clocks.Furthest
}

// dateEvent takes in when an Event says that it happened for the first time.
func (e *Engine) dateEvent(o Observation, in *corev1.Event, clock *clocks.Clock) (offset time.Duration, s clocks.Statement) {
	s = clocks.Statement{By: o.OverAt(), Fresh: !o.Initial && podlife.EventCount(in) <= 1 && !podlife.IsCombined(in)}
	s.Time, s.Rounded = podlife.StatedBy(in)
	if o.Initial {
		return clock.Date(s), s
	}
	s.After = e.causeOf(in)
	written := in.CreationTimestamp.Time
	prompt := !written.IsZero() && !written.After(o.Time) && o.Time.Sub(written) < promptly
	if prompt {
		s.By = overBy(written, o.OverAt())
	}
	s.Version = evidence.NewWrite(in.ResourceVersion, o).Version
	if s.Fresh && prompt { // one that is written anew, with its count, may have begun long ago
		late := lateQueue
		if clock.GoesBack(s) {
			late = lateRecorder
		}
		s.After = evidence.Latest(s.After, written.Add(-late))
	}
	offset = clock.Date(s)
	if s.Fresh && prompt {
		clock.Came(s)
	}
	return offset, s
}

// overBy is by when that was over which an Event tells that was written in a second, and
// the news of which came at arrival.
func overBy(written, arrival time.Time) time.Time {
	if end := written.Add(time.Second); end.Before(arrival) {
		return end
	}
	return arrival
}

// clockOf is the clock of who wrote an Event, as the Event's namespace has it; nil if that
// cannot be said. A kubelet is believed to be the one of a node about the pods there, and
// about the Node.
func (e *Engine) clockOf(in *corev1.Event) *clocks.Clock {
	component := podlife.EventComponent(in)
	if component != attr.ServiceKubelet {
		if component == "" {
			return nil
		}
		return e.clocks.Of(in.Namespace, clocks.Source{Component: component})
	}
	host := cmp.Or(in.Source.Host, in.ReportingInstance)
	switch in.InvolvedObject.Kind {
	case kube.KindNode:
		host = in.InvolvedObject.Name
	case kube.KindPod:
		pod := e.podNamed(in.Namespace, in.InvolvedObject.Name)
		if pod == nil {
			return e.clocks.Known(in.Namespace, clocks.Source{Node: host})
		}
		host = pod.Node
	}
	if host == "" {
		return nil
	}
	return e.clocks.Of(in.Namespace, clocks.Source{Node: host})
}

func (e *Engine) podNamed(namespace, name string) *podlife.Pod {
	return e.pods[e.names[kube.NameKey{Kind: kube.KindPod, Namespace: namespace, Name: name}]]
}

// causeOf is what an Event cannot be before: that what it is about was created, and that was
// which it says was created. Zero if that is not known.
func (e *Engine) causeOf(in *corev1.Event) (after time.Time) {
	created := func(pod *podlife.Pod) {
		// Of several of one name it may be about any.
		if pod != nil && pod.Mirrors == "" && pod.Predecessor == "" {
			after = evidence.Latest(after, pod.Created.Earliest)
			if in.Reason == "Scheduled" { // the API server dates the binding, which the scheduler tells of when it is done
				after = evidence.Latest(after, pod.Scheduled.Earliest)
			}
		}
	}
	about := e.names[kube.NameKey{Kind: in.InvolvedObject.Kind, Namespace: in.Namespace, Name: in.InvolvedObject.Name}]
	created(e.pods[about])
	if set := e.sets[about]; set != nil {
		after = evidence.Latest(after, set.Created.Earliest)
	}
	if in.Reason == "SuccessfulCreate" {
		created(e.podNamed(in.Namespace, plans.PodNamed(in.Message)))
	}
	for _, set := range e.setsOf[about] {
		e.work.Spend(1)
		// A Deployment's: "Scaled up replica set web-6757 from 0 to 1".
		if set.Name != "" && strings.Contains(in.Message+" ", " "+set.Name+" ") {
			after = evidence.Latest(after, set.Created.Earliest)
		}
	}
	return after
}
