package progress

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// Outcome is how a rollout has ended for who follows it.
type Outcome string

// The outcomes.
const (
	Open       Outcome = "open" // it has not ended
	Complete   Outcome = "complete"
	Failed     Outcome = "failed"
	Superseded Outcome = "superseded" // another template came first
	Doomed     Outcome = "doomed"     // by the table, where that is asked for
	Deleted    Outcome = "deleted"    // the workload was
	// TimedOut and Interrupted are the words of who waits no longer: a Tracker never says them.
	TimedOut    Outcome = "timed_out"
	Interrupted Outcome = "interrupted"
)

var (
	// ErrNotThere says that there is no such object.
	ErrNotThere = errors.New("there is no such object")
	errOnDelete = errors.New("its update strategy is OnDelete: pods get the new template when somebody deletes them, so a rollout has no end to wait for")
)

// State is how a rollout goes at a time.
type State struct {
	Target  Target
	Outcome Outcome
	// Reason and Message say why it has ended so, as a word and as a sentence; empty where the
	// outcome says all.
	Reason, Message string
	// Waits is what it waits for, or waited for when it ended, as a sentence; empty when it is
	// complete.
	Waits string
	// GoesOn is what goes on meanwhile, the latest first, and no more than three things: "pull
	// image pod/web-1 container/web".
	GoesOn []string
	// Now is the time.
	Now time.Time
	// Change is the rollout's trace, as far as it is known; nil where nothing proves one.
	Change *spans.Trace
	// TraceKnown says that a rollspan which was there all the time tells the rollout with the same
	// IDs. Where the workload has a trace context of who deployed it, that one may have put the
	// rollout into the deployer's trace: since when the context is there nobody can know now.
	TraceKnown bool
	// Before is how long the completed rollout before took, of which the number is
	// BeforeRevision; both are zero if nothing proves one. Of a Job of a CronJob it is the last run
	// that began before this one and was complete, of the Job BeforeName.
	Before         time.Duration
	BeforeRevision int64
	BeforeName     string
	// Unseen says why nothing new is seen, as a sentence without its period, and UnseenSince since
	// when: then all else is as it was seen last. They are empty while all is seen that happens.
	Unseen      string
	UnseenSince time.Time
}

// Took is how long the rollout took, or has taken.
func (s *State) Took() time.Duration {
	if s.Change == nil {
		return 0
	}
	root := s.Change.Root()
	if s.Outcome == Open {
		return max(s.Now.Sub(root.Start), 0)
	}
	return root.End.Sub(root.Start)
}

// Due is when the rollout will have taken as long as the one before; zero if that is not known, or
// it has ended.
func (s *State) Due() time.Time {
	goesOn := s.Outcome == Open || s.Outcome == TimedOut || s.Outcome == Interrupted
	if s.Change == nil || s.Before == 0 || !goesOn {
		return time.Time{}
	}
	return s.Change.Root().Start.Add(s.Before)
}

// Tracker follows the rollout of one workload. Begin comes first, then Observe and At in any order.
type Tracker struct {
	target   Target
	failFast bool
	engine   *causality.Engine
	doom     *doom
	// object is the target as it was seen last, uid its UID and template the one that is followed.
	object   runtime.Object
	uid      types.UID
	template *corev1.PodTemplateSpec
	// hash is that of a Rollout's template, where another workload has it.
	hash string
	now  time.Time
	// ended has the outcome and its reason once there is one.
	ended *State
	// rollout identifies the root of the rollout that is followed, once one is known; last and
	// complete are the newest rollouts that the engine has handed out, and that of them that
	// completed.
	rollout        id
	last, complete *spans.Trace
}

type id struct {
	trace trace.TraceID
	span  trace.SpanID
}

func idOf(t *spans.Trace) id { return id{t.Root().TraceID, t.Root().SpanID} }

// New returns a Tracker that has seen nothing. With failFast a rollout that does not recover by
// itself is Doomed.
func New(t Target, engine *causality.Engine, failFast bool) *Tracker {
	return &Tracker{target: t, engine: engine, failFast: failFast, doom: newDoom(t)}
}

// Begin takes in what there is: the objects that the first lists of a watch have. What led to
// them is told as far as they prove it, up to reach before now. The error is ErrNotThere, or says
// why the target's rollouts have no end.
func (t *Tracker) Begin(objects []runtime.Object, reach time.Duration, now time.Time) error {
	i := slices.IndexFunc(objects, t.target.is)
	if i < 0 {
		return ErrNotThere
	}
	t.now = now
	forEngine := make([]runtime.Object, len(objects))
	for j, o := range objects {
		var here runtime.Object
		here, forEngine[j] = seenAs(o)
		if j == i {
			t.object = here
		}
		t.doom.observe(causality.Observation{Time: now, Type: watch.Added, Object: here})
	}
	t.uid, t.template = t.object.(metav1.Object).GetUID(), templateOf(t.object)
	if _, err := judge(t.object); err != nil {
		return err
	}
	for _, o := range t.history(forEngine, reach, now) {
		t.told(t.engine.Observe(o))
	}
	t.told(t.engine.Advance(now))
	t.judge()
	return nil
}

// history is the stream that led to objects, as far as it is proven.
func (t *Tracker) history(objects []runtime.Object, reach time.Duration, now time.Time) []causality.Observation {
	copies, newest := make([]runtime.Object, len(objects)), ""
	for i, o := range objects {
		copies[i] = o.DeepCopyObject()
		if m, ok := o.(metav1.Object); ok && (newest == "" || laterVersion(m.GetResourceVersion(), newest)) {
			newest = m.GetResourceVersion()
		}
	}
	// Of a workload that its controller has not seen yet there is no history. A Rollout has none in
	// a snapshot, as that has no status of it.
	if generation, observed := generations(t.object); t.target.Kind != kindRollout && (generation == 0 || observed > 0) {
		h := snapshots.Reconstruct(copies, reach, now)
		// Its writes are numbered from 1 on, which has to be before all that is still to come. In a
		// cluster that has hardly begun it is not: then what there is is told as a first list.
		if laterVersion(newest, strconv.Itoa(len(h.Observations)+1)) {
			return h.Observations
		}
	}
	list := make([]causality.Observation, len(objects))
	for i, o := range objects {
		list[i] = causality.Observation{Time: now, Type: watch.Added, Object: o, Initial: true}
	}
	return list
}

func laterVersion(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// Observe takes in what has happened, and reports whether that has ended the rollout.
func (t *Tracker) Observe(o causality.Observation) (ended bool) {
	if o.Time.After(t.now) {
		t.now = o.Time
	}
	here, forEngine := seenAs(o.Object)
	o.Object = forEngine
	t.told(t.engine.Observe(o))
	o.Object = here
	t.doom.observe(o)
	if o.Object != nil && t.target.is(o.Object) {
		switch ours := o.Object.(metav1.Object).GetUID() == t.uid; {
		case o.Type == watch.Deleted && ours:
			t.end(Deleted, "", "")
		case o.Type != watch.Deleted && !ours:
			t.end(Deleted, "", "another one has its name now")
		case o.Type != watch.Deleted:
			t.object = o.Object
		}
	}
	t.judge()
	return t.ended != nil
}

// judge ends the rollout if the workload as it is now says so.
func (t *Tracker) judge() {
	if t.ended != nil {
		return
	}
	if m := t.object.(metav1.Object); m.GetDeletionTimestamp() != nil {
		t.end(Deleted, "", "")
		return
	}
	if template := templateOf(t.object); template != nil && !equality.Semantic.DeepEqual(template, t.template) {
		t.end(Superseded, "", templateChanged)
		return
	}
	if t.hashChanged() {
		t.end(Superseded, "", templateChanged)
		return
	}
	switch v, err := judge(t.object); {
	case err != nil:
		t.end(Failed, "OnDelete", err.Error())
	case v.complete:
		t.end(Complete, "", "")
	case v.reason != "":
		t.end(Failed, v.reason, v.message)
	case t.failFast:
		if found := t.doom.found(); found != nil {
			t.end(Doomed, found.Reason, found.Message)
		}
	}
}

const templateChanged = "the pod template was changed before it was complete"

// hashChanged reports whether the template of a Rollout is another one, where another workload has
// it: then the controller says that, by its hash.
func (t *Tracker) hashChanged() bool {
	r, ok := t.object.(*argoRollout)
	if !ok || r.template != nil || r.hash == "" || !r.isObserved() {
		return false
	}
	was := t.hash
	t.hash = r.hash
	return was != "" && was != r.hash
}

func (t *Tracker) end(o Outcome, reason, message string) {
	if t.ended == nil {
		t.ended = &State{Outcome: o, Reason: reason, Message: message}
	}
}

// told notes what the engine has handed out of the target's rollouts.
func (t *Tracker) told(traces []spans.Trace) {
	for i := range traces {
		c := &traces[i]
		if !t.target.change(c) {
			t.noteRun(c)
			continue
		}
		if t.last == nil || !c.Root().Start.Before(t.last.Root().Start) || idOf(c) == t.rollout {
			t.last = c
		}
		t.noteComplete(c)
	}
}

// noteComplete notes the newest rollout that is complete, other than the one that is followed.
func (t *Tracker) noteComplete(c *spans.Trace) {
	if outcomeOf(c) == attr.OutcomeComplete && idOf(c) != t.rollout && (t.complete == nil || !c.Root().Start.Before(t.complete.Root().Start)) {
		t.complete = c
	}
}

// noteRun notes the run of another Job of the same CronJob that began before the target was made.
func (t *Tracker) noteRun(c *spans.Trace) {
	job, ok := t.object.(*batchv1.Job)
	if !ok {
		return
	}
	owner, root := metav1.GetControllerOfNoCopy(job), c.Root()
	if owner == nil || owner.Kind != kindCronJob || root == nil || c.Late || root.Kind != kind.JobRun || !root.Start.Before(job.CreationTimestamp.Time) {
		return
	}
	if root.Text(semconv.K8SCronJobNameKey) == owner.Name && root.Text(semconv.K8SNamespaceNameKey) == t.target.Namespace {
		t.noteComplete(c)
	}
}

func outcomeOf(t *spans.Trace) attr.Outcome { return attr.Outcome(t.Root().Text(attr.OutcomeKey)) }

// At says how the rollout goes at a time, at which all was seen that had happened.
func (t *Tracker) At(now time.Time) State {
	if now.After(t.now) {
		t.now = now
		t.told(t.engine.Advance(now))
	}
	s := State{Target: t.target, Outcome: Open, Now: t.now}
	if t.ended != nil {
		s.Outcome, s.Reason, s.Message = t.ended.Outcome, t.ended.Reason, t.ended.Message
	}
	s.Change = t.change(s.Outcome)
	if t.ended != nil && t.target.Kind == kindRollout {
		s.Change = t.settled(s.Change, s.Outcome)
	}
	s.TraceKnown = s.Change != nil && t.traceKnown(s.Change)
	t.compare(&s)
	t.explain(&s)
	return s
}

// change is the trace of the rollout that is followed: the one that was open when it was looked at
// first, or else the last one, if it ended as the workload says.
func (t *Tracker) change(outcome Outcome) *spans.Trace {
	var known []*spans.Trace // in order of their begin
	if t.last != nil {
		known = append(known, t.last)
	}
	open := t.engine.Preview()
	for i := range open {
		if t.target.change(&open[i]) {
			known = append(known, &open[i])
		} else {
			t.noteRun(&open[i])
		}
	}
	slices.Reverse(known)
	defer func() {
		for _, c := range known[min(1, len(known)):] { // the newest is not before any other
			t.noteComplete(c)
		}
	}()
	if i := slices.IndexFunc(known, func(c *spans.Trace) bool { return idOf(c) == t.rollout }); i >= 0 {
		how := outcomeOf(known[i])
		if outcome == Superseded || how != attr.OutcomeSuperseded && how != attr.OutcomeSuspended {
			return known[i]
		}
		t.rollout = id{} // it was the one before, of which the end was not known
	}
	for _, c := range known {
		switch how := outcomeOf(c); {
		case how == attr.OutcomeOpen && outcome != Superseded:
			t.rollout = idOf(c)
			return c
		case t.rollout == (id{}) && attr.Outcome(outcome) == how:
			return c
		}
	}
	return nil
}

// settling is longer than the engine waits for its streams to be level (causality.Options.Settle).
const settling = 10 * time.Second

// settled is the trace of a Rollout's rollout that has ended. The engine reads a Rollout off its
// ReplicaSets, once nothing more can come that was written before. Here nothing more is waited for,
// so its time goes on by itself; what is open then was open when this was seen last.
func (t *Tracker) settled(change *spans.Trace, outcome Outcome) *spans.Trace {
	t.told(t.engine.Advance(t.now.Add(settling)))
	later := t.change(outcome)
	if later == nil || text.IsOpen(later.Root()) && change != nil {
		return change
	}
	whole := spans.Trace{Spans: slices.Clone(later.Spans), Late: later.Late, Waits: later.Waits}
	for i := range whole.Spans {
		if s := &whole.Spans[i]; s.End.After(t.now) {
			s.End = t.now
		}
	}
	return &whole
}

// traceKnown says whether the target has no trace context but that whose trace the rollout is in.
func (t *Tracker) traceKnown(c *spans.Trace) bool {
	annotations := []map[string]string{t.object.(metav1.Object).GetAnnotations()}
	if template := templateOf(t.object); template != nil {
		annotations = append(annotations, template.Annotations)
	}
	for _, key := range causality.DefaultTraceContextKeys() {
		for _, values := range annotations {
			if of := ParseTraceparent(values[key]); of.IsValid() && of.TraceID() != c.Root().TraceID {
				return false
			}
		}
	}
	return true
}

// ParseTraceparent reads a W3C traceparent; what it returns is not valid if the text is none.
func ParseTraceparent(text string) trace.SpanContext {
	carrier := propagation.MapCarrier{"traceparent": text}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// compare looks for the rollout before.
func (t *Tracker) compare(s *State) {
	before := t.complete
	if s.Change != nil {
		root := s.Change.Root()
		if took, ok := root.Attribute(attr.PreviousDurationKey); ok {
			revision, _ := root.Attribute(attr.PreviousRevisionKey)
			s.Before, s.BeforeRevision = time.Duration(took.AsFloat64()*float64(time.Second)), revision.AsInt64()
			return
		}
		if before != nil && (idOf(before) == idOf(s.Change) || !before.Root().Start.Before(root.Start)) {
			before = nil
		}
	}
	if before != nil {
		root := before.Root()
		revision, _ := root.Attribute(attr.RevisionKey)
		s.Before, s.BeforeRevision = root.End.Sub(root.Start), revision.AsInt64()
		if name := root.Text(semconv.K8SJobNameKey); name != t.target.Name {
			s.BeforeName = name
		}
	}
}

// mostGoingOn is how much of what goes on is named.
const mostGoingOn = 3

// explain says what the rollout waits for, and why it has failed: in the engine's words where it
// has some, as these name pods.
func (t *Tracker) explain(s *State) {
	v, err := judge(t.object)
	if err == nil && !v.complete {
		s.Waits = v.waits
	}
	if s.Change != nil && !v.sure && s.Outcome != Complete {
		s.Waits = cmp.Or(t.engineWaits(s.Change), s.Waits)
	}
	if s.Waits != "" {
		s.Waits += in(v.where)
	}
	if s.Change == nil {
		return
	}
	root := s.Change.Root()
	if s.Outcome == Open && text.IsOpen(root) {
		var but []kind.Kind
		if t.target.Kind == kindRollout {
			but = append(but, kind.Paused) // as in engineWaits
		}
		on := text.GoingOn(s.Change, but...)
		s.GoesOn = on[:min(mostGoingOn, len(on))]
	}
	if s.Outcome == Failed && root.Message != "" && t.target.Kind != kindRollout {
		s.Message = root.Message
	}
}

// engineWaits is what a rollout waits for in the engine's words. That a Rollout is paused it knows
// some seconds late, and the Rollout itself says that.
func (t *Tracker) engineWaits(c *spans.Trace) string {
	if c.Waits == nil {
		return ""
	}
	waits := *c.Waits
	if t.target.Kind == kindRollout {
		waits.Paused = false
	}
	return waits.String()
}
