package causality_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// FuzzSnapshot mutates snapshots as the bytes say. Whatever they have become, their
// past is told, and in as much as they hold.
func FuzzSnapshot(f *testing.F) {
	for i := range baseSnapshots() {
		f.Add(uint16(i), uint8(i%len(reaches)), []byte{}) //nolint:gosec // there are some hundred
	}
	f.Fuzz(func(t *testing.T, base uint16, reach uint8, how []byte) {
		b := baseSnapshots()[int(base)%len(baseSnapshots())]
		holdSnapshot(t, b.mutated(how), reaches[int(reach)%len(reaches)], b.at)
	})
}

// TestMutatedSnapshots holds the same of some hundred mutations of snapshots of every
// recording, and of scenarios.
func TestMutatedSnapshots(t *testing.T) {
	byName := map[string][]baseSnapshot{}
	for _, b := range baseSnapshots() {
		name, _, _ := strings.Cut(b.name, " at ")
		if strings.HasSuffix(name, ".txt") {
			name = "scenarios from " + name[:1]
		}
		byName[name] = append(byName[name], b)
	}
	for name, bases := range byName {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				b := bases[rapid.IntRange(0, len(bases)-1).Draw(t, "snapshot")]
				reach := rapid.SampledFrom(reaches).Draw(t, "reach")
				holdSnapshot(t, b.mutated(rapid.SliceOfN(rapid.Byte(), 0, 160).Draw(t, "mutations")), reach, b.at)
			})
		})
	}
}

// TestSnapshotsAsTheyAre holds the same of the snapshots that are mutated, and that
// the spans are sound.
func TestSnapshotsAsTheyAre(t *testing.T) {
	for i, b := range baseSnapshots() {
		t.Run(b.name, func(t *testing.T) {
			soundSpans(t, holdSnapshot(t, b.mutated(nil), reaches[i%len(reaches)], b.at))
		})
	}
}

// reaches are how far is looked back: by default, not as far as snapshots go, and
// farther than times can be apart.
var reaches = []time.Duration{24 * time.Hour, time.Minute, math.MaxInt64}

// A snapshot is told in as many observations and spans as it has objects, and as
// these list conditions, containers and revisions. No number that it states is how
// many there are of either.
const (
	observationsPerItem = 4
	spansPerItem        = 8
)

type failer interface {
	Errorf(format string, args ...any)
}

// holdSnapshot looks back from a snapshot, holds what comes of it to what is true of
// any, and returns the traces.
func holdSnapshot(t failer, objects []runtime.Object, reach time.Duration, at time.Time) []spans.Trace {
	before := slices.Clone(objects)
	for i, o := range objects {
		before[i] = o.DeepCopyObject()
	}
	h := snapshots.Reconstruct(objects, reach, at)
	if !reflect.DeepEqual(objects, before) {
		t.Errorf("objects of the snapshot were changed")
	}
	if got, most := len(h.Observations), observationsPerItem*items(objects); got > most {
		t.Errorf("%d observations of %d items", got, items(objects))
	}
	var last time.Time
	for _, o := range h.Observations {
		if o.Time.Before(last) || o.Time.After(h.End) || !o.Inferred {
			t.Errorf("%s %T at %s, after %s, of a snapshot of %s", o.Type, o.Object, o.Time, last, h.End)
		}
		last = o.Time
	}
	if h.End.After(at) {
		t.Errorf("the snapshot of %s is said to be of %s", at, h.End)
	}
	holdToldAll(t, objects, h)
	traces := replayHistory(h)
	if got := len(allSpans(traces)); got > spansPerItem*items(objects) {
		t.Errorf("%d spans of %d items", got, items(objects))
	}
	return traces
}

// holdToldAll holds that all objects are told, but for those that are counted as they do not say
// when they were created.
func holdToldAll(t failer, objects []runtime.Object, h snapshots.History) {
	told := map[types.UID]bool{}
	for _, o := range h.Observations {
		told[o.Object.(metav1.Object).GetUID()] = true
	}
	cleaned := 0
	for _, o := range objects {
		meta := o.(metav1.Object)
		if _, event := o.(*corev1.Event); event || meta.GetUID() == "" || told[meta.GetUID()] {
			continue
		}
		if created := meta.GetCreationTimestamp(); created.IsZero() {
			cleaned++
			continue
		}
		t.Errorf("%T %s is not told of", o, meta.GetName())
	}
	if cleaned > h.Cleaned {
		t.Errorf("%d objects without a creation are not told of, and %d are counted", cleaned, h.Cleaned)
	}
}

// items counts the objects of a snapshot and what they list.
func items(objects []runtime.Object) int {
	n := len(objects)
	for _, o := range objects {
		switch in := o.(type) {
		case *corev1.Pod:
			n += len(in.Status.Conditions) + len(in.Status.InitContainerStatuses) + len(in.Status.ContainerStatuses)
		case *corev1.Node:
			n += len(in.Status.Conditions)
		case *appsv1.Deployment:
			n += len(in.Status.Conditions)
		case *appsv1.ReplicaSet:
			n += 1 + strings.Count(in.Annotations["deployment.kubernetes.io/revision-history"], ",")
		case *batchv1.Job:
			n += len(in.Status.Conditions)
		}
	}
	return n
}
