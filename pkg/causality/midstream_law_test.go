package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// isBeforeItsController reports whether a workload was written and its controller has not seen
// that yet, for milliseconds: the number of the revision is still that of the one before.
func isBeforeItsController(objects []runtime.Object) bool {
	return isHalfWritten(objects) || slices.ContainsFunc(objects, func(o runtime.Object) bool {
		switch in := o.(type) {
		case *appsv1.Deployment:
			return in.Status.ObservedGeneration < in.Generation
		case *appsv1.StatefulSet:
			return in.Status.ObservedGeneration < in.Generation
		case *appsv1.DaemonSet:
			return in.Status.ObservedGeneration < in.Generation
		}
		return false
	})
}

// TestLawTheWatchBeginsInTheMiddle has the watch begin anywhere in a recording, and holds what is
// told against what the whole stream tells: every span has its counterpart, by its ID or else
// by kind and object, both of its boundaries are within the precision that it states, or else
// the API's seconds, and it is no longer than that allows.
//
// What stays out, and why: tries of containers and steps of ReplicaSets, of which a list has the
// last only.
func TestLawTheWatchBeginsInTheMiddle(t *testing.T) {
	told := 0
	for _, w := range streams() {
		if strings.HasSuffix(w.name, ".txt") {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				told += w.holdCut(t, rapid.IntRange(1, len(w.obs)-1).Draw(t, "observations before the watch begins"))
			})
		})
	}
	if told < 100 {
		t.Errorf("only %d spans were held to the law", told)
	}
}

// TestLawTheWatchBeginsInTheMiddleOfAScenario has the watch begin at each observation of each scenario,
// and holds what is told to the same law.
func TestLawTheWatchBeginsInTheMiddleOfAScenario(t *testing.T) {
	told := 0
	for _, w := range streams() {
		if !strings.HasSuffix(w.name, ".txt") || !w.isLikeDumps() {
			continue // only arrivals show that a clock is off, and a list has none
		}
		t.Run(w.name, func(t *testing.T) {
			for n := 1; n < len(w.obs); n++ {
				told += w.holdCut(but{t, n, unstated[w.name]}, n)
			}
		})
	}
	if told < 1000 {
		t.Errorf("only %d spans were held to the law", told)
	}
}

// but passes on what is said of a stream that begins at an observation, unless it is of a kind of span
// of which the stream's state lacks what a cluster's has, or of one that is new: what a controller did
// in the place of what was there before, the list does not show.
type but struct {
	t        *testing.T
	observed int
	unstated []string
}

func (o but) Errorf(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	_, what, _ := strings.Cut(said, " UTC: ")
	if strings.HasSuffix(said, " was not") || slices.ContainsFunc(o.unstated, func(name string) bool { return strings.HasPrefix(what, name+" of ") }) {
		return
	}
	o.t.Errorf("begun at observation %d: %s", o.observed, said)
}

// unstated are the kinds of spans of scenarios of which nothing in a list shows what happened before
// it, and why.
var unstated = map[string][]string{
	// The kubelet dates the condition PodScheduled of a pod that was created with a node.
	"bound-by-its-creator.txt": {"schedule", "prepare sandbox"},
	// Of containers that have vanished the status has no run.
	"restarted-as-a-whole.txt": {"container"},
	// The pod has no grace period, which the API server gives each.
	"job-pod-deleted.txt": {"Pod run", "container"},
	// The Jobs have no startTime.
	"job-resumed-in-haste.txt":           {"Job run"},
	"job-of-cronjob-beside-schedule.txt": {"Job run"},
	// Its pods are gone before it is, and their list does not say that this is why.
	"namespace-deleted-in-mid-rollout.txt": {"Deployment delete"},
	// The times of the Node's conditions are rubbish.
	"node-rubbish.txt": {"Node disruption"},
	// A revision that has had a rollout with that partition before.
	"statefulset-partition-raised.txt": {"StatefulSet rollout"},
}

// holdCut holds what is told of the stream from an observation on to the law.
func (w *watchedStream) holdCut(t interface{ Errorf(string, ...any) }, n int) (told int) {
	cut, end := restarted(w.obs, n), w.obs[len(w.obs)-1].Time.Add(time.Second)
	if isBeforeItsController(snapshotAt(w.obs[:n], w.obs[n-1].Time)) {
		return 0
	}
	for _, tr := range replayWith(causality.Options{TraceContext: causality.TraceContextLink}, cut) {
		root := tr.Root()
		if root == nil || w.leavesOut[root.Subject] {
			continue
		}
		if strings.HasPrefix(root.Subject, "rollout/") && attributeOf(*root, "rollspan.outcome") == "superseded" {
			continue // nothing of a Rollout that is read says whether its controller has seen a write
		}
		tr.Spans = slices.DeleteFunc(slices.Clone(tr.Spans), func(s spans.Span) bool { return tries[s.Name] })
		told += w.hold(t, tr, end, end)
	}
	return told
}
