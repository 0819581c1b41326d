package progress

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rollspan/rollspan/pkg/causality"
)

// kindRollout is that of Argo Rollouts (github.com/argoproj/argo-rollouts), of which there is no
// Go type here: what is read of it is below, and follows version 1.9.
const kindRollout = "Rollout"

// rolloutGroup is the API group of a Rollout.
const rolloutGroup = "argoproj.io"

// Labels and annotations of Argo Rollouts.
const (
	// rolloutHashLabel says of a ReplicaSet of which template of its Rollout it is.
	rolloutHashLabel = "rollouts-pod-template-hash"
	// workloadGenerationAnnotation is the generation of the workload that has the template.
	workloadGenerationAnnotation = "rollout.argoproj.io/workload-generation"
	// rolloutRevisionAnnotation is the revision of a Rollout or a ReplicaSet of it, and
	// rolloutHistoryAnnotation has those that the ReplicaSet was before (utils/annotations).
	rolloutRevisionAnnotation = "rollout.argoproj.io/revision"
	rolloutHistoryAnnotation  = "rollout.argoproj.io/revision-history"
)

// The phases and the reasons for a pause (pkg/apis/rollouts/v1alpha1/types.go).
const (
	phaseHealthy  = "Healthy"
	phaseDegraded = "Degraded"
	phasePaused   = "Paused"

	pauseOfStep                 = "CanaryPauseStep"
	pauseBeforeSwitch           = "BlueGreenPause"
	pauseInconclusiveAnalysis   = "InconclusiveAnalysisRun"
	pauseInconclusiveExperiment = "InconclusiveExperiment"
)

const (
	notPromoted = "somebody to promote or abort it"
	// mostMessage bounds what the controller says, which has the messages of others in it.
	mostMessage = 1024
)

// argoRollout is a Rollout, as far as it says how its rollout goes. The engine reads only its
// metadata, and reads the rest off its ReplicaSets.
type argoRollout struct {
	metav1.PartialObjectMetadata

	// template is nil where it is another workload's.
	template *corev1.PodTemplateSpec
	paused   bool
	// steps are those of a canary, of which step is the one at hand: 0 is the first.
	steps []any
	step  int64
	// promotedAfter is how long a blue-green update waits for somebody to promote it; 0 for as
	// long as it takes.
	promotedAfter time.Duration

	phase, message string
	// observed and observedWorkload are the generations that the controller has seen.
	observed, observedWorkload string
	controllerPause            bool
	pauses                     []any
	// hash is of the template that the controller has seen last, and stable of that which was promoted
	// last.
	hash, stable string
	// abortedAt is when the controller has given the rollout up, as it is written.
	abortedAt  string
	conditions []any
}

// condition is the status of one of its conditions, and since when that is; both are empty if it has none
// of the type.
func (r *argoRollout) condition(of string) (metav1.ConditionStatus, time.Time) {
	for _, one := range r.conditions {
		c, ok := one.(map[string]any)
		if !ok {
			continue
		}
		if name, _, _ := unstructured.NestedString(c, "type"); name != of {
			continue
		}
		status, _, _ := unstructured.NestedString(c, "status")
		text, _, _ := unstructured.NestedString(c, "lastTransitionTime")
		at, _ := time.Parse(time.RFC3339, text)
		return cmp.Or(metav1.ConditionStatus(status), metav1.ConditionUnknown), at
	}
	return "", time.Time{}
}

// isArgoRollout reports whether an object is one, whatever it is decoded into.
func isArgoRollout(k schema.GroupVersionKind) bool {
	return k.Kind == kindRollout && k.Group == rolloutGroup
}

// seenAs is an object as it is judged here, and as the engine takes it: of a Rollout that is its
// metadata.
func seenAs(o runtime.Object) (here, engine runtime.Object) {
	if o == nil || !isArgoRollout(o.GetObjectKind().GroupVersionKind()) {
		return o, o
	}
	switch in := o.(type) {
	case *unstructured.Unstructured:
		r := readArgoRollout(in)
		return r, &r.PartialObjectMetadata
	case *metav1.PartialObjectMetadata:
		return &argoRollout{PartialObjectMetadata: *in}, in
	}
	return o, o
}

// readArgoRollout reads what is there, and passes over what is not as it should be.
func readArgoRollout(in *unstructured.Unstructured) *argoRollout {
	r := &argoRollout{}
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	metadata, _, _ := unstructured.NestedMap(in.Object, "metadata")
	if err := convert(map[string]any{"metadata": metadata}, &r.PartialObjectMetadata); err != nil {
		r.ObjectMeta = metav1.ObjectMeta{
			Namespace: in.GetNamespace(), Name: in.GetName(), UID: in.GetUID(), ResourceVersion: in.GetResourceVersion(),
			Generation: in.GetGeneration(), CreationTimestamp: in.GetCreationTimestamp(), DeletionTimestamp: in.GetDeletionTimestamp(),
		}
	}
	r.SetGroupVersionKind(in.GroupVersionKind())
	// As a live run reads it, which asks who wrote the spec.
	maps.DeleteFunc(r.Annotations, func(key, _ string) bool { return causality.IsCopy(key) })
	r.ManagedFields = ofSpec(r.ManagedFields)

	if template, found, _ := unstructured.NestedMap(in.Object, "spec", "template"); found {
		typed := &corev1.PodTemplateSpec{}
		if convert(template, typed) == nil {
			r.template = typed
		}
	}
	if _, byRef, _ := unstructured.NestedMap(in.Object, "spec", "workloadRef"); byRef {
		r.template = nil
	}
	r.paused, _, _ = unstructured.NestedBool(in.Object, strings.Split("spec.paused", ".")...)
	r.steps, _, _ = unstructured.NestedSlice(in.Object, "spec", "strategy", "canary", "steps")
	seconds, _, _ := unstructured.NestedInt64(in.Object, "spec", "strategy", "blueGreen", "autoPromotionSeconds")
	if by, said, _ := unstructured.NestedBool(in.Object, "spec", "strategy", "blueGreen", "autoPromotionEnabled"); by || !said {
		r.promotedAfter = secondsOf(seconds)
	}

	r.phase, _, _ = unstructured.NestedString(in.Object, "status", "phase")
	r.message, _, _ = unstructured.NestedString(in.Object, "status", "message")
	r.message = strings.ToValidUTF8(r.message[:min(len(r.message), mostMessage)], "")
	r.observed, _, _ = unstructured.NestedString(in.Object, "status", "observedGeneration")
	r.observedWorkload, _, _ = unstructured.NestedString(in.Object, "status", "workloadObservedGeneration")
	r.controllerPause, _, _ = unstructured.NestedBool(in.Object, "status", "controllerPause")
	r.pauses, _, _ = unstructured.NestedSlice(in.Object, "status", "pauseConditions")
	r.hash, _, _ = unstructured.NestedString(in.Object, "status", "currentPodHash")
	r.stable, _, _ = unstructured.NestedString(in.Object, "status", "stableRS")
	r.abortedAt, _, _ = unstructured.NestedString(in.Object, "status", "abortedAt")
	r.conditions, _, _ = unstructured.NestedSlice(in.Object, "status", "conditions")
	r.step = -1
	if step, found, err := unstructured.NestedInt64(in.Object, "status", "currentStepIndex"); found && err == nil {
		r.step = step
	}
	return r
}

// ofSpec are the entries of those who wrote the spec.
func ofSpec(fields []metav1.ManagedFieldsEntry) (kept []metav1.ManagedFieldsEntry) {
	for i := range fields {
		if fields[i].Subresource != "status" {
			kept = append(kept, fields[i])
		}
	}
	return kept
}

// secondsOf is so many seconds, none where that is no time to wait.
func secondsOf(n int64) time.Duration {
	if n <= 0 || n > math.MaxInt32 { // as the API has it
		return 0
	}
	return time.Duration(n) * time.Second
}

// isObserved reports whether the controller has seen the spec, and the workload that has the
// template (isGenerationObserved and isWorkloadGenerationObserved in utils/rollout/rolloututil.go,
// which find that what is no number is of a controller before 0.10).
func (r *argoRollout) isObserved() bool {
	if n, err := strconv.ParseInt(r.observed, 10, 64); err == nil && n < r.Generation {
		return false
	}
	if r.template != nil {
		return true
	}
	wanted, err := strconv.ParseInt(r.Annotations[workloadGenerationAnnotation], 10, 64)
	seen, unseen := strconv.ParseInt(r.observedWorkload, 10, 64)
	return err != nil || unseen != nil || seen == wanted
}

// judgeArgoRollout decides as kubectl argo rollouts status does: by what the controller calls the
// phase (GetRolloutPhase in utils/rollout/rolloututil.go), where it has seen the spec.
func judgeArgoRollout(r *argoRollout) verdict {
	switch {
	case !r.isObserved():
		return waitsFor(notObserved)
	case r.controllerPause && len(r.pauses) == 0:
		return waitsFor("the controller to resume it").surely()
	}
	switch r.phase {
	case phaseHealthy:
		return verdict{complete: true}
	case phaseDegraded:
		return r.degraded()
	case phasePaused:
		return verdict{waits: r.pausedBy()}.surely()
	case "":
		if r.observed == "" {
			return waitsFor(notObserved)
		}
		return waitsFor("the controller to say how it goes: status.phase is empty")
	}
	waits := r.message
	if waits == "" {
		waits = "it to be Healthy: it is " + r.phase
	}
	return verdict{waits: waits, where: r.where()}
}

// degraded says why it has failed: the controller writes "RolloutAborted: Rollout aborted update
// to revision 3".
func (r *argoRollout) degraded() verdict {
	reason, message, found := strings.Cut(r.message, ": ")
	if !found || reason == "" || strings.ContainsFunc(reason, func(c rune) bool { return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') }) {
		reason, message = phaseDegraded, r.message
	}
	return verdict{reason: reason, message: message}
}

// pausedBy says what a pause waits for: a person, or a time.
func (r *argoRollout) pausedBy() string {
	if r.paused {
		return "it to be resumed: it is paused"
	}
	var reason string
	var since time.Time
	if len(r.pauses) > 0 {
		if pause, ok := r.pauses[0].(map[string]any); ok {
			reason, _, _ = unstructured.NestedString(pause, "reason")
			at, _, _ := unstructured.NestedString(pause, "startTime")
			since, _ = time.Parse(time.RFC3339, at)
		}
	}
	switch reason {
	case pauseOfStep:
		return whenever(notPromoted, since, r.pauseOf(r.step)) + in(r.where())
	case pauseBeforeSwitch:
		return whenever(notPromoted+" before the blue-green switch", since, r.promotedAfter)
	case pauseInconclusiveAnalysis:
		return notPromoted + ": an analysis was inconclusive" + in(r.where())
	case pauseInconclusiveExperiment:
		return notPromoted + ": an experiment was inconclusive" + in(r.where())
	case "":
		reason = r.message
	}
	return "it to be resumed: it is paused" + in(reason)
}

// whenever is what a pause waits for that is over after some time, or when somebody says so.
func whenever(somebody string, since time.Time, after time.Duration) string {
	if after == 0 || since.IsZero() {
		return somebody
	}
	return "its pause to be over, at " + since.Add(after).UTC().Format(time.RFC3339)
}

// in is text in parentheses, if there is any.
func in(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// where is the step of a canary that it is at: "step 2 of 4, pause".
func (r *argoRollout) where() string {
	n := int64(len(r.steps))
	if r.step < 0 || r.step >= n {
		return ""
	}
	step := fmt.Sprintf("step %d of %d", r.step+1, n)
	in, ok := r.steps[r.step].(map[string]any)
	if !ok {
		return step
	}
	if weight, found, _ := unstructured.NestedInt64(in, "setWeight"); found {
		return fmt.Sprintf("%s, weight %d", step, weight)
	}
	for _, what := range []string{"pause", "analysis", "experiment", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "plugin"} {
		if _, found := in[what]; found {
			return step + ", " + what
		}
	}
	return step
}

// pauseOf is how long a pause step takes, 0 for as long as it takes: a number of seconds, as a
// number or as text, or a duration (RolloutPause.DurationSeconds).
func (r *argoRollout) pauseOf(step int64) time.Duration {
	if step < 0 || step >= int64(len(r.steps)) {
		return 0
	}
	in, ok := r.steps[step].(map[string]any)
	if !ok {
		return 0
	}
	value, _, _ := unstructured.NestedFieldNoCopy(in, "pause", "duration")
	switch v := value.(type) {
	case int64:
		return secondsOf(v)
	case string:
		if n, err := strconv.ParseInt(v, 10, 32); err == nil {
			return secondsOf(n)
		}
		if d, err := time.ParseDuration(v); err == nil {
			return secondsOf(int64(d / time.Second))
		}
	}
	return 0
}
