package causality_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// The laws hold for what the engine makes of any recording. They look at the
// raw stream on one side and at the spans on the other, and know nothing of
// the engine.

func TestLawEveryTraceHasOneRoot(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		roots := map[trace.TraceID]int{}
		joined := map[trace.TraceID]bool{}
		for _, s := range allSpans(replay(obs)) {
			if isRoot(s) {
				roots[s.TraceID]++
				joined[s.TraceID] = s.ParentID.IsValid()
			} else {
				roots[s.TraceID] += 0
			}
		}
		for id, n := range roots {
			if n != 1 && !joined[id] {
				t.Errorf("trace %s has %d roots", id, n)
			}
		}
	})
}

// isRoot reports whether a span is a change itself. Its parent, if it has one, is
// the span of who deployed it.
func isRoot(s spans.Span) bool {
	_, ok := s.Attribute("rollspan.change")
	return ok
}

func TestLawSpanIDsAreUnique(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		seen := map[trace.SpanID]string{}
		for _, s := range allSpans(replay(obs)) {
			if other, dup := seen[s.SpanID]; dup {
				t.Errorf("%s %s has the ID of %s", s.Name, s.Subject, other)
			}
			seen[s.SpanID] = s.Name + " " + s.Subject
		}
	})
}

func TestLawNoEndBeforeStartAndNoChildBeforeItsCause(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		all := allSpans(replay(obs))
		byID := map[trace.SpanID]spans.Span{}
		for _, s := range all {
			byID[s.SpanID] = s
		}
		for _, s := range all {
			if s.End.Before(s.Start) {
				t.Errorf("%s %s ends %s before it starts", s.Name, s.Subject, s.Start.Sub(s.End))
			}
			if isRoot(s) {
				continue
			}
			parent, ok := byID[s.ParentID]
			if !ok {
				t.Errorf("%s %s has a parent that was not handed out", s.Name, s.Subject)
			} else if s.Start.Before(parent.Start) {
				t.Errorf("%s %s starts %s before its parent %s", s.Name, s.Subject, parent.Start.Sub(s.Start), parent.Name)
			}
		}
	})
}

// podFacts is what the raw stream says of a pod of a Deployment.
type podFacts struct {
	name    string
	created time.Time
	ready   time.Time // first Ready=True; zero if never
}

// deploymentPods reads the pods that ReplicaSets of Deployments own.
func deploymentPods(obs []causality.Observation) map[types.UID]*podFacts {
	replicaSets := map[types.UID]bool{}
	for _, o := range obs {
		if rs, ok := o.Object.(*appsv1.ReplicaSet); ok {
			if ref := metav1.GetControllerOf(rs); ref != nil && ref.Kind == "Deployment" {
				replicaSets[rs.UID] = true
			}
		}
	}
	pods := map[types.UID]*podFacts{}
	for _, o := range obs {
		p, ok := o.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		ref := metav1.GetControllerOf(p)
		if ref == nil || !replicaSets[ref.UID] {
			continue
		}
		f := pods[p.UID]
		if f == nil {
			f = &podFacts{name: p.Name, created: p.CreationTimestamp.Time}
			pods[p.UID] = f
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && f.ready.IsZero() {
				f.ready = c.LastTransitionTime.Time
			}
		}
	}
	return pods
}

func TestLawEveryReadyPodHasOneStart(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		starts := map[string][]spans.Span{}
		for _, s := range allSpans(replay(obs)) {
			if s.Name == "Pod start" {
				uid := value(s, semconv.K8SPodUIDKey).AsString()
				starts[uid] = append(starts[uid], s)
			}
		}
		for uid, p := range deploymentPods(obs) {
			if p.ready.IsZero() {
				continue
			}
			if n := len(starts[string(uid)]); n != 1 {
				t.Errorf("pod %s became Ready and has %d starts", p.name, n)
				continue
			}
			s := starts[string(uid)][0]
			if !sameSecond(s.Start, p.created) {
				t.Errorf("pod %s was created at %s, its start begins at %s", p.name, p.created, s.Start)
			}
			if !sameSecond(s.End, p.ready) {
				t.Errorf("pod %s was Ready at %s, its start ends at %s", p.name, p.ready, s.End)
			}
		}
	})
}

func sameSecond(t, second time.Time) bool {
	return t.Truncate(time.Second).Equal(second.Truncate(time.Second))
}

func TestLawPullsTakeWhatTheKubeletSays(t *testing.T) {
	checked := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		checked += pullsAgree(t, obs)
		// The spam filter eats Events; the kubelet's figure alone must do.
		pullsAgree(t, slices.DeleteFunc(slices.Clone(obs), func(o causality.Observation) bool {
			ev, ok := o.Object.(*corev1.Event)
			return ok && ev.Reason == "Pulling"
		}))
	})
	if checked == 0 {
		t.Error("no recording has a pull: the law was not put to the test")
	}
}

// pullsAgree compares each pull's span with the kubelet's own figure, and
// returns how many there were.
func pullsAgree(t *testing.T, obs []causality.Observation) (checked int) {
	pulls := map[string][]time.Duration{}
	for _, s := range allSpans(replay(obs)) {
		if s.Name == "pull image" && s.Status != codes.Error {
			key := value(s, semconv.K8SPodUIDKey).AsString() + "/" + value(s, semconv.K8SContainerNameKey).AsString()
			pulls[key] = append(pulls[key], s.End.Sub(s.Start))
		}
	}
	pods := deploymentPods(obs)
	for _, o := range obs {
		ev, ok := o.Object.(*corev1.Event)
		if !ok || ev.Reason != "Pulled" || pods[ev.InvolvedObject.UID] == nil || o.Type != watch.Added {
			continue
		}
		var image, alone, waiting string
		if n, _ := fmt.Sscanf(ev.Message, "Successfully pulled image %q in %s (%s including waiting).", &image, &alone, &waiting); n != 3 {
			continue
		}
		want, err := time.ParseDuration(waiting)
		if err != nil {
			t.Fatalf("%q: %v", ev.Message, err)
		}
		container := ev.InvolvedObject.FieldPath[len("spec.containers{") : len(ev.InvolvedObject.FieldPath)-1]
		got := pulls[string(ev.InvolvedObject.UID)+"/"+container]
		if len(got) != 1 {
			t.Errorf("pod %s container %s pulled once and has %d pulls", ev.InvolvedObject.Name, container, len(got))
			continue
		}
		checked++
		off := math.Abs((got[0] - want).Seconds())
		if off > 0.06 && off > 0.03*want.Seconds() {
			t.Errorf("pod %s: pulling took %s, the kubelet says %s", ev.InvolvedObject.Name, got[0], want)
		}
	}
	return checked
}

func TestLawPhasesTileThePodStart(t *testing.T) {
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		all := allSpans(replay(obs))
		for _, root := range all {
			if root.Name != "Pod start" {
				continue
			}
			var phases []spans.Span
			for _, s := range all {
				if s.ParentID == root.SpanID && s.Name != "late events" {
					phases = append(phases, s)
				}
			}
			slices.SortFunc(phases, func(a, b spans.Span) int { return a.Start.Compare(b.Start) })
			covered, overlap := time.Duration(0), time.Duration(0)
			at := root.Start
			for i, s := range phases {
				if value(s, "rollspan.sidecar").AsBool() && i+1 < len(phases) && phases[i+1].Start.Before(s.End) {
					s.End = phases[i+1].Start // it was started again beside what came next
				}
				if s.End.After(root.End) {
					t.Errorf("%s %s ends after the start it is part of", s.Name, s.Subject)
				}
				if s.Start.Before(at) && s.Name != "container" {
					overlap += at.Sub(s.Start)
				}
				if s.End.After(at) {
					covered += s.End.Sub(later(at, s.Start))
					at = s.End
				}
			}
			if whole := root.End.Sub(root.Start); covered < whole*97/100 {
				t.Errorf("the phases of %s cover %s of %s", root.Subject, covered, whole)
			}
			if overlap > 0 {
				t.Errorf("the phases of %s overlap by %s", root.Subject, overlap)
			}
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// revisionFacts is what kubectl rollout status would have said of a revision,
// and when the stream first said so.
type revisionFacts struct {
	outcome string
	at      time.Time
}

// revisions reads each revision's fate from the states of its Deployment.
func revisions(obs []causality.Observation) map[string]*revisionFacts {
	facts := map[string]*revisionFacts{}
	current := map[types.UID]string{}
	for _, o := range obs {
		d, ok := o.Object.(*appsv1.Deployment)
		if !ok {
			continue
		}
		key := current[d.UID]
		if rev := d.Annotations["deployment.kubernetes.io/revision"]; rev != "" {
			next := string(d.UID) + "/" + rev
			if f := facts[key]; key != next && f != nil && f.outcome == "" {
				f.outcome, f.at = "superseded", o.Time
			}
			key = next
			current[d.UID] = key
		}
		if key == "" {
			continue
		}
		f := facts[key]
		if f == nil {
			f = &revisionFacts{}
			facts[key] = f
		}
		if f.outcome != "" {
			continue
		}
		st := d.Status
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		switch {
		case o.Type == watch.Deleted:
			f.outcome, f.at = "deleted", o.Time
		case st.ObservedGeneration < d.Generation:
		case failedDeadline(d):
			f.outcome, f.at = "failed", o.Time
		case st.UpdatedReplicas >= want && st.Replicas == st.UpdatedReplicas && st.AvailableReplicas == st.UpdatedReplicas:
			f.outcome, f.at = "complete", o.Time
		}
	}
	return facts
}

func failedDeadline(d *appsv1.Deployment) bool {
	return slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ProgressDeadlineExceeded"
	})
}

func TestLawEveryRevisionHasOneRolloutWithItsOutcome(t *testing.T) {
	const seconds = 3 * time.Second
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		rollouts := map[string][]spans.Span{}
		for _, s := range allSpans(replay(obs)) {
			if s.Name == "Deployment rollout" {
				key := value(s, semconv.K8SDeploymentUIDKey).AsString() + "/" + strconv.FormatInt(value(s, "rollspan.revision").AsInt64(), 10)
				rollouts[key] = append(rollouts[key], s)
			}
		}
		facts := revisions(obs)
		for key, f := range facts {
			if n := len(rollouts[key]); n != 1 {
				t.Errorf("revision %s has %d rollouts", key, n)
				continue
			}
			s := rollouts[key][0]
			if got := value(s, "rollspan.outcome").AsString(); got != f.outcome {
				t.Errorf("revision %s: outcome %s, kubectl says %s", key, got, f.outcome)
			}
			if off := s.End.Sub(f.at).Abs(); off > seconds {
				t.Errorf("revision %s ended at %s, its rollout at %s", key, f.at, s.End)
			}
			if (s.Status == codes.Error) != (f.outcome == "failed") {
				t.Errorf("revision %s %s has status %s", key, f.outcome, s.Status)
			}
		}
		if len(rollouts) != len(facts) {
			t.Errorf("%d revisions, %d rollouts", len(facts), len(rollouts))
		}
	})
}

// said is all that a span says, of its object and of what happened.
func said(s spans.Span) []attribute.KeyValue { return slices.Concat(s.Resource, s.Attributes) }

// textOf is the text that a list of attributes has for a key; empty if it has none.
func textOf(list []attribute.KeyValue, key attribute.Key) string {
	return valueOf(list, key).AsString()
}

func valueOf(list []attribute.KeyValue, key attribute.Key) (v attribute.Value) {
	for _, kv := range list {
		if kv.Key == key {
			return kv.Value
		}
	}
	return v
}

func value(s spans.Span, key attribute.Key) attribute.Value {
	v, _ := s.Attribute(key)
	return v
}
