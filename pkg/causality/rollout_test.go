package causality_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

const rolloutRecording = "argo-rollouts-canary-and-blue-green"

// isRollout reports whether an observation is of a Rollout itself.
func isRollout(o causality.Observation) bool {
	return o.Object.GetObjectKind().GroupVersionKind().Kind == "Rollout"
}

// TestRolloutsThatMayNotBeRead leaves the Rollouts out: their ReplicaSets are then
// workloads of their own.
func TestRolloutsThatMayNotBeRead(t *testing.T) {
	var obs []causality.Observation
	for _, o := range load(t, rolloutRecording) {
		if !isRollout(o) {
			obs = append(obs, o)
		}
	}
	traces := replay(obs)
	sound(t, traces)
	sets := map[string]bool{}
	for _, s := range roots(traces) {
		if strings.HasPrefix(s.Name, "Rollout ") {
			t.Errorf("there is a %s of %s", s.Name, s.Subject)
		}
		if s.Name == "ReplicaSet rollout" {
			sets[s.Subject] = true
		}
	}
	if len(sets) != 5 {
		t.Errorf("rollouts of %v, want those of five ReplicaSets", sets)
	}
}

// TestRolloutsSeenLate has the stream of Rollouts begin a while after their ReplicaSets
// were seen, with a list, as where the first one of all names the kind. It gives the same
// changes as if it had been there, and none of ReplicaSets.
func TestRolloutsSeenLate(t *testing.T) {
	all := load(t, rolloutRecording)
	want := roots(replay(all))
	for _, late := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second} {
		begin := all[0].Time.Add(late)
		listed := map[string]causality.Observation{}
		var obs []causality.Observation
		for _, o := range all {
			if begin.After(o.Time) {
				if isRollout(o) {
					listed[identity(o)] = o
					continue
				}
				obs = append(obs, o)
				continue
			}
			for _, found := range listed {
				found.Type, found.Time, found.Initial = watch.Added, begin, true
				obs = append(obs, found)
			}
			clear(listed)
			obs = append(obs, o)
		}
		got := roots(replay(obs))
		for id, s := range want {
			if _, ok := got[id]; !ok {
				t.Errorf("%s late: missing %s %s", late, s.Name, s.Subject)
			}
		}
		for id, s := range got {
			if _, ok := want[id]; !ok {
				t.Errorf("%s late: extra %s %s", late, s.Name, s.Subject)
			}
		}
	}
}
