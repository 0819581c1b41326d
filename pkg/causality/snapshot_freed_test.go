package causality_test

import (
	"slices"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestSnapshotOfPodsInTheWay looks back at updates whose old pods took seconds to stop, and are
// gone. The controllers waited for these: they made the next pod as soon as they could, and none of
// that was their own time.
func TestSnapshotOfPodsInTheWay(t *testing.T) {
	for recording, want := range map[string]struct {
		pods  int
		stops time.Duration
	}{
		"daemonset-rolling-update":   {1, 4 * time.Second},
		"statefulset-rolling-update": {3, 7 * time.Second},
	} {
		obs := load(t, recording)
		at := obs[len(obs)-1].Time
		found := false
		for _, tr := range replayHistory(snapshots.Reconstruct(snapshotAt(obs, at), 24*time.Hour, at)) {
			root := tr.Root()
			if revision, ok := root.Attribute(attr.RevisionKey); !ok || revision.AsInt64() != 2 {
				continue
			}
			found = true
			spent := map[attr.Phase]time.Duration{}
			for phase, s := range attr.PhasesOf(root.Attributes) {
				spent[phase] = time.Duration(s * float64(time.Second))
			}
			// Up to a second is what the API's whole seconds are worth, of each pod that is Ready
			// before the next is deleted.
			if got := spent[attr.PhaseController]; got > time.Duration(want.pods)*time.Second {
				t.Errorf("%s: %s are the controller's: %v", recording, got, spent)
			}
			if got := spent[attr.PhasePodStop] + spent[attr.PhaseStopContainer]; got < want.stops {
				t.Errorf("%s: it waited for old pods for %s, want %s or more: %v", recording, got, want.stops, spent)
			}
		}
		if !found {
			t.Errorf("%s: the update is not told", recording)
		}
	}
}

// TestSnapshotOfAMissingConfigMap looks back at a container whose ConfigMap came late. Its status
// has forgotten why it waited, and the Event says it in words, which the kubelet has for nothing else.
func TestSnapshotOfAMissingConfigMap(t *testing.T) {
	obs := load(t, "missing-configmap-then-created")
	at := obs[len(obs)-1].Time
	var reasons []string
	for _, s := range allSpans(replayHistory(snapshots.Reconstruct(snapshotAt(obs, at), 24*time.Hour, at))) {
		if s.Kind == kind.BackOff {
			reasons = append(reasons, s.Text(attr.WaitingReasonKey))
		}
	}
	if want := []string{"CreateContainerConfigError"}; !slices.Equal(slices.Compact(reasons), want) {
		t.Errorf("it waited for %q, want %q", reasons, want)
	}
}
