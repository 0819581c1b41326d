package causality

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Engine is the causality engine. It is not safe for concurrent use.
type Engine struct {
	opts  Options
	now   time.Time // stream time: the latest arrival or Advance
	stats Stats
	// since is when the engine began to look, listed when it last saw an object
	// of the list that a watch starts with.
	since, listed time.Time

	objects map[objectID]*object
	// names, uids and groups find objects of which only the name, the UID or the
	// kind is known; of several of one name the one that was seen last, of one UID the
	// one that was seen first.
	names         map[nameKey]objectID
	uids          map[types.UID]objectID
	groups        map[string][]string // of custom resources, by kind
	events        map[string]*event
	holdings      *holdings               // what is kept of Events
	eventVersions map[string]eventVersion // by namespace
	workloads     map[objectID]*workload
	sets          map[objectID]*podSet
	setsOf        map[objectID][]*podSet // by their workload
	unseen        map[objectID]*unseen   // by the workload
	pods          map[objectID]*pod
	podsOf        map[objectID][]*pod // by their owner
	mirrors       map[objectID][]*pod // by the static pod, in order of creation
	nominated     map[string][]*pod   // by the node that the scheduler makes room on
	claims        *volumeClaims
	// revisions are the ControllerRevisions, by their workload and their UID.
	revisions map[objectID]map[types.UID]*controllerRevision
	// revisionOf are the workloads that they belong to: owners change.
	revisionOf map[objectID]objectID
	nodes      nodes
	// scalers are the autoscalers, by what they scale.
	scalers map[nameKey][]*object

	// strays are pods and ReplicaSets that are gone and whose workload, if
	// they have one, is not known; by when they will be forgotten.
	strays map[*object]time.Time

	// lag is how late Events have come of late, at their slowest.
	lag     time.Duration
	lagSeen time.Time

	// due are the workloads to look at when their time comes, unsettled
	// the objects that have Events no span has claimed.
	due       map[*workload]bool
	unsettled map[*object]bool
	// reread are the objects whose records were dropped after a fault: the next
	// observation of each counts as one of the list that a watch begins with.
	reread map[objectID]bool
	issued *issued
	// plans are those of the workloads that have to do with what is looked at: see planOf.
	plans  map[*workload]*plan
	work   work
	budget int       // see workBudget
	swept  time.Time // when Events were last looked through
	next   time.Time // when the first of them may be ready
	// nextEvents is when the first of the unsettled objects may be. There may be many of
	// them, which are not looked at whenever a workload is.
	nextEvents time.Time
}

// New returns an engine that has seen nothing yet.
func New(opts Options) *Engine {
	opts.Settle = cmp.Or(opts.Settle, 5*time.Second)
	opts.Linger = cmp.Or(opts.Linger, time.Minute)
	opts.Quiet = cmp.Or(opts.Quiet, 30*time.Second)
	opts.TraceContext = cmp.Or(opts.TraceContext, TraceContextParent)
	if len(opts.TraceContextKeys) == 0 {
		opts.TraceContextKeys = DefaultTraceContextKeys()
	}
	opts.InProgressEvery = cmp.Or(opts.InProgressEvery, 3*time.Minute)
	if opts.EventBytes <= 0 {
		opts.EventBytes = defaultEventBytes
	}
	return &Engine{
		opts:          opts,
		stats:         Stats{Observations: map[string]int64{}, Orphans: map[string]int64{}, Faults: map[FaultKind]int64{}, Shed: map[ShedReason]int64{}},
		objects:       map[objectID]*object{},
		names:         map[nameKey]objectID{},
		uids:          map[types.UID]objectID{},
		groups:        map[string][]string{},
		events:        map[string]*event{},
		holdings:      newHoldings(),
		eventVersions: map[string]eventVersion{},
		workloads:     map[objectID]*workload{},
		sets:          map[objectID]*podSet{},
		setsOf:        map[objectID][]*podSet{},
		unseen:        map[objectID]*unseen{},
		pods:          map[objectID]*pod{},
		podsOf:        map[objectID][]*pod{},
		mirrors:       map[objectID][]*pod{},
		nominated:     map[string][]*pod{},
		claims:        newVolumeClaims(),
		revisions:     map[objectID]map[types.UID]*controllerRevision{},
		revisionOf:    map[objectID]objectID{},
		nodes:         newNodes(),
		scalers:       map[nameKey][]*object{},
		strays:        map[*object]time.Time{},
		due:           map[*workload]bool{},
		unsettled:     map[*object]bool{},
		reread:        map[objectID]bool{},
		issued:        &issued{},
		budget:        workBudget,
	}
}

// Observe takes in one observation and returns what had finished by then.
func (e *Engine) Observe(o Observation) []spans.Trace {
	if o.Time.IsZero() {
		o.Time = e.now
	}
	out := e.Advance(o.Time)
	if f := e.guard(func() { e.ingest(o) }); f != nil {
		id, name := e.subjectOf(o)
		e.contain(f, "observe", id, name)
		e.dropObserved(id)
	}
	return out
}

// subjectOf is the object that an observation tells of.
func (e *Engine) subjectOf(o Observation) (id objectID, name string) {
	e.guard(func() {
		object := bounded(o.Object) // the records are those of what was cut
		if in, ok := object.(*corev1.Event); ok {
			id, _ = e.involved(in, o.Time)
			name = in.InvolvedObject.Name
		} else if meta, ok := object.(metav1.Object); ok {
			id, name = idOf(object, meta), meta.GetName()
		}
	})
	return id, name
}

func (e *Engine) ingest(o Observation) {
	if o.Object == nil {
		e.stats.Incomplete++
		return
	}
	o.Object = bounded(o.Object)
	meta, ok := o.Object.(metav1.Object)
	if !ok {
		e.stats.Incomplete++
		return
	}
	if o.Initial {
		e.listed = o.Time
	}
	if in, ok := o.Object.(*corev1.Event); ok {
		e.ingestEvent(o, in)
		return
	}
	kind := kindOf(o.Object)
	e.stats.Observations[kind]++
	if meta.GetUID() == "" {
		e.stats.Incomplete++
		return
	}
	if len(e.reread) > 0 {
		if id := idOf(o.Object, meta); e.reread[id] {
			delete(e.reread, id)
			o.Initial = o.Type != watch.Deleted
		}
	}
	if e.observeOwn(o) {
		return
	}
	switch in := o.Object.(type) {
	case *appsv1.ControllerRevision:
		e.touch(e.numbered(e.observeControllerRevision(o, in)))
	case *corev1.Pod:
		if p := e.observePod(o, in); p != nil {
			e.touchOwner(p.object, p.gone.known())
		}
	case *corev1.Node:
		e.observeNode(o, in)
	case *corev1.PersistentVolumeClaim:
		e.observeClaim(o, in)
		e.observeOther(o, in)
	default:
		e.observeOther(o, meta)
	}
}

// ingestEvent takes in an Event, and has what it is about looked at.
func (e *Engine) ingestEvent(o Observation, in *corev1.Event) {
	e.stats.Observations["Event"]++
	if o.Type == watch.Deleted {
		e.expireEvent(in) // its hour is over; nothing happened
		return
	}
	obj := e.observeEvent(o, in)
	e.unsettled[obj] = true
	e.wakeForEvents(o.Time.Add(e.opts.Quiet))
	e.touch(e.workloadOf(obj))
	e.touchNode(obj)
}

// kindOf is the kind of an object: what it says of itself, or what it is typed
// as; typed clients leave the kind out.
func kindOf(obj runtime.Object) string {
	if kind := obj.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return kind
	}
	return reflect.TypeOf(obj).Elem().Name()
}

// observeOther takes in an object of which the metadata is enough: whom it
// belongs to, and that it is there. A deletion may be of anything: the watcher
// missed it and found the object gone.
func (e *Engine) observeOther(o Observation, meta metav1.Object) {
	id := idOf(o.Object, meta)
	if o.Type == watch.Deleted {
		e.vanished(o, id)
		return
	}
	obj := e.track(id, meta.GetName())
	obj.exists, obj.owned = true, ownerRefOf(meta)
	if hpa, ok := meta.(*autoscalingv2.HorizontalPodAutoscaler); ok {
		ref := hpa.Spec.ScaleTargetRef
		e.aim(obj, nameKey{ref.Kind, customGroup(ref.APIVersion), hpa.Namespace, ref.Name})
	}
}

// vanished handles a deletion of which only the metadata is known: the
// watcher missed it and found the object gone.
func (e *Engine) vanished(o Observation, id objectID) {
	if obj := e.objects[id]; obj != nil {
		obj.exists = false // what is left of it goes with its last Events
	}
	e.claims.vanish(id, o.Time)
	e.touch(e.releaseRevision(id, o.Time))
	if d := e.workloads[id]; d != nil && e.pods[id] == nil {
		d.touched = o.Time
		d.vanish(arrived(o.Time), stamp{arrival: o.Time})
		e.touch(e.numbered(d))
	}
	if rs := e.sets[id]; rs != nil && !rs.direct() {
		rs.gone = true
		rs.touched = o.Time
		e.touchOwner(rs.object, true)
	}
	if p := e.pods[id]; p != nil && !p.gone.known() {
		p.gone, p.goneSeen = arrived(o.Time), o.Time
		if !p.leaving() {
			p.deleteAsked, p.deletion = arrived(o.Time), stamp{arrival: o.Time}
		}
		p.touched = o.Time
		if p.unowned() {
			e.observeUnowned(p, false)
		}
		e.touchOwner(p.object, true)
	}
	if n := e.nodes.byID[id]; n != nil {
		n.delete(o.Time)
		e.touchNode(n.object)
	}
}

// workloadOf is the workload that an object is, or is part of; nil if there is
// none, or it has not been seen yet.
func (e *Engine) workloadOf(obj *object) *workload {
	id := obj.objectID
	if p := e.pods[id]; p != nil {
		id = p.owner
	}
	if rs := e.sets[id]; rs != nil {
		id = rs.owner
	}
	return e.workloads[id]
}

// noteLag measures how late Events come: a recorder with a backlog (a busy
// controller, a slow API server) may be half a minute behind.
func (e *Engine) noteLag(o Observation, last time.Time) {
	lag := o.Time.Sub(last)
	if o.Initial || lag < 0 {
		return
	}
	lag = min(lag, e.opts.Quiet) // a wrong clock may be centuries behind
	if lag > e.lag || e.lagOver() {
		e.lag, e.lagSeen = lag, o.Time
	}
}

func (e *Engine) lagOver() bool { return e.now.After(e.lagSeen.Add(e.opts.Quiet)) }

// settle is how long to wait for late observations: longer while Events are
// seen to come late, but not for ever, as a node's clock may be wrong.
func (e *Engine) settle() time.Duration {
	if e.lagOver() {
		return e.opts.Settle
	}
	return max(e.opts.Settle, min(e.opts.Settle+e.lag, e.opts.Quiet))
}

// touchOwner has the Deployment of a pod or ReplicaSet looked at. What is gone
// and has none is forgotten after a while.
func (e *Engine) touchOwner(obj *object, gone bool) {
	if d := e.workloadOf(obj); d != nil {
		e.touch(d)
	} else if gone {
		at := e.now.Add(e.opts.Linger + e.opts.Quiet)
		e.strays[obj] = at
		e.wake(at)
	}
}

// forgetStrays drops what is gone and never found its Deployment; one that was
// found meanwhile looks after its own.
func (e *Engine) forgetStrays() {
	for obj, at := range e.strays {
		if e.now.Before(at) {
			e.wake(at)
			continue
		}
		delete(e.strays, obj)
		if e.workloadOf(obj) != nil {
			continue
		}
		e.stats.Orphans[obj.kind]++
		if p := e.pods[obj.objectID]; p != nil {
			e.forgetPod(p)
		}
		if rs := e.sets[obj.objectID]; rs != nil {
			e.forgetPodSet(rs)
		}
	}
}

// touch has a Deployment looked at when it had time to settle.
func (e *Engine) touch(d *workload) {
	if d == nil {
		return
	}
	if at := latest(e.now.Add(e.opts.Settle), d.rested); d.due.IsZero() || at.Before(d.due) {
		e.schedule(d, at)
	}
}

func (e *Engine) schedule(d *workload, at time.Time) {
	d.due = at
	e.due[d] = true
	e.wake(at)
}

func (e *Engine) wake(at time.Time) { e.next = earliest(e.next, at) }

// wakeForEvents has the objects looked at that have Events no span has claimed.
func (e *Engine) wakeForEvents(at time.Time) {
	e.nextEvents = earliest(e.nextEvents, at)
	e.wake(at)
}

// Advance moves stream time to now and returns what that finished. Time does
// not run backwards: an earlier now changes nothing.
func (e *Engine) Advance(now time.Time) []spans.Trace {
	if now.After(e.now) {
		e.now = now
	}
	if e.since.IsZero() {
		e.since = now
	}
	if f := e.guard(e.sweepEvents); f != nil {
		e.contain(f, "sweep", objectID{}, "")
	}
	if e.next.IsZero() || e.now.Before(e.next) {
		return nil
	}
	e.next = time.Time{}
	out := e.reviewDue(whatSettled)
	out = append(out, e.disruptions(whatSettled)...)
	if !e.nextEvents.IsZero() && !e.now.Before(e.nextEvents) {
		e.nextEvents = time.Time{}
		out = append(out, e.activities(whatSettled)...)
	}
	e.wake(e.nextEvents)
	if f := e.guard(e.forgetStrays); f != nil {
		e.contain(f, "sweep", objectID{}, "")
	}
	return e.handOut(out)
}

// reviewDue looks at the workloads that are due.
func (e *Engine) reviewDue(wanted extent) (out []spans.Trace) {
	for _, d := range e.dueWorkloads(wanted) {
		if !e.due[d] {
			continue // it was dropped when another was looked at
		}
		delete(e.due, d)
		d.due = time.Time{}
		out = append(out, e.reviewGuarded(d, wanted)...)
	}
	return out
}

// dueWorkloads come in a fixed order, so that the output does too. Where the stream
// goes on, those whose time is still to come are left out before they are sorted: they
// are many while much goes on, and then this is asked at each observation.
func (e *Engine) dueWorkloads(wanted extent) []*workload {
	var ds []*workload
	for d := range e.due {
		if wanted == whatSettled && e.now.Before(d.due) {
			e.wake(d.due)
			continue
		}
		ds = append(ds, d)
	}
	slices.SortFunc(ds, func(a, b *workload) int { return a.compare(b.objectID) })
	return ds
}

// Flush ends the stream: it returns everything that is left, what is still
// open with the outcome "open". The engine must not be used afterwards.
func (e *Engine) Flush() []spans.Trace {
	for _, d := range e.workloads {
		e.due[d] = true
	}
	out := e.reviewDue(everything)
	out = append(out, e.disruptions(everything)...)
	return e.handOut(append(out, e.activities(everything)...))
}

// handOut orders what is finished as people would tell it.
func (e *Engine) handOut(out []spans.Trace) []spans.Trace {
	slices.SortStableFunc(out, func(a, b spans.Trace) int {
		return a.Root().Start.Compare(b.Root().Start)
	})
	for i := range out {
		if root := out[i].Root(); !out[i].Late && !root.ParentID.IsValid() {
			e.issued.add(root.TraceID) // of its own, and no deployer's
		}
		e.stats.Traces++
		e.stats.Spans += int64(len(out[i].Spans))
	}
	return out
}

// Stats returns the counters so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Observations = maps.Clone(e.stats.Observations)
	s.Orphans = maps.Clone(e.stats.Orphans)
	s.Faults = maps.Clone(e.stats.Faults)
	s.Shed = maps.Clone(e.stats.Shed)
	s.EventBytes = int64(e.holdings.total)
	for _, d := range e.workloads {
		for _, c := range d.changes {
			if !c.ledger.sent {
				s.Open++
			}
		}
	}
	return s
}
