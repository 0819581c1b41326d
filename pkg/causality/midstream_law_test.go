package causality_test

import (
	"fmt"
	"os"
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

// TestLawTheWatchBeginsInTheMiddleOfAPod has the watch begin at each observation of each scenario, and
// holds all that is told of pods to the same law. The workloads of scenarios lack what a cluster's
// state: who wrote them and when, and their progress.
func TestLawTheWatchBeginsInTheMiddleOfAPod(t *testing.T) {
	told := 0
	for _, w := range streams() {
		if !strings.HasSuffix(w.name, ".txt") || !w.isLikeDumps() || unstated[w.name] != "" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			for n := 1; n < len(w.obs); n++ {
				told += w.holdCut(ofPods{t, n}, n)
			}
		})
	}
	if told < 100 {
		t.Errorf("only %d spans were held to the law", told)
	}
}

// ofPods passes on what is said of the start of a pod.
type ofPods struct {
	t *testing.T
	n int
}

func (o ofPods) Errorf(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	_, what, _ := strings.Cut(said, " UTC: ")
	ofStart := slices.ContainsFunc([]string{"Pod start", "Pod run", "prepare sandbox", "schedule", "container", "init container", "become ready", "readiness probe"}, func(name string) bool {
		return strings.HasPrefix(what, name+" of pod/")
	})
	if f := exploring; f != nil {
		fmt.Fprintf(f, "@%d\t%s\n", o.n, said)
		return
	}
	if ofStart {
		o.t.Errorf("begun at observation %d: %s", o.n, said)
	}
}

var exploring = func() *os.File { f, _ := os.Create(os.Getenv("EXPLORE")); return f }()

// unstated are the scenarios in which nothing of a list shows what happened before it, and why.
var unstated = map[string]string{
	"bound-by-its-creator.txt":  "the kubelet dates the condition PodScheduled of a pod that was created with a node",
	"restarted-as-a-whole.txt":  "containers that have vanished have no runs in the status",
	"job-pod-deleted.txt":       "a pod without a grace period, which the API server gives each",
	"clocks-of-nodes-ahead.txt": "only arrivals show that a clock is off, and a list has none",
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
		tr.Spans = slices.DeleteFunc(slices.Clone(tr.Spans), func(s spans.Span) bool { return tries[s.Name] })
		told += w.hold(t, tr, end, end)
	}
	return told
}
