package causality_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
)

// TestSnapshotsSayNothingOfUnknownPods takes snapshots when the Events have
// expired: of a rollout that another one followed there are neither pods nor Events
// then. It had gone well, and nothing may say that it waited for pods in vain.
func TestSnapshotsSayNothingOfUnknownPods(t *testing.T) {
	unknown := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		watched := roots(replay(obs))
		end := obs[len(obs)-1].Time
		objects := slices.DeleteFunc(snapshotAt(obs, end), func(o runtime.Object) bool {
			_, event := o.(*corev1.Event)
			return event
		})
		for _, tr := range replayHistory(snapshots.Reconstruct(objects, 24*time.Hour, end)) {
			root := *tr.Root()
			seen, ok := watched[root.SpanID]
			if !ok || tr.Late || attributeOf(root, "rollspan.outcome") != "superseded" || attributeOf(seen, "rollspan.outcome") == "superseded" {
				continue
			}
			unknown++
			for _, key := range []string{"rollspan.pods.ready", "rollspan.critical_path.segments", "rollspan.critical_path.create_pod"} {
				if got, want := attributeOf(root, key), attributeOf(seen, key); got != "" && got != want {
					t.Errorf("%s of %s, revision %s: %s is %s, and was %s", root.Name, root.Subject, attributeOf(root, "rollspan.revision"), key, got, want)
				}
			}
			for _, s := range tr.Spans {
				if s.Name == "ReplicaSet scale up" && s.End.Sub(s.Start) > seen.End.Sub(seen.Start)+snapshotSlack {
					t.Errorf("%s took %s; the rollout took %s", s.Subject, s.End.Sub(s.Start), seen.End.Sub(seen.Start))
				}
			}
		}
	})
	if unknown == 0 {
		t.Error("no recording has such a rollout")
	}
}
