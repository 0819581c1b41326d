package causality_test

import (
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
// last only; Rollouts, which are put together of what arrives; and the scenarios, whose Deployments do not state that they have made progress, and
// whose pods lack the labels with their revision.
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

// holdCut holds what is told of the stream from an observation on to the law.
func (w *watchedStream) holdCut(t interface{ Errorf(string, ...any) }, n int) (told int) {
	cut, end := restarted(w.obs, n), w.obs[len(w.obs)-1].Time.Add(time.Second)
	if isBeforeItsController(snapshotAt(w.obs[:n], w.obs[n-1].Time)) {
		return 0
	}
	for _, tr := range replayWith(causality.Options{TraceContext: causality.TraceContextLink}, cut) {
		root := tr.Root()
		if root == nil || w.leavesOut[root.Subject] || strings.HasPrefix(root.Subject, "rollout/") {
			continue
		}
		tr.Spans = slices.DeleteFunc(slices.Clone(tr.Spans), func(s spans.Span) bool { return tries[s.Name] })
		told += w.hold(t, tr, end, end)
	}
	return told
}
