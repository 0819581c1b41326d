package causality_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
)

// followFrom follows a workload from what there is at observation n on, and says how that ends.
func followFrom(t *testing.T, obs []causality.Observation, n int, target progress.Target, failFast bool) (progress.State, bool) {
	t.Helper()
	var objects []runtime.Object
	for _, o := range existing(obs, n) {
		objects = append(objects, o.Object)
	}
	tracker := progress.New(target, newEngine(causality.Options{}), failFast)
	if err := tracker.Begin(objects, 7*24*time.Hour, obs[n].Time); err != nil {
		return progress.State{}, false // it is of another namespace's name, or updated by hand
	}
	now := obs[n].Time
	if s := tracker.At(now); s.Outcome != progress.Open {
		return s, true
	}
	for _, o := range obs[n:] {
		now = o.Time
		if tracker.Observe(o) {
			break
		}
	}
	return tracker.At(now), true
}

// targetsIn are the workloads that can be followed, with the observations at which each was
// written.
func targetsIn(obs []causality.Observation) map[progress.Target][]int {
	targets := map[progress.Target][]int{}
	for i, o := range obs {
		m, ok := o.Object.(metav1.Object)
		if kind := o.Object.GetObjectKind().GroupVersionKind().Kind; ok && progress.Follows(kind) && o.Type != watch.Deleted {
			target := progress.Target{Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName()}
			targets[target] = append(targets[target], i)
		}
	}
	return targets
}

// TestFollowed follows every workload of all recordings and scenarios from each of its writes on.
// None that completes is called doomed. The rollout that is shown ended as the workload says, or
// nothing more was known of it; and it is the one that a rollspan tells of that saw all.
func TestFollowed(t *testing.T) {
	seen := map[progress.Outcome]int{}
	follow := func(t *testing.T, obs []causality.Observation, check func(s progress.State, at int)) {
		for target, written := range targetsIn(obs) {
			for _, i := range written {
				n := i + 1
				if n >= len(obs) {
					continue
				}
				s, ok := followFrom(t, obs, n, target, true)
				if !ok {
					continue
				}
				seen[s.Outcome]++
				if s.Outcome == progress.Doomed {
					if patient, _ := followFrom(t, obs, n, target, false); patient.Outcome == progress.Complete {
						t.Errorf("%v from observation %d: it completes, and was called doomed: %s", target, n, s.Message)
					}
				}
				if s.Change != nil {
					how := progress.Outcome(attributeOf(*s.Change.Root(), "rollspan.outcome"))
					if how != progress.Open && s.Outcome != progress.Open && how != s.Outcome && s.Outcome != progress.Superseded {
						t.Errorf("%v from observation %d: it is %s, and the rollout that is shown %s:\n%s", target, n, s.Outcome, how, tree(t, []spans.Trace{*s.Change}))
					}
				}
				check(s, n)
			}
		}
	}
	known := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		told := roots(replayWith(causality.Options{}, obs))
		follow(t, obs, func(s progress.State, at int) {
			if s.Change == nil || !s.TraceKnown {
				return
			}
			root := s.Change.Root()
			if w, ok := told[root.SpanID]; !ok || w.TraceID != root.TraceID {
				t.Errorf("from observation %d: %s %s (%s) is told by nobody else", at, root.Name, root.Subject, root.TraceID)
			}
			known++
		})
	})
	for name, obs := range scenarioStreams(t) {
		t.Run(name, func(t *testing.T) { follow(t, obs, func(progress.State, int) {}) })
	}
	for _, outcome := range []progress.Outcome{progress.Open, progress.Complete, progress.Failed, progress.Superseded, progress.Deleted} {
		if seen[outcome] == 0 {
			t.Errorf("none is %s", outcome)
		}
	}
	if known < 100 || seen[progress.Complete] < 500 {
		t.Errorf("%d rollouts were compared, and %d completed, which is hardly a test", known, seen[progress.Complete])
	}
}
