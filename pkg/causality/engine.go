package causality

import (
	"cmp"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality/internal/clocks"
	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/causality/internal/nodes"
	"github.com/rollspan/rollspan/pkg/causality/internal/plans"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/causality/internal/records"
	"github.com/rollspan/rollspan/pkg/causality/internal/timers"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
	"github.com/rollspan/rollspan/pkg/spans"
)

// Engine is the causality engine. It is not safe for concurrent use.
type Engine struct {
	opts  Options
	shown workloads.Shown // of the options
	now   time.Time       // stream time: the latest arrival or Advance
	stats Stats
	// since is the time of the first observation, listed when the engine last saw an
	// object of the list that a watch starts with.
	since, listed time.Time

	objects map[kube.ObjectID]*podlife.Object
	// names, uids and groups find objects of which only the name, the UID or the
	// kind is known; of several of one name the one that was seen last, of one UID the
	// one that was seen first.
	names         map[kube.NameKey]kube.ObjectID
	uids          map[types.UID]kube.ObjectID
	groups        map[string][]string // of custom resources, by kind
	events        map[string]*podlife.Event
	holdings      *podlife.Holdings       // what is kept of Events
	eventVersions map[string]eventVersion // by namespace
	workloads     map[kube.ObjectID]*workloads.Workload
	sets          map[kube.ObjectID]*workloads.PodSet
	setsOf        map[kube.ObjectID][]*workloads.PodSet // by their workload
	unseen        map[kube.ObjectID]*workloads.Unseen   // by the workload
	unseenOf      map[kube.ObjectID]kube.ObjectID       // the workload, by the ReplicaSet
	pods          map[kube.ObjectID]*podlife.Pod
	podsOf        map[kube.ObjectID][]*podlife.Pod // by their owner
	mirrors       map[kube.ObjectID][]*podlife.Pod // by the static pod, in order of creation
	nominated     map[string][]*podlife.Pod        // by the node that the scheduler makes room on
	claims        *podlife.VolumeClaims
	// revisions are the ControllerRevisions, by their workload and their UID.
	revisions map[kube.ObjectID]map[types.UID]*workloads.ControllerRevision
	// revisionOf are the workloads that they belong to: owners change.
	revisionOf map[kube.ObjectID]kube.ObjectID
	nodes      nodes.Nodes
	clocks     *clocks.Clocks // by which all is dated
	// scalers are the autoscalers, by what they scale.
	scalers map[kube.NameKey][]*podlife.Object

	// orphans are pods and ReplicaSets that are gone and whose workload, if they have
	// one, is not known, until they will be forgotten.
	orphans timers.Timers[*podlife.Object]

	// held says that time passes without consequences: see Hold.
	held bool

	// lag is how late Events have come lately, at the slowest, and lagSeen when the one
	// that was so late came. The settle period stretches to it: see settle.
	lag     time.Duration
	lagSeen time.Time

	// due are the workloads to review when their time comes, dueNodes those Nodes that may
	// have disruptions to hand out then, unsettled the objects that have Events which no
	// span has claimed.
	due       timers.Timers[*workloads.Workload]
	dueNodes  timers.Timers[*nodes.Record]
	unsettled timers.Timers[*podlife.Object]
	awaited   awaited
	// old are the objects of which something may be so old that it is to be forgotten.
	old timers.Timers[*podlife.Object]
	// goneClaims are the volume claims that are gone, until nothing can want them.
	goneClaims timers.Timers[*podlife.VolumeClaim]
	lost       lostPods
	// open are the workloads that may have a change which is still to be handed out.
	open map[*workloads.Workload]struct{}
	// reread are the objects whose records were dropped after a fault: the next
	// observation of each counts as one of the list that a watch begins with.
	reread map[kube.ObjectID]bool
	// issued are the trace IDs that the engine gave, which no annotation may name.
	issued *ledger.Issued
	// handed are the spans that were handed out, of each trace the first: no ID comes twice.
	handed *ledger.HandedOut
	// plans are those of the workloads that have to do with the one in review: see planOf.
	plans      map[*workloads.Workload]*plans.Plan
	losses     nodes.Losses  // when nodes were lost, for those who look through all Events
	work       evidence.Work // what is left for the boundary that the engine is in: see guard
	budget     int           // what each boundary has: see workBudget
	worked     int           // the work that was done so far, in the same units
	swept      time.Time     // when what is old was last looked for
	filed      uint64        // how many pods were filed under an owner so far
	allResting               // the pods that reviews leave out
	records    *records.Records
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
		records:       records.New(opts.Records),
		opts:          opts,
		shown:         shownBy(&opts),
		stats:         Stats{Observations: map[string]int64{}, Orphans: map[string]int64{}, Faults: map[FaultKind]int64{}, Shed: map[ShedReason]int64{}},
		objects:       map[kube.ObjectID]*podlife.Object{},
		names:         map[kube.NameKey]kube.ObjectID{},
		uids:          map[types.UID]kube.ObjectID{},
		groups:        map[string][]string{},
		events:        map[string]*podlife.Event{},
		holdings:      podlife.NewHoldings(),
		eventVersions: map[string]eventVersion{},
		workloads:     map[kube.ObjectID]*workloads.Workload{},
		sets:          map[kube.ObjectID]*workloads.PodSet{},
		setsOf:        map[kube.ObjectID][]*workloads.PodSet{},
		unseen:        map[kube.ObjectID]*workloads.Unseen{},
		unseenOf:      map[kube.ObjectID]kube.ObjectID{},
		pods:          map[kube.ObjectID]*podlife.Pod{},
		podsOf:        map[kube.ObjectID][]*podlife.Pod{},
		mirrors:       map[kube.ObjectID][]*podlife.Pod{},
		nominated:     map[string][]*podlife.Pod{},
		claims:        podlife.NewVolumeClaims(),
		revisions:     map[kube.ObjectID]map[types.UID]*workloads.ControllerRevision{},
		revisionOf:    map[kube.ObjectID]kube.ObjectID{},
		nodes:         nodes.NewNodes(opts.NodeProblemConditions),
		clocks:        clocks.New(opts.clockFound()),
		scalers:       map[kube.NameKey][]*podlife.Object{},
		allResting:    newAllResting(),
		reread:        map[kube.ObjectID]bool{},
		open:          map[*workloads.Workload]struct{}{},
		issued:        &ledger.Issued{},
		handed:        &ledger.HandedOut{},
		budget:        workBudget,
	}
}

// Observe takes in one observation and returns what had finished by then.
func (e *Engine) Observe(o Observation) []spans.Trace {
	shown := e.clocks.Watch.Shown(e.now)
	if o.Time.IsZero() {
		o.Time = e.now // that it came now says nothing of our clock, as it tells of no arrival
	} else {
		o = e.inClusterTime(o)
	}
	if now := e.clocks.Watch.Time(shown); now.Before(e.now) { // our clock turned out to be ahead
		e.setBack(now)
	}
	out := e.advance(o.Time)
	e.worked++
	if f := e.guard(func() { e.ingest(o) }); f != nil {
		id, name := e.subjectOf(o)
		e.contain(f, "observe", id, name)
		e.dropObserved(id)
	}
	return out
}

// subjectOf is the object that an observation tells of.
func (e *Engine) subjectOf(o Observation) (id kube.ObjectID, name string) {
	e.guard(func() {
		object := kube.Bounded(o.Object) // the records are those of what was cut
		if in, ok := object.(*corev1.Event); ok {
			id, _ = e.involvedObject(in, o.Time)
			name = in.InvolvedObject.Name
		} else if meta, ok := object.(metav1.Object); ok {
			id, name = kube.IDOf(object, meta), meta.GetName()
		}
	})
	return id, name
}

func (e *Engine) ingest(o Observation) {
	if o.Object == nil {
		e.stats.Incomplete++
		return
	}
	o.Object = kube.Bounded(o.Object)
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
	kind := kube.KindOf(o.Object)
	e.stats.Observations[kind]++
	if meta.GetUID() == "" {
		e.stats.Incomplete++
		return
	}
	if len(e.reread) > 0 {
		if id := kube.IDOf(o.Object, meta); e.reread[id] {
			delete(e.reread, id)
			o.Initial = o.Type != watch.Deleted
		}
	}
	if e.outdated(o, meta) {
		return
	}
	defer e.noteVersion(o, meta)
	o.Initial = o.Initial || e.wasListed(o, meta)
	if e.observeWorkloadObject(o) {
		return
	}
	switch in := o.Object.(type) {
	case *appsv1.ControllerRevision:
		e.touch(e.numbered(e.observeControllerRevision(o, in)))
	case *corev1.Pod:
		if pod := e.observePod(o, in); pod != nil {
			e.stir(pod)
			e.touchOwner(pod.Object, pod.Gone.Known())
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
	e.observeArrival(o, obj)
	e.stir(e.pods[obj.ObjectID])
	e.unsettled.Earlier(obj, o.Time.Add(e.opts.Quiet))
	e.touch(e.workloadOf(obj))
	e.touchNode(obj)
}

// observeOther takes in an object of which the metadata is enough: whom it
// belongs to, and that it is there. A deletion may be of anything: the watcher
// missed it and found the object gone.
func (e *Engine) observeOther(o Observation, meta metav1.Object) {
	id := kube.IDOf(o.Object, meta)
	if o.Type == watch.Deleted {
		e.vanished(o, id)
		return
	}
	obj := e.track(id, meta.GetName())
	obj.Exists, obj.Owned = true, kube.OwnerRefOf(meta)
	switch in := meta.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		ref := in.Spec.ScaleTargetRef
		e.setTarget(obj, kube.NameKey{Kind: ref.Kind, Group: kube.CustomGroup(ref.APIVersion), Namespace: in.Namespace, Name: ref.Name})
	case *batchv1.CronJob:
		obj.Cron = obj.Cron.Observe(in, evidence.NewWrite(in.ResourceVersion, o))
	}
}

// vanished handles a deletion of which only the metadata is known: the
// watcher missed it and found the object gone.
func (e *Engine) vanished(o Observation, id kube.ObjectID) {
	if obj := e.objects[id]; obj != nil {
		obj.Exists = false // what is left of it goes with its last Events
		e.old.Earlier(obj, o.Time)
	}
	e.claims.Vanish(id, o.Time)
	if c := e.claims.ByID[id]; c != nil {
		e.goneClaims.Set(c, e.forgottenAfter(o.Time).Add(time.Nanosecond))
	}
	e.touch(e.releaseRevision(id, o.Time))
	if w := e.workloads[id]; w != nil && e.pods[id] == nil {
		w.Touched = o.Time
		w.Vanish(evidence.Arrived(o.Time), evidence.Write{Arrival: o.Time})
		e.touch(e.numbered(w))
	}
	if set := e.sets[id]; set != nil && !set.Direct() {
		set.Gone = true
		set.Touched = o.Time
		e.tellLost(set.Owner, id, o)
		e.touchOwner(set.Object, true)
	}
	e.forgetUnseen(id)
	if pod := e.pods[id]; pod != nil && !pod.Gone.Known() {
		pod.ObserveMissing(o.Time)
		pod.Touched = o.Time
		e.stir(pod)
		e.lost.note(pod)
		if pod.Unowned() {
			e.observeUnowned(pod, false)
		}
		e.touchOwner(pod.Object, true)
	}
	if n := e.nodes.ByID[id]; n != nil {
		n.Delete(o.Time)
		e.touchNode(n.Object)
	}
}

// workloadOf is the workload that an object is, or is part of; nil if there is
// none, or it has not been seen yet.
func (e *Engine) workloadOf(obj *podlife.Object) *workloads.Workload {
	id := obj.ObjectID
	if pod := e.pods[id]; pod != nil {
		id = pod.Owner
	}
	if set := e.sets[id]; set != nil {
		id = set.Owner
	}
	return e.workloads[id]
}

// noteLag measures how late Events come: a recorder with a backlog (a busy
// controller, a slow API server) may be half a minute behind.
func (e *Engine) noteLag(o Observation, last time.Time) {
	lag := o.Time.Sub(last)
	if o.Initial || lag < 0 || last.Before(e.since) {
		return // it was there before the watcher was
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

// touchOwner has the workload of a pod or ReplicaSet reviewed. What is gone
// and has none is forgotten after a while.
func (e *Engine) touchOwner(obj *podlife.Object, gone bool) {
	if w := e.workloadOf(obj); w != nil {
		e.touch(w)
	} else if gone {
		e.orphans.Set(obj, e.forgottenAfter(e.now))
	}
}

// forgetOrphans drops what is gone and never found its workload; one that was
// found meanwhile looks after its own.
func (e *Engine) forgetOrphans() {
	for _, obj := range e.orphans.Come(e.now) {
		e.work.Spend(1)
		e.orphans.Remove(obj)
		if e.workloadOf(obj) != nil {
			continue
		}
		e.stats.Orphans[obj.Kind]++
		if pod := e.pods[obj.ObjectID]; pod != nil {
			e.forgetPod(pod)
		}
		if set := e.sets[obj.ObjectID]; set != nil {
			e.forgetPodSet(set)
		}
	}
}

// touch has a workload reviewed when it had time to settle.
func (e *Engine) touch(w *workloads.Workload) {
	if w == nil {
		return
	}
	e.open[w] = struct{}{}
	e.due.Earlier(w, evidence.Latest(e.now.Add(e.opts.Settle), w.RestUntil))
}

// reviewDue looks at the workloads that are due.
func (e *Engine) reviewDue(wanted extent) (out []spans.Trace) {
	if wanted != whatSettled {
		e.takeLastNews(wanted)
	}
	for _, w := range e.dueWorkloads(wanted) {
		if !e.due.Has(w) {
			continue // it was dropped when another was looked at
		}
		e.due.Remove(w)
		out = append(out, e.reviewGuarded(w, wanted)...)
	}
	return out
}

// dueWorkloads come in a fixed order, so that the output does too. Where the stream
// goes on, they are those whose time has come.
func (e *Engine) dueWorkloads(wanted extent) []*workloads.Workload {
	return ready(e, &e.due, wanted, func(a, b *workloads.Workload) int { return a.Compare(b.ObjectID) })
}

// ready are those that wait whose time has come, in an order; all of them where the stream
// does not go on.
func ready[K comparable](e *Engine, ts *timers.Timers[K], wanted extent, order func(a, b K) int) []K {
	found := ts.Come(e.now)
	if wanted != whatSettled {
		found = ts.All()
	}
	slices.SortFunc(found, order)
	e.worked += len(found)
	return found
}

// Flush ends the stream: it returns everything that is left, what is still
// open with the outcome "open". The engine must not be used afterwards.
func (e *Engine) Flush() []spans.Trace {
	for _, w := range e.workloads {
		e.due.Set(w, e.now)
	}
	out := e.reviewDue(everything)
	out = append(out, e.disruptions(everything)...)
	return e.withRecords(e.handOut(append(out, e.activities(everything)...)), everything)
}

// Stats returns the counters so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Observations = maps.Clone(e.stats.Observations)
	s.Orphans = maps.Clone(e.stats.Orphans)
	s.Faults = maps.Clone(e.stats.Faults)
	s.Shed = maps.Clone(e.stats.Shed)
	s.EventBytes = int64(e.holdings.Total)
	s.Clocks, s.RecordsLost = e.wrongClocks(), e.records.Lost()
	s.Disruptions, s.Rollouts = e.nodes.Ongoing(), workloads.OpenRollouts(e.open, e.workloads)
	for w := range e.open {
		if e.workloads[w.ObjectID] == w {
			s.Open += int64(w.Unsent())
		}
	}
	return s
}
