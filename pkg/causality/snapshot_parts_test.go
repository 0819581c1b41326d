package causality_test

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// partsOf are what those who take dumps leave out: as they ask for other kinds, or may not read
// them, or as kubectl does not show the managed fields.
var partsOf = []struct {
	without string
	leave   func(o runtime.Object) bool // out, or it changes what is left
	// draw draws what it leaves out of the Events of a snapshot, instead.
	draw func(random *rand.Rand, events []*corev1.Event) func(*corev1.Event) bool
}{
	{"Pods", ofKinds("Pod"), nil},
	{"Pods, Nodes and ControllerRevisions", ofKinds("Pod", "Node", "ControllerRevision"), nil},
	{"Pods and ReplicaSets", ofKinds("Pod", "ReplicaSet"), nil},
	{"Pods and Events", ofKinds("Pod", "Event"), nil},
	{"Events", ofKinds("Event"), nil},
	{"ReplicaSets", ofKinds("ReplicaSet"), nil},
	{"ControllerRevisions", ofKinds("ControllerRevision"), nil},
	{"Nodes", ofKinds("Node"), nil},
	{"Deployments", ofKinds("Deployment"), nil},
	{"StatefulSets, DaemonSets and Jobs", ofKinds("StatefulSet", "DaemonSet", "Job"), nil},
	{"some Pods", some("Pod", 0), nil},
	{"other Pods", some("Pod", 1), nil},
	{"some ReplicaSets", some("ReplicaSet", 0), nil},
	{"other ReplicaSets", some("ReplicaSet", 1), nil},
	{"some ControllerRevisions", some("ControllerRevision", 0), nil},
	{"other ControllerRevisions", some("ControllerRevision", 1), nil},
	{"the oldest Events", nil, oldestEvents},
	{"some Events", nil, someEvents},
	{"an Event", nil, anEvent},
	{"Events of a reason", nil, eventsOfAReason},
	{"managed fields", func(o runtime.Object) bool {
		if meta, ok := o.(metav1.Object); ok {
			meta.SetManagedFields(nil)
		}
		return false
	}, nil},
}

// untoldWithoutEvents are the streams of which dumps without Events are known to be told wrong, and why.
var untoldWithoutEvents = map[string]string{
	"killed-in-an-unknown-state.txt":   "the kubelet has lost the status of the run before",
	"restarted-as-a-whole.txt":         "the kubelet has lost the status of the runs before",
	"static-pod-changed.txt":           "nothing tells that a static pod is stopped for another",
	"static-pod-changes-otherwise.txt": "nothing tells that a static pod is stopped for another",
	"rolling-update-undo-scale-restart": "nothing tells when a ReplicaSet with none of its pods left was scaled down, nor when a pod was asked " +
		"to go that its kubelet has stopped",
	"superseded-rollouts": "as before",
}

// untoldWithoutSomeEvents are those of which dumps without some of their Events are, and why.
var untoldWithoutSomeEvents = map[string]string{
	"killed-in-an-unknown-state.txt":    untoldWithoutEvents["killed-in-an-unknown-state.txt"],
	"restarted-as-a-whole.txt":          untoldWithoutEvents["restarted-as-a-whole.txt"],
	"static-pod-changed.txt":            untoldWithoutEvents["static-pod-changed.txt"],
	"static-pod-changes-otherwise.txt":  untoldWithoutEvents["static-pod-changes-otherwise.txt"],
	"rolling-update-undo-scale-restart": "steps and pods that are gone are known by what Events are left, each of which may be of another step",
	"superseded-rollouts":               "as before",
	"statefulset-rolling-update":        "as before",
	"restarts-that-pull.txt":            "nothing tells of tries to pull an image, nor that the pod's sandbox was made anew",
	"crash-loop-by-events-alone.txt":    "no status tells that a container has crashed",
	"volume-never-comes.txt":            "nothing tells which of its volumes a pod waited for",
	"volume-is-provisioned.txt":         "nothing tells when one of several volumes was attached",
}

func ofKinds(kinds ...string) func(runtime.Object) bool {
	return func(o runtime.Object) bool { return slices.Contains(kinds, kindOfObject(o)) }
}

// some leaves out one or the other half of the objects of a kind, as who asks for the first of them does
// (--limit), or whose copy is cut off.
func some(kind string, half uint32) func(runtime.Object) bool {
	return func(o runtime.Object) bool {
		meta, ok := o.(metav1.Object)
		if !ok || kindOfObject(o) != kind {
			return false
		}
		h := fnv.New32a()
		h.Write([]byte(meta.GetName()))
		return h.Sum32()>>7%2 == half
	}
}

// TestLawSnapshotsInPart leaves something out of snapshots of each recording and scenario, at random
// moments that are the same in each run. What is told must hold against the stream as what a whole
// snapshot tells does (TestLawSnapshots): that a kind is not there proves nothing.
func TestLawSnapshotsInPart(t *testing.T) {
	const moments = 4
	told := map[string]int{}
	for _, w := range slices.SortedFunc(slices.Values(streams()), func(a, b *watchedStream) int { return strings.Compare(a.name, b.name) }) {
		if !w.isLikeDumps() || untoldInDumps[w.name] != "" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(len(w.obs))))   //nolint:gosec // not for secrets
			ofEvents := rand.New(rand.NewPCG(2, uint64(len(w.obs)))) //nolint:gosec // as above
			for range moments {
				at := w.after(random.IntN(len(w.obs)), random.Float64())
				for _, part := range partsOf {
					if part.without == "Events" && untoldWithoutEvents[w.name] != "" {
						continue
					}
					leave, without := part.leave, part.without
					if part.draw != nil {
						if untoldWithoutSomeEvents[w.name] != "" {
							continue
						}
						leave, without = drawnOf(part.draw, ofEvents, snapshotAt(w.obs, at), without)
					}
					n, _ := w.holdDumpOf(inPart{t, without}, at, leave)
					told[part.without] += n
				}
			}
		})
	}
	for _, part := range partsOf {
		if told[part.without] == 0 {
			t.Errorf("snapshots without %s tell of nothing", part.without)
		}
	}
	t.Log(told)
}

// inPart says of each error what was left out.
type inPart struct {
	*testing.T
	without string
}

func (p inPart) Errorf(format string, args ...any) {
	p.Helper()
	p.T.Errorf("without "+p.without+": "+format, args...)
}

// TestSnapshotsOfEventsOnly takes snapshots that hold nothing but Events: nothing is told to be
// rolled out, replaced or restarted, as nothing shows whose the pods were. That a CronJob made a Job,
// its Event shows.
func TestSnapshotsOfEventsOnly(t *testing.T) {
	told := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		at := obs[len(obs)-1].Time
		objects := slices.DeleteFunc(snapshotAt(obs, at), func(o runtime.Object) bool { return kindOfObject(o) != "Event" })
		for _, tr := range replayHistory(snapshots.Reconstruct(objects, 24*time.Hour, at)) {
			told++
			root := tr.Root()
			if attributeOf(*root, "rollspan.change") != "activity" && root.Kind != kind.CronJobSchedule {
				t.Errorf("%s of %s is told by Events alone", root.Name, root.Subject)
			}
		}
	})
	if told == 0 {
		t.Error("Events alone tell of nothing")
	}
}

// TestSnapshotsWithoutCreation takes snapshots from which something has removed when the objects were
// created: nothing is told of those but what Events tell, and how many they are is said.
func TestSnapshotsWithoutCreation(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		at := obs[len(obs)/2].Time
		objects := snapshotAt(obs, at)
		for _, o := range objects {
			o.(metav1.Object).SetCreationTimestamp(metav1.Time{})
		}
		h := snapshots.Reconstruct(objects, 24*time.Hour, at)
		if h.Cleaned == 0 {
			t.Error("no object is said to have been cleaned")
		}
		for _, s := range allSpans(replayHistory(h)) {
			if s.Start.Before(obs[0].Time.Add(-time.Hour)) {
				t.Errorf("%s of %s begins at %s", s.Name, s.Subject, s.Start)
			}
		}
	})
}
