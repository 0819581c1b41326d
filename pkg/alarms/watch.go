package alarms

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const (
	// TooLong is how long a rollout may be open.
	TooLong = 30 * time.Minute
	// loopsFrom is from which restart on a container that the kubelet backs off from is in a
	// crash loop, and loopsFor for how long after that it still is: the kubelet backs off for
	// five minutes at most.
	loopsFrom = 3
	loopsFor  = 10 * time.Minute
	// maxActive is how many alarms are known to be on, and maxLoops how many pods in crash loops.
	maxActive = 16384
	maxLoops  = 2000
	// maxPending is how many alarms wait to be told, for a second.
	maxPending = 1024
	// takeover is how long an alarm waits for that this process leads: until then the one that
	// led may have died before it could tell, and a Lease runs out after fifteen seconds.
	takeover = 30 * time.Second
)

// Options of a Watch.
type Options struct {
	// Metrics are what is counted. Required.
	Metrics *metrics.Alarms
	// Sink is told of alarms. Default: nobody is.
	Sink Sink
	// Leading says whether this process is the one that tells, of several. Default: it is.
	Leading func() bool
}

// About says what is known of objects, of each in its place: the engine's is causality.Engine.About.
type About func([]causality.Ref) []causality.Known

// Watch raises alarms, and counts what they go by. Its methods may be called by several
// goroutines.
type Watch struct {
	options Options

	mu      sync.Mutex
	since   time.Time // of the first observation
	counts  *counts
	active  map[key]*state
	pending []Alarm
	untold  []untold
	loops   map[types.UID][]loop // by pod
	slow    durations
}

// key is what an alarm is known by while it is on.
type key struct {
	alarm  string
	object Object
}

// state is that of an alarm which is on, or may be soon.
type state struct {
	last time.Time // when it was heard of last
	// times are when an Event has happened within Quiet: as many as it takes for the alarm to begin, or a few
	// more where it was told of several times at once. enough is when they were that many last.
	times  []times
	enough time.Time
	began  bool
}

// times are some at which an Event has happened.
type times struct {
	at time.Time
	n  int
}

// happened notes that an Event has happened, and reports how often it has within Quiet, and whether an alarm
// begins with that which takes so many.
func (s *state) happened(at time.Time, n, from int) (all int, begins bool) {
	s.times = append(slices.DeleteFunc(s.times, func(t times) bool { return at.Sub(t.at) > Quiet }), times{at, n})
	for _, t := range s.times {
		all += t.n
	}
	rest := all
	for rest-s.times[0].n >= from {
		rest -= s.times[0].n
		s.times = slices.Delete(s.times, 0, 1)
	}
	if all < from {
		return all, false
	}
	begins = !s.began || at.Sub(s.enough) > Quiet
	s.began, s.enough = true, at
	return all, begins
}

// untold is an alarm that began while this process did not lead.
type untold struct {
	Alarm
	until time.Time
}

// loop is a container in a crash loop.
type loop struct {
	metrics.CrashLoop
	seen time.Time
}

// New returns a Watch that has seen nothing.
func New(o Options) *Watch {
	if o.Leading == nil {
		o.Leading = func() bool { return true }
	}
	return &Watch{options: o, counts: newCounts(), active: map[key]*state{}, loops: map[types.UID][]loop{}, slow: durations{}}
}

// Observe takes in what the engine is given, or will be.
func (w *Watch) Observe(o causality.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		w.since = o.Time
	}
	switch ev, ok := o.Object.(*corev1.Event); {
	case !ok:
		w.object(o)
	case o.Type != watch.Deleted:
		w.event(o, ev)
	}
}

// object takes in what is no Event.
func (w *Watch) object(o causality.Observation) {
	switch in := o.Object.(type) {
	case *corev1.Pod:
		w.pod(o, in)
	case metav1.Object:
		if o.Type == watch.Deleted {
			delete(w.loops, in.GetUID()) // a deletion that was missed may be of anything
		}
	}
}

// Known takes in what a process before this one has observed, and this one is not told again: the
// crash loops that were on have begun.
func (w *Watch) Known(o causality.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := o.Object.(*corev1.Event); !ok {
		o.Initial = true
		w.object(o)
	}
}

func (w *Watch) event(o causality.Observation, ev *corev1.Event) {
	n := w.counts.anew(ev, o.Initial, w.since)
	if n == 0 {
		return
	}
	about := bounded(&ev.InvolvedObject)
	about.Namespace = scopeOf(ev, about)
	w.options.Metrics.Event(about.Namespace, ev.Type, ev.Reason, about.Kind, n)
	var lacks []string
	if ev.Reason == failedScheduling && about.Kind == "Pod" {
		lacks = lacking(ev.Message)
		for _, resource := range lacks {
			w.options.Metrics.Unschedulable(about.Namespace, resource, n)
		}
	}
	for i := range eventAlarms {
		a := &eventAlarms[i]
		if a.kind != about.Kind || !slices.Contains(a.reasons, ev.Reason) || a.lacks != "" && !slices.Contains(lacks, a.lacks) {
			continue
		}
		if about.Kind == "Node" && about.Namespace != "" {
			continue
		}
		object := Object{Kind: about.Kind, Namespace: about.Namespace, Name: about.Name, UID: string(about.UID)}
		node := ev.Source.Host
		if about.Kind == "Node" {
			object.UID, node = "", about.Name // kubelets give the node's name for it
		}
		s := w.heard(key{a.name, object}, o.Time)
		count, begins := s.happened(o.Time, n, max(a.from, 1))
		if !begins {
			continue
		}
		w.begin(Alarm{
			Name: a.name, Severity: a.severity, Object: object, Node: strings.Clone(spans.CutTo(node, maxIdentity)), Reason: ev.Reason, Message: ev.Message,
			Since: lastOf(ev, o.Time), Count: count, Resource: resourceOf(object),
		})
	}
}

// scopeOf is the namespace that an Event counts in, which is the one that it was written in: the API server
// lets an Event that has an eventTime refer to any other, and what is written in one namespace is no alarm
// about another. What is about an object without a namespace counts in that of the cluster, the empty one, if
// it is where the API server has such Events be written (ValidateEventCreate and legacyValidateEvent of
// k8s.io/kubernetes/pkg/apis/core/validation/events.go). Kubelets write Events about Nodes there, too, and
// whoever may write some elsewhere may say there what he likes of nodes.
func scopeOf(ev *corev1.Event, about *corev1.ObjectReference) string {
	clusterScoped := about.Kind == "Node" || about.Namespace == ""
	switch ev.Namespace {
	case "", metav1.NamespaceDefault, metav1.NamespaceSystem:
		if clusterScoped {
			return ""
		}
	}
	if ev.Namespace == "" {
		return about.Namespace // a dump without the Event's own
	}
	return strings.Clone(spans.CutTo(ev.Namespace, maxIdentity))
}

// maxIdentity is how long a name in a reference may be, which anybody writes. Kubernetes' own
// have at most 253 bytes.
const maxIdentity = 512

// bounded is a reference whose texts are short, and no part of longer ones.
func bounded(ref *corev1.ObjectReference) *corev1.ObjectReference {
	short := func(s string) string { return strings.Clone(spans.CutTo(s, maxIdentity)) }
	return &corev1.ObjectReference{Kind: short(ref.Kind), Namespace: short(ref.Namespace), Name: short(ref.Name), UID: types.UID(short(string(ref.UID)))}
}

func (w *Watch) pod(o causality.Observation, pod *corev1.Pod) {
	if o.Type == watch.Deleted {
		delete(w.loops, pod.UID)
		return
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			c := &list[i]
			if waits := c.State.Waiting; waits != nil && waits.Reason == "CrashLoopBackOff" && c.RestartCount >= loopsFrom {
				w.crashLoop(o, pod, c)
			}
		}
	}
}

func (w *Watch) crashLoop(o causality.Observation, pod *corev1.Pod, c *corev1.ContainerStatus) {
	of := metrics.CrashLoop{Namespace: pod.Namespace, Pod: pod.Name, Container: c.Name}
	loops := w.loops[pod.UID]
	i := slices.IndexFunc(loops, func(l loop) bool { return l.CrashLoop == of })
	switch {
	case i >= 0:
		loops[i].seen = o.Time
	case len(w.loops) < maxLoops || loops != nil:
		w.loops[pod.UID] = append(loops, loop{of, o.Time})
	}
	object := Object{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID)}
	s := w.heard(key{CrashLoop, object}, o.Time)
	if s.began {
		return
	}
	s.began = true
	if o.Initial {
		return
	}
	w.begin(Alarm{
		Name: CrashLoop, Severity: severities[CrashLoop], Object: object, Node: pod.Spec.NodeName,
		Reason: c.State.Waiting.Reason, Message: c.State.Waiting.Message, Since: o.Time, Count: 1,
		Resource: append(resourceOf(object), semconv.K8SContainerName(c.Name)),
	})
}

// Finished takes in a trace that is handed out. What it raises is told before it returns: who hands
// out leads, and all that is to be said of it is in the trace. A process that ends next hands out the
// same trace never again.
func (w *Watch) Finished(t spans.Trace) {
	root := t.Root()
	if root == nil || t.Late {
		return
	}
	c, ok := metrics.ReadChange(root)
	if !ok || c.Change != attr.ChangeRollout {
		return
	}
	if a, ok := w.ofRollout(root, &c); ok {
		a.Severity, a.Message = severities[a.Name], cleaned(a.Message)
		w.options.Metrics.Began(a.Name)
		if w.options.Sink != nil {
			w.options.Sink.Begin(a)
		}
	}
}

// ofRollout is the alarm that a rollout which is over raises, if it does.
func (w *Watch) ofRollout(root *spans.Span, c *metrics.Change) (_ Alarm, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := Object{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}
	a := Alarm{
		Object: of, Workload: of, Since: root.End, Count: 1, Resource: root.Resource, TraceID: root.TraceID, SpanID: root.SpanID,
		Reason: c.Reason, Message: root.Message,
	}
	switch c.Outcome {
	case attr.OutcomeFailed:
		a.Name = RolloutFailed
	case attr.OutcomeComplete:
		if c.Workload == "" {
			return Alarm{}, false // what comes once was never slower or quicker
		}
		median, slow := w.slow.add(of, c.Took, root.End)
		w.options.Metrics.Rollout(of.Namespace, of.Name, of.Kind, slow)
		if !slow {
			return Alarm{}, false
		}
		a.Name, a.Reason = RolloutSlow, "Slow"
		a.Message = fmt.Sprintf("it took %s, and those before took %s", c.Took.Round(time.Second), median.Round(time.Second))
	default:
		return Alarm{}, false
	}
	return a, true
}

// Tick says what time it is, and what goes on. What is known of what alarms are about is asked of
// about; it may be nil.
func (w *Watch) Tick(now time.Time, rollouts []causality.OpenRollout, disruptions []causality.Ongoing, about About) {
	w.mu.Lock()
	var states metrics.States
	for i := range rollouts {
		r := &rollouts[i]
		if r.Waits {
			continue
		}
		states.Rollouts = append(states.Rollouts, metrics.RolloutState{Namespace: r.Namespace, Kind: r.Kind, Workload: r.Name, Since: r.Since})
		if open := now.Sub(r.Since); open >= TooLong {
			of := Object{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, UID: string(r.UID)}
			w.goesOn(now, r.Since.Add(TooLong), Alarm{
				Name: RolloutTooLong, Object: of, Workload: of, Reason: "InProgress",
				Message: fmt.Sprintf("it is open since %s", r.Since.UTC().Format(time.RFC3339)), Since: r.Since,
			})
		}
	}
	for _, d := range disruptions {
		states.Nodes = append(states.Nodes, metrics.NodeState{Node: d.Node, Cause: d.Cause})
		if name := ofNode(d.Cause); name != "" {
			w.goesOn(now, d.Since, Alarm{
				Name: name, Object: Object{Kind: "Node", Name: d.Node, UID: d.UID}, Node: d.Node,
				Reason: cmp.Or(d.Reason, d.Cause), Message: d.Message, Since: d.Since,
				TraceID: d.Place.TraceID(), SpanID: d.Place.RootID(),
			})
		}
	}
	for uid, loops := range w.loops {
		loops = slices.DeleteFunc(loops, func(l loop) bool { return now.Sub(l.seen) > loopsFor })
		if w.loops[uid] = loops; len(loops) == 0 {
			delete(w.loops, uid)
		}
		for _, l := range loops {
			states.CrashLoops = append(states.CrashLoops, l.CrashLoop)
		}
	}
	for k, s := range w.active {
		if now.Sub(s.last) > Quiet {
			delete(w.active, k)
		}
	}
	pending := w.pending
	w.pending = nil
	w.mu.Unlock()
	w.options.Metrics.Set(states)
	for i := range pending {
		w.options.Metrics.Began(pending[i].Name)
	}
	w.tell(w.withUntold(now, pending), about)
}

// withUntold are the alarms to tell: those that have begun and, where this process leads since a
// moment ago, those that nobody may have told before. Where it does not lead there are none.
func (w *Watch) withUntold(now time.Time, begun []Alarm) (all []Alarm) {
	leading := w.options.Leading()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !leading {
		for i := range begun {
			w.untold = append(w.untold, untold{begun[i], now.Add(takeover)})
		}
		w.untold = slices.DeleteFunc(w.untold, func(u untold) bool { return now.After(u.until) })
		w.untold = w.untold[max(len(w.untold)-maxPending, 0):]
		return nil
	}
	for _, u := range w.untold {
		if !now.After(u.until) {
			all = append(all, u.Alarm)
		}
	}
	w.untold = nil
	return append(all, begun...)
}

// goesOn notes a state that an alarm is for, and begins the alarm, if the state began after
// rollspan did.
func (w *Watch) goesOn(now, began time.Time, a Alarm) {
	k := key{a.Name, a.Object}
	if a.Name == NodeProblem {
		k.alarm += " " + a.Reason
	}
	s := w.heard(k, now)
	if s.began {
		return
	}
	s.began = true
	if w.since.IsZero() || began.Before(w.since) {
		return
	}
	a.Severity, a.Count, a.Resource = severities[a.Name], 1, resourceOf(a.Object)
	w.begin(a)
}

// heard is the state of an alarm that is on. One for which there is no room passes for one that was
// told: were another forgotten for it, that one would be told again when it is heard of next.
func (w *Watch) heard(k key, now time.Time) *state {
	s := w.active[k]
	if s == nil || now.Sub(s.last) > Quiet {
		if s == nil && len(w.active) >= maxActive {
			w.options.Metrics.Untold()
			return &state{last: now, began: true, enough: now}
		}
		s = &state{}
		w.active[k] = s
	}
	s.last = now
	return s
}

// forgetOldest forgets what was of use longest ago.
func forgetOldest[K comparable, V any](all map[K]V, used func(V) time.Time) {
	var oldest K
	var at time.Time
	for k, v := range all {
		if of := used(v); at.IsZero() || of.Before(at) {
			oldest, at = k, of
		}
	}
	delete(all, oldest)
}

// begin has an alarm told with the next Tick, when the engine has seen what raised it.
func (w *Watch) begin(a Alarm) {
	if len(w.pending) == maxPending {
		w.options.Metrics.Untold()
		return
	}
	a.Message = cleaned(a.Message)
	w.pending = append(w.pending, a)
}

// tell tells of alarms that have begun.
func (w *Watch) tell(pending []Alarm, about About) {
	if len(pending) == 0 || w.options.Sink == nil {
		return
	}
	w.describe(pending, about)
	for i := range pending {
		w.options.Sink.Begin(pending[i])
	}
}

// describe says of alarms what is known of their objects, beside what the Event or the status has
// said. What has a trace, as that of a rollout that is over, is told in full.
func (w *Watch) describe(pending []Alarm, about About) {
	if about == nil {
		return
	}
	var refs []causality.Ref
	var of []*Alarm
	for i := range pending {
		if a := &pending[i]; !a.TraceID.IsValid() {
			refs = append(refs, causality.Ref{Kind: a.Object.Kind, Namespace: a.Object.Namespace, Name: a.Object.Name, UID: types.UID(a.Object.UID)})
			of = append(of, a)
		}
	}
	if len(refs) == 0 {
		return
	}
	for i, known := range about(refs) {
		a := of[i]
		if k := known.Workload; k.Name != "" && a.Workload == (Object{}) {
			a.Workload = Object{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, UID: string(k.UID)}
		}
		a.Node = cmp.Or(a.Node, known.Node)
		for _, kv := range known.Resource {
			if !slices.ContainsFunc(a.Resource, func(have attribute.KeyValue) bool { return have.Key == kv.Key }) {
				a.Resource = append(slices.Clip(a.Resource), kv)
			}
		}
		a.TraceID, a.SpanID = known.TraceID, known.SpanID
	}
}

// cleaned is a text without what terminals and chats make something of, and has at most
// MaxMessage bytes.
func cleaned(text string) string {
	text = strings.ToValidUTF8(spans.CutTo(text, 4*MaxMessage), "\uFFFD")
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, text)
	return strings.Clone(spans.CutTo(strings.TrimSpace(text), MaxMessage)) // no part of a long one
}

// resourceOf describes an object by the semantic conventions.
func resourceOf(o Object) (attrs []attribute.KeyValue) {
	add := func(k attribute.Key, v string) {
		if v != "" {
			attrs = append(attrs, k.String(v))
		}
	}
	add(semconv.K8SNamespaceNameKey, o.Namespace)
	keys := map[string][2]attribute.Key{
		"Pod":                   {semconv.K8SPodNameKey, semconv.K8SPodUIDKey},
		"Node":                  {semconv.K8SNodeNameKey, semconv.K8SNodeUIDKey},
		"Deployment":            {semconv.K8SDeploymentNameKey, semconv.K8SDeploymentUIDKey},
		"StatefulSet":           {semconv.K8SStatefulSetNameKey, semconv.K8SStatefulSetUIDKey},
		"DaemonSet":             {semconv.K8SDaemonSetNameKey, semconv.K8SDaemonSetUIDKey},
		"ReplicaSet":            {semconv.K8SReplicaSetNameKey, semconv.K8SReplicaSetUIDKey},
		"ReplicationController": {semconv.K8SReplicationControllerNameKey, semconv.K8SReplicationControllerUIDKey},
	}
	of, ok := keys[o.Kind]
	if !ok {
		add(attr.ObjectKindKey, o.Kind)
		of = [2]attribute.Key{attr.ObjectNameKey, attr.ObjectUIDKey}
	}
	add(of[0], o.Name)
	add(of[1], o.UID)
	return attrs
}
