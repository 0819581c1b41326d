package progress

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// rolloutOf is a Rollout of generation 4 with a spec and a status, as JSON.
func rolloutOf(t *testing.T, spec, status string) *unstructured.Unstructured {
	t.Helper()
	var o map[string]any
	text := `{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": {"name": "web", "namespace": "shop", "uid": "r", "generation": 4, "resourceVersion": "100000"},
		"spec": ` + spec + `, "status": ` + status + `}`
	if err := utiljson.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: o}
}

const (
	canary = `{"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}},
		"strategy": {"canary": {"steps": [{"setWeight": 25}, {"pause": {"duration": "1m"}}, {"pause": {"duration": 90}}, {"pause": {"duration": "90"}},
			{"pause": {}}, {"analysis": {}}, {"pause": {"duration": "soon"}}, "rubbish"]}}}`
	blueGreen = `{"strategy": {"blueGreen": {"autoPromotionSeconds": 30}}}`
	byHand    = `{"strategy": {"blueGreen": {"autoPromotionSeconds": 30, "autoPromotionEnabled": false}}}`
)

// pausedAt is a status that pauses since 12:00 for a reason, at a step.
func pausedAt(step, reason string) string {
	return `{"observedGeneration": "4", "phase": "Paused", "message": "` + reason + `", "controllerPause": true, "currentStepIndex": ` + step + `,
		"pauseConditions": [{"reason": "` + reason + `", "startTime": "2026-03-01T12:00:00Z"}]}`
}

// A Rollout goes as its controller says in its status, where that is of its spec.
func TestJudgeArgoRollout(t *testing.T) {
	for name, test := range map[string]struct{ spec, status, want string }{
		"healthy":                        {canary, `{"observedGeneration": "4", "phase": "Healthy"}`, "complete"},
		"healthy before its spec":        {canary, `{"observedGeneration": "3", "phase": "Healthy"}`, "waits for " + notObserved},
		"degraded before its spec":       {canary, `{"observedGeneration": "3", "phase": "Degraded", "message": "RolloutAborted: x"}`, "waits for " + notObserved},
		"observed by a hash, before 0.9": {canary, `{"observedGeneration": "6fb87c48fd", "phase": "Healthy"}`, "complete"},
		"of a backup, which counted on":  {canary, `{"observedGeneration": "9", "phase": "Healthy"}`, "complete"},
		"no status":                      {canary, `{}`, "waits for " + notObserved},
		"no phase":                       {canary, `{"observedGeneration": "4"}`, "waits for the controller to say how it goes: status.phase is empty"},
		"a phase that nobody knows":      {canary, `{"observedGeneration": "4", "phase": "Musing"}`, "waits for it to be Healthy: it is Musing"},
		"aborted":                        {canary, `{"observedGeneration": "4", "phase": "Degraded", "message": "RolloutAborted: Rollout aborted update to revision 3"}`, "RolloutAborted: Rollout aborted update to revision 3"},
		"late":                           {canary, `{"observedGeneration": "4", "phase": "Degraded", "message": "ProgressDeadlineExceeded: ReplicaSet \"web-1\" has timed out progressing."}`, `ProgressDeadlineExceeded: ReplicaSet "web-1" has timed out progressing.`},
		"a spec that is invalid":         {canary, `{"observedGeneration": "4", "phase": "Degraded", "message": "InvalidSpec: The Rollout \"web\" is invalid: spec.selector: Required value"}`, `InvalidSpec: The Rollout "web" is invalid: spec.selector: Required value`},
		"degraded without a word":        {canary, `{"observedGeneration": "4", "phase": "Degraded"}`, "Degraded: "},
		"degraded, in other words":       {canary, `{"observedGeneration": "4", "phase": "Degraded", "message": "no such thing: x"}`, "Degraded: no such thing: x"},
		"on its way":                     {canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more replicas need to be updated", "currentStepIndex": 0}`, "waits for more replicas need to be updated (step 1 of 8, weight 25)"},
		"in an analysis":                 {canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more", "currentStepIndex": 5}`, "waits for more (step 6 of 8, analysis)"},
		"at a step that is none":         {canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more", "currentStepIndex": 7}`, "waits for more (step 8 of 8)"},
		"behind the last step":           {canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more", "currentStepIndex": 8}`, "waits for more"},
		"before the first step":          {canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more", "currentStepIndex": -9223372036854775808}`, "waits for more"},
		"paused for a time":              {canary, pausedAt("1", pauseOfStep), "waits for its pause to be over, at 2026-03-01T12:01:00Z (step 2 of 8, pause)"},
		"paused for seconds":             {canary, pausedAt("2", pauseOfStep), "waits for its pause to be over, at 2026-03-01T12:01:30Z (step 3 of 8, pause)"},
		"paused for seconds, as text":    {canary, pausedAt("3", pauseOfStep), "waits for its pause to be over, at 2026-03-01T12:01:30Z (step 4 of 8, pause)"},
		"paused for somebody":            {canary, pausedAt("4", pauseOfStep), "waits for somebody to promote or abort it (step 5 of 8, pause)"},
		"paused for nobody knows what":   {canary, pausedAt("6", pauseOfStep), "waits for somebody to promote or abort it (step 7 of 8, pause)"},
		"an analysis was inconclusive":   {canary, pausedAt("5", pauseInconclusiveAnalysis), "waits for somebody to promote or abort it: an analysis was inconclusive (step 6 of 8, analysis)"},
		"paused, and it is new why":      {canary, pausedAt("5", "NewReason"), "waits for it to be resumed: it is paused (NewReason)"},
		"before the switch":              {blueGreen, pausedAt("0", pauseBeforeSwitch), "waits for its pause to be over, at 2026-03-01T12:00:30Z"},
		"before the switch, by hand":     {byHand, pausedAt("0", pauseBeforeSwitch), "waits for somebody to promote or abort it before the blue-green switch"},
		"paused by hand":                 {`{"paused": true}`, `{"observedGeneration": "4", "phase": "Paused", "message": "manually paused"}`, "waits for it to be resumed: it is paused"},
		"promoted a moment ago":          {canary, `{"observedGeneration": "4", "phase": "Paused", "controllerPause": true}`, "waits for the controller to resume it"},
		"nothing is what it should be":   {`{"strategy": {"canary": {"steps": {}}}, "template": "x", "paused": "no"}`, `{"observedGeneration": 4, "phase": ["Healthy"], "pauseConditions": 3, "currentStepIndex": "x"}`, "waits for " + notObserved},
	} {
		t.Run(name, func(t *testing.T) {
			v := judgeArgoRollout(readArgoRollout(rolloutOf(t, test.spec, test.status)))
			got := "waits for " + v.waits + in(v.where)
			switch {
			case v.complete:
				got = "complete"
			case v.reason != "":
				got = v.reason + ": " + v.message
			}
			if got != test.want {
				t.Errorf("it is %q, want %q", got, test.want)
			}
		})
	}
}

// followRollout begins with a Rollout, observes others, and says how it goes then.
func followRollout(t *testing.T, states ...*unstructured.Unstructured) State {
	t.Helper()
	tracker := New(Target{Kind: kindRollout, Namespace: "shop", Name: "web"}, causality.New(causality.Options{}), false)
	if err := tracker.Begin([]runtime.Object{states[0]}, time.Hour, begin); err != nil {
		t.Fatal(err)
	}
	for i, o := range states[1:] {
		tracker.Observe(causality.Observation{Time: begin.Add(time.Duration(i) * time.Second), Type: watch.Modified, Object: o})
	}
	return tracker.At(begin.Add(time.Minute))
}

// Another template supersedes a rollout. Where another workload has it, its hash tells; one that is
// not observed yet tells nothing.
func TestArgoRolloutSuperseded(t *testing.T) {
	goesOn := `{"observedGeneration": "4", "phase": "Progressing", "message": "more", "currentPodHash": "a"}`
	byRef := func(observed, hash string) *unstructured.Unstructured {
		o := rolloutOf(t, `{"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}`,
			`{"observedGeneration": "4", "workloadObservedGeneration": "`+observed+`", "phase": "Progressing", "currentPodHash": "`+hash+`"}`)
		o.SetAnnotations(map[string]string{workloadGenerationAnnotation: "7"})
		return o
	}
	for name, test := range map[string]struct {
		states []*unstructured.Unstructured
		want   Outcome
	}{
		"the same, with a default": {[]*unstructured.Unstructured{rolloutOf(t, canary, goesOn), rolloutOf(t, strings.Replace(canary, `"web:1"`, `"web:1", "resources": {}`, 1), goesOn)}, Open},
		"another":                  {[]*unstructured.Unstructured{rolloutOf(t, canary, goesOn), rolloutOf(t, strings.Replace(canary, "web:1", "web:2", 1), goesOn)}, Superseded},
		"another workload's":       {[]*unstructured.Unstructured{byRef("7", "a"), byRef("7", "b")}, Superseded},
		"another workload's, late": {[]*unstructured.Unstructured{byRef("6", "a"), byRef("7", "b")}, Open},
		"another workload's, same": {[]*unstructured.Unstructured{byRef("7", "a"), byRef("7", "a")}, Open},
	} {
		if s := followRollout(t, test.states...); s.Outcome != test.want {
			t.Errorf("%s: it is %s (%s)", name, s.Outcome, s.Message)
		}
	}
	gone := rolloutOf(t, canary, goesOn)
	gone.SetDeletionTimestamp(&metav1.Time{Time: begin})
	if s := followRollout(t, rolloutOf(t, canary, goesOn), gone); s.Outcome != Deleted {
		t.Errorf("one that is being deleted is %s", s.Outcome)
	}
}

// One that went back to the stable template has status.stableRS from its begin on. Whether it is over tells
// the condition Healthy alone, by when it changed last; what that does not prove is not told.
func TestToldRollbackGoesByHealthy(t *testing.T) {
	condition := func(status, at string) string {
		return `{"type": "Healthy", "status": "` + status + `", "lastTransitionTime": "` + at + `"}`
	}
	for name, test := range map[string]struct{ conditions, want string }{
		"not healthy since before it":       {condition("False", "2026-03-01T11:58:00Z"), "open until 12:01:00"},
		"not healthy since its second":      {condition("False", "2026-03-01T12:00:00Z"), ""},
		"not healthy since a time after it": {condition("False", "2026-03-01T12:00:40Z"), "complete at most until 12:01:00"},
		"healthy since before it":           {condition("True", "2026-03-01T11:58:00Z"), "complete at most until 12:01:00"},
		"healthy since its second":          {condition("True", "2026-03-01T12:00:00Z"), "complete at most until 12:01:00"},
		"healthy since a time after it":     {condition("True", "2026-03-01T12:00:40Z"), "complete at most until 12:00:40"},
		"it is unknown since before it":     {condition("Unknown", "2026-03-01T11:58:00Z"), ""},
		"nobody knows since when":           {condition("True", "soon"), ""},
		"no word of it":                     {"", "open until 12:01:00"},
	} {
		t.Run(name, func(t *testing.T) {
			back := rolloutOf(t, canary, `{"observedGeneration": "4", "phase": "Progressing", "message": "more",
				"currentPodHash": "a", "stableRS": "a", "conditions": [`+test.conditions+`]}`)
			back.SetAnnotations(map[string]string{rolloutRevisionAnnotation: "3"})
			back.SetCreationTimestamp(metav1.NewTime(begin.Add(-time.Hour)))
			said := &corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{Name: "web.1", Namespace: "shop", UID: "e", CreationTimestamp: metav1.NewTime(begin)},
				InvolvedObject: corev1.ObjectReference{APIVersion: "argoproj.io/v1alpha1", Kind: kindRollout, Namespace: "shop", Name: "web", UID: "r"},
				Reason:         "RolloutUpdated", Message: "Rollout updated to revision 3", Type: corev1.EventTypeNormal, Count: 1,
				FirstTimestamp: metav1.NewTime(begin), LastTimestamp: metav1.NewTime(begin),
			}
			s := followRollout(t, back)
			got := ""
			for _, told := range ToldRollouts(&s, []runtime.Object{back, said}, time.Hour) {
				root := told.Root()
				got += root.Text(attr.OutcomeKey)
				if text.EndsAtMost(root) {
					got += " at most"
				}
				got += " until " + root.End.Format(time.TimeOnly)
			}
			if got != test.want {
				t.Errorf("it is told as %q, want %q", got, test.want)
			}
		})
	}
}

// With --fail-fast a canary is doomed by its own pods, and not by those of the template before.
func TestArgoRolloutDoomed(t *testing.T) {
	set := func(uid types.UID, hash string) runtime.Object {
		o := replicaSet(uid, "web:1")
		o.OwnerReferences, o.Labels = owned(kindRollout, "web", "r"), map[string]string{rolloutHashLabel: hash}
		return o
	}
	lost := func(of types.UID) runtime.Object { return pod(of, waiting(waitsInvalidImageName, "no")) }
	for name, test := range map[string]struct {
		pod  runtime.Object
		want Outcome
	}{"of the canary": {lost("new"), Doomed}, "of the stable ones": {lost("old"), Open}} {
		tracker := New(Target{Kind: kindRollout, Namespace: "shop", Name: "web"}, causality.New(causality.Options{}), true)
		o := rolloutOf(t, canary, `{"observedGeneration": "4", "phase": "Progressing", "currentPodHash": "b"}`)
		if err := tracker.Begin([]runtime.Object{o, set("old", "a"), set("new", "b"), test.pod}, time.Hour, begin); err != nil {
			t.Fatal(err)
		}
		if s := tracker.At(begin); s.Outcome != test.want {
			t.Errorf("a pod %s: it is %s", name, s.Outcome)
		}
	}
}

// What somebody calls a Rollout is one of Argo Rollouts only in its group.
func TestAnotherGroupsRollout(t *testing.T) {
	o := rolloutOf(t, canary, `{"observedGeneration": "4", "phase": "Healthy"}`)
	o.SetAPIVersion("rollouts.kruise.io/v1alpha1")
	tracker := New(Target{Kind: kindRollout, Namespace: "shop", Name: "web"}, causality.New(causality.Options{}), true)
	if err := tracker.Begin([]runtime.Object{o}, time.Hour, begin); !errors.Is(err, ErrNotThere) {
		t.Errorf("it begins with %v", err)
	}
}

// Events of pulls are counted by pod, however many there are.
func TestPullsAreCountedByPod(t *testing.T) {
	d := newDoom(target)
	p := pod("new", waiting(waitsErrImagePull, "")).DeepCopy()
	d.observe(causality.Observation{Type: watch.Added, Object: p})
	event := pulled("new", 2, notFound)
	event.InvolvedObject.UID = p.UID
	for _, step := range []struct {
		typ   watch.EventType
		count int32
		lost  bool
	}{{watch.Added, 2, false}, {watch.Modified, 3, true}, {watch.Deleted, 3, false}, {watch.Added, 1 << 30, true}} {
		e := event.DeepCopy()
		e.Count = step.count
		d.observe(causality.Observation{Type: step.typ, Object: e})
		if lost := len(d.lost) > 0; lost != step.lost {
			t.Errorf("after %s of %d pulls it is lost: %v", step.typ, step.count, lost)
		}
	}
	d.observe(causality.Observation{Type: watch.Deleted, Object: p})
	if len(d.lost) != 0 {
		t.Error("a pod that is gone is lost")
	}
}
