package progress

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/causality/stream"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// What Argo Rollouts' controller says in its Events (utils/conditions).
const (
	reasonAborted   = "RolloutAborted"
	reasonCompleted = "RolloutCompleted"
	// initialDeploy ends the message of a RolloutCompleted that is said as a Rollout is made, before
	// its pods are.
	initialDeploy = ": Initial deploy"
)

// ToldRollouts are the rollouts of a Rollout that a cluster proves at one time, in order: each one whose
// begin is dated, by an Event or the making of its ReplicaSet, and that began within reach or has not
// ended. The trace of one is its root alone, with the Events of the Rollout's controller that came until
// its end. Of the parts, a list at one time does not prove which pods were made for which step.
//
// What the last one waits for comes from s, which is how the Rollout goes at that time. How one ended is
// told from what the controller says: an end of which it is only known that it was not later has a
// precision, and one that was followed by another is superseded with a precision where nothing else is
// said of it (text.EndIsKnown).
func ToldRollouts(s *State, objects []runtime.Object, reach time.Duration) []spans.Trace {
	in := s.Target.rolloutIn(objects)
	if in == nil {
		return nil
	}
	t := argoTold{state: s, rollout: readArgoRollout(in), now: s.Now, revisions: map[int64]*argoRevision{}}
	t.readSets(objects)
	t.readEvents(objects)
	return t.told(s.Now.Add(-reach))
}

// RevisionNow is the revision that a Rollout has now, in digits; empty where it is not among the objects,
// or does not say.
func RevisionNow(t Target, objects []runtime.Object) string {
	if in := t.rolloutIn(objects); in != nil {
		return in.GetAnnotations()[rolloutRevisionAnnotation]
	}
	return ""
}

// rolloutIn is the target as a Rollout with its status; nil where it is not there.
func (t Target) rolloutIn(objects []runtime.Object) *unstructured.Unstructured {
	i := slices.IndexFunc(objects, t.is)
	if i < 0 {
		return nil
	}
	in, _ := objects[i].(*unstructured.Unstructured)
	return in
}

// argoTold is what is found of a Rollout.
type argoTold struct {
	state     *State
	rollout   *argoRollout
	now       time.Time
	revisions map[int64]*argoRevision
	events    []argoEvent // in order
}

// argoRevision is what is found of one of its revisions.
type argoRevision struct {
	// begun is when the controller took it up; zero if nothing dates that.
	begun time.Time
	// aborted and completed are when the controller says that first; zero if it does not.
	aborted, completed time.Time
	// hash is that of the template of its ReplicaSet; empty where that is not there.
	hash string
}

// argoEvent is an Event about it.
type argoEvent struct {
	at time.Time
	*corev1.Event
}

func (t *argoTold) revision(n int64) *argoRevision {
	r := t.revisions[n]
	if r == nil {
		r = &argoRevision{}
		t.revisions[n] = r
	}
	return r
}

// readSets finds the revisions that its ReplicaSets have or had. One that was made for a revision, and
// has had no other, dates it.
func (t *argoTold) readSets(objects []runtime.Object) {
	for _, o := range objects {
		set, ok := o.(*appsv1.ReplicaSet)
		if !ok {
			continue
		}
		if owner := metav1.GetControllerOfNoCopy(set); owner == nil || owner.UID != t.rollout.UID {
			continue
		}
		n, err := strconv.ParseInt(set.Annotations[rolloutRevisionAnnotation], 10, 64)
		if err != nil || n <= 0 {
			continue
		}
		first := n
		for text := range strings.SplitSeq(set.Annotations[rolloutHistoryAnnotation], ",") {
			if before, err := strconv.ParseInt(text, 10, 64); err == nil && before > 0 {
				t.revision(before)
				first = min(first, before)
			}
		}
		t.revision(n).hash = set.Labels[rolloutHashLabel]
		if !set.CreationTimestamp.Before(&t.rollout.CreationTimestamp) { // else it was another Rollout's
			t.revision(first).begins(set.CreationTimestamp.Time)
		}
	}
}

// begins notes a time at which a revision was taken up. The API server's are whole seconds.
func (r *argoRevision) begins(at time.Time) {
	if r.begun.IsZero() || r.begun.Equal(at.Truncate(time.Second)) || at.Before(r.begun.Truncate(time.Second)) {
		r.begun = at
	}
}

// readEvents reads what its controller has said.
func (t *argoTold) readEvents(objects []runtime.Object) {
	var about []runtime.Object
	for _, o := range objects {
		ev, ok := o.(*corev1.Event)
		if ok && ev.InvolvedObject.Kind == kindRollout && ev.InvolvedObject.UID == t.rollout.UID && ev.Namespace == t.rollout.Namespace {
			about = append(about, ev.DeepCopy())
		}
	}
	// Reconstruct dates Events as the engine does.
	for _, o := range snapshots.Reconstruct(about, t.now.Sub(t.rollout.CreationTimestamp.Time)+time.Hour, t.now).Observations {
		if ev, ok := o.Object.(*corev1.Event); ok {
			t.events = append(t.events, argoEvent{o.Time, ev})
			t.read(ev, o.Time)
		}
	}
}

// read notes what an Event says of a revision.
func (t *argoTold) read(ev *corev1.Event, at time.Time) {
	var n int64
	var hash string
	said := func(format string, into ...any) bool {
		_, err := fmt.Sscanf(stream.EventWords(ev.Message), format, into...)
		return err == nil && n > 0
	}
	switch {
	case ev.Reason == "RolloutUpdated" && said("Rollout updated to revision %d", &n),
		ev.Reason == "NewReplicaSetCreated" && said("Created ReplicaSet %s (revision %d)", &hash, &n):
		t.revision(n).begins(at)
	case ev.Reason == reasonAborted && said("Rollout aborted update to revision %d", &n):
		if r := t.revision(n); r.aborted.IsZero() {
			r.aborted = at
		}
	case ev.Reason == reasonCompleted && said("Rollout completed update to revision %d", &n) && !strings.HasSuffix(ev.Message, initialDeploy):
		if r := t.revision(n); r.completed.IsZero() {
			r.completed = at
		}
	}
}

// told makes roots of the revisions that are dated.
func (t *argoTold) told(since time.Time) (traces []spans.Trace) {
	numbers := slices.Sorted(maps.Keys(t.revisions))
	for i, n := range numbers {
		r := t.revisions[n]
		if r.begun.IsZero() {
			continue
		}
		var end argoEnd
		until, last := t.now, i == len(numbers)-1 // when the next one that is dated begins
		if last {
			end = t.last(n, r)
		} else {
			for _, next := range numbers[i+1:] {
				if at := t.revisions[next].begun; !at.IsZero() {
					until = at
					break
				}
			}
			if until.Before(r.begun) {
				continue // the numbers are not those of one Rollout's course
			}
			end = r.ended(until)
		}
		if end.outcome == attr.OutcomeFailed {
			end.message = fmt.Sprintf("%s: Rollout aborted update to revision %d", reasonAborted, n)
		}
		if last && end.outcome != attr.OutcomeComplete && t.state.Outcome == Failed {
			end.message = because(t.state.Reason, t.state.Message)
		}
		if end.outcome == "" || end.outcome != attr.OutcomeOpen && r.begun.Before(since) {
			continue
		}
		// What comes after a revision that nothing dates may be about that one.
		whole := last || !t.revisions[numbers[i+1]].begun.IsZero()
		traces = append(traces, t.trace(n, r, end, whole))
	}
	slices.SortStableFunc(traces, func(a, b spans.Trace) int { return a.Root().Start.Compare(b.Root().Start) })
	return traces
}

// argoEnd is how a rollout ended, as far as is known. Without an outcome too little is.
type argoEnd struct {
	at      time.Time
	outcome attr.Outcome
	// atMost says that it may have been at any time before.
	atMost bool
	// message is why it has failed, or fails; empty if it does not.
	message string
}

// named is the end that the controller has said. What was aborted and is complete later has failed: it
// recovered.
func (r *argoRevision) named() (argoEnd, bool) {
	switch {
	case !r.aborted.IsZero() && (r.completed.IsZero() || r.aborted.Before(r.completed)):
		return argoEnd{at: r.aborted, outcome: attr.OutcomeFailed}, !r.aborted.Before(r.begun)
	case !r.completed.IsZero():
		return argoEnd{at: r.completed, outcome: attr.OutcomeComplete}, !r.completed.Before(r.begun)
	}
	return argoEnd{}, false
}

// ended is how one ended that another one followed.
func (r *argoRevision) ended(next time.Time) argoEnd {
	if end, ok := r.named(); ok && !end.at.After(next) {
		return end
	}
	return argoEnd{at: next, outcome: attr.OutcomeSuperseded, atMost: true}
}

// last is how the last one goes, or how it ended.
func (t *argoTold) last(n int64, r *argoRevision) argoEnd {
	if end, ok := r.named(); ok {
		return end
	}
	if !t.rollout.isObserved() || t.rollout.observed == "" || t.rollout.Annotations[rolloutRevisionAnnotation] != strconv.FormatInt(n, 10) ||
		r.hash != "" && r.hash != t.rollout.hash {
		return argoEnd{} // what its status says is of another time
	}
	if due := t.rollout.DeletionTimestamp; due != nil {
		return argoEnd{} // how it went until then is not known
	}
	second := r.begun.Truncate(time.Second)
	if t.rollout.abortedAt != "" {
		at, err := time.Parse(time.RFC3339, t.rollout.abortedAt)
		if err != nil || at.Before(second) {
			return argoEnd{}
		}
		return argoEnd{at: latest(at, r.begun), outcome: attr.OutcomeFailed}
	}
	return t.promoted(second)
}

// promoted is how the last one goes, which began in that second and was not aborted. The controller's
// condition Healthy says when it became so last, or was no more so.
func (t *argoTold) promoted(second time.Time) argoEnd {
	goesOn := argoEnd{at: t.now, outcome: attr.OutcomeOpen}
	if t.rollout.phase == phaseHealthy {
		goesOn = argoEnd{} // the controller says that it does not
	}
	if t.rollout.stable == "" || t.rollout.stable != t.rollout.hash {
		return goesOn
	}
	// The stable ReplicaSet is that of a rollout that is complete, or the first one, or the one that is
	// gone back to.
	healthy, since := t.rollout.condition("Healthy")
	switch {
	case since.IsZero() && healthy == "":
		return goesOn
	case since.IsZero():
		return argoEnd{}
	case healthy == metav1.ConditionFalse && since.Before(second):
		return goesOn
	case since.After(second) && healthy == metav1.ConditionTrue:
		return argoEnd{at: since, outcome: attr.OutcomeComplete, atMost: true}
	case since.After(second), healthy == metav1.ConditionTrue:
		// What is not Healthy may be so since its begin, or since it was complete.
		return argoEnd{at: t.now, outcome: attr.OutcomeComplete, atMost: true}
	}
	return argoEnd{}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// trace is the root of a rollout, with the Events until its end; with those alone that name its revision,
// if the others may be about the next one.
func (t *argoTold) trace(n int64, r *argoRevision, end argoEnd, whole bool) spans.Trace {
	uid := string(t.rollout.UID)
	root := spans.Span{
		TraceID: spans.NewTraceID(uid, string(attr.ChangeRollout), strconv.FormatInt(n, 10)),
		Kind:    kind.Rollout, Name: kindRollout + " rollout", Target: t.rollout.Namespace + "/" + t.rollout.Name,
		Service: attr.ServiceRollout, Subject: strings.ToLower(kindRollout) + "/" + t.rollout.Name, SpanKind: trace.SpanKindServer,
		Start: r.begun, End: latest(end.at, r.begun),
		Resource: append(t.state.Target.Attributes(), attr.ObjectUIDKey.String(uid)),
		Attributes: []attribute.KeyValue{
			attr.ChangeKey.String(string(attr.ChangeRollout)), attr.RevisionKey.Int64(n), attr.OutcomeKey.String(string(end.outcome)),
		},
	}
	root.SpanID = spans.NewSpanID(root.TraceID, "root")
	if end.atMost {
		root.Attributes = append(root.Attributes,
			attr.EndPrecisionKey.Float64(root.End.Sub(root.Start).Seconds()), attr.EndSourceKey.String(string(attr.SourceInferred)))
	}
	if end.outcome == attr.OutcomeOpen && t.state.Waits != "" {
		root.Attributes = append(root.Attributes, attr.WaitingForKey.String(t.state.Waits))
	}
	if end.message != "" {
		root.Status, root.Message = codes.Error, end.message
	}
	named := fmt.Sprintf("revision %d", n)
	for _, ev := range t.events {
		if ev.at.Before(r.begun) || ev.at.After(root.End) || !whole && !strings.Contains(ev.Message+" ", named+" ") && !strings.Contains(ev.Message, named+")") {
			continue
		}
		root.Events = append(root.Events, spans.Event{Name: ev.Reason, Time: ev.at, Attributes: []attribute.KeyValue{
			attr.K8SEventMessageKey.String(ev.Message), attr.K8SEventTypeKey.String(ev.Type),
		}})
	}
	return spans.Trace{Spans: []spans.Span{root}}
}

// because is "ProgressDeadlineExceeded: ReplicaSet web-1 has timed out".
func because(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + message
}
