package causality_test

import (
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// TestSnapshotsAtAnyTime takes snapshots all along every recording and holds
// what they prove against the whole recording: every change that is told
// happened, began when it says, and ended as it says, or else is said to be open
// or to have been followed by the next.
func TestSnapshotsAtAnyTime(t *testing.T) {
	const drawnSnapshots = 25
	changes := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		watched := roots(replay(obs)) // where it may be in another trace: the deployer's
		ofRollouts := setsOfRollouts(obs)
		begin := obs[0].Time
		step := obs[len(obs)-1].Time.Sub(begin) / drawnSnapshots
		for i := 1; i <= drawnSnapshots; i++ {
			at := begin.Add(time.Duration(i) * step)
			for _, tr := range replayHistory(snapshots.Reconstruct(snapshotAt(obs, at), 24*time.Hour, at)) {
				root := tr.Root()
				if tr.Late || attributeOf(*root, "rollspan.change") == "activity" {
					continue // what the Events of things that are gone belonged to, they do not say
				}
				if attributeOf(*root, "rollspan.outcome") == "open" && at.Sub(root.Start) < snapshotSlack {
					continue // its controller may not have numbered it yet, and the number is in the ID
				}
				if ofRollouts[attributeOf(*root, "k8s.replicaset.uid")] {
					continue // in a snapshot the ReplicaSets of a Rollout stand for themselves
				}
				changes++
				seen, ok := watched[root.SpanID]
				if !ok {
					t.Errorf("snapshot of %s: there was no %s of %s, revision %q, at %s",
						at, root.Name, root.Subject, attributeOf(*root, "rollspan.revision"), root.Start)
					continue
				}
				holdChange(t, at, *root, seen)
			}
		}
	})
	if changes == 0 {
		t.Error("no snapshot told of any change")
	}
}

// setsOfRollouts are the UIDs of the ReplicaSets that Argo Rollouts own.
func setsOfRollouts(obs []causality.Observation) map[string]bool {
	out := map[string]bool{}
	for _, o := range obs {
		if set, ok := o.Object.(*appsv1.ReplicaSet); ok {
			if c := metav1.GetControllerOfNoCopy(set); c != nil && c.Kind == "Rollout" {
				out[string(set.UID)] = true
			}
		}
	}
	return out
}

// holdChange compares a change that a snapshot tells of with what a watcher saw.
func holdChange(t *testing.T, at time.Time, told, seen spans.Span) {
	t.Helper()
	if d := told.Start.Sub(seen.Start).Abs(); d > snapshotSlack {
		t.Errorf("snapshot of %s: %s of %s begins %s off", at, told.Name, told.Subject, d)
	}
	got, want := attributeOf(told, "rollspan.outcome"), attributeOf(seen, "rollspan.outcome")
	switch {
	case got == want:
		if d := told.End.Sub(seen.End).Abs(); d > max(snapshotSlack, precision(told, "end")) && got != "open" {
			t.Errorf("snapshot of %s: %s of %s ends %s off", at, told.Name, told.Subject, d)
		}
	case got == "open":
		if seen.End.Before(at.Add(-2 * snapshotSlack)) {
			t.Errorf("snapshot of %s: %s of %s is open, but it was %s at %s", at, told.Name, told.Subject, want, seen.End)
		}
	case got == "superseded": // how it ended before that is not proven
	case got == "complete" && want == "failed": // it recovered, and nothing is left of the failure
	default:
		t.Errorf("snapshot of %s: %s of %s is %s, want %s", at, told.Name, told.Subject, got, want)
	}
}

// TestSnapshotsInPart leaves one kind after another out of snapshots, as whoever
// took them may not have been allowed to read it: what is left must still give
// spans of the time before the snapshot.
func TestSnapshotsInPart(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		at := obs[len(obs)/2].Time
		whole := snapshotAt(obs, at)
		kinds := map[string]bool{}
		for _, o := range whole {
			kinds[o.GetObjectKind().GroupVersionKind().Kind] = true
		}
		for kind := range kinds {
			part := slices.DeleteFunc(slices.Clone(whole), func(o runtime.Object) bool {
				return o.GetObjectKind().GroupVersionKind().Kind == kind
			})
			h := snapshots.Reconstruct(part, 24*time.Hour, at)
			for _, s := range allSpans(replayHistory(h)) {
				if s.End.Before(s.Start) || s.End.After(h.End) {
					t.Errorf("without %s: %s of %s is from %s to %s, the snapshot of %s", kind, s.Name, s.Subject, s.Start, s.End, h.End)
				}
			}
		}
	})
}
