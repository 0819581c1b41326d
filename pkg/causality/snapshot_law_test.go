package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// watchedStream is a stream, and what the engine tells of it.
type watchedStream struct {
	name string
	obs  []causality.Observation
	// byID are all spans, of is those of each kind and object.
	byID map[string]spans.Span
	of   map[string][]spans.Span
	// ofRollouts are the ReplicaSets of Argo Rollouts.
	ofRollouts map[string]bool
	// steps are when ReplicaSets were scaled.
	steps []time.Time
	// recovered are the traces of changes that failed.
	recovered map[trace.TraceID]bool
	// leavesOut are the subjects of which restarts are left out, as there are too many.
	leavesOut map[string]bool
}

// streams are all recordings and scenarios.
var streams = sync.OnceValue(func() []*watchedStream {
	t := &loader{}
	var out []*watchedStream
	for _, name := range recordings(t) {
		out = append(out, watched(name, load(t, name)))
	}
	for name, obs := range scenarioStreams(t) {
		if len(obs) > 0 {
			out = append(out, watched(name, obs))
		}
	}
	return out
})

func watched(name string, obs []causality.Observation) *watchedStream {
	w := &watchedStream{name: name, obs: obs, byID: map[string]spans.Span{}, of: map[string][]spans.Span{}, recovered: map[trace.TraceID]bool{}, ofRollouts: setsOfRollouts(obs), leavesOut: map[string]bool{}}
	for _, s := range allSpans(replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)) {
		w.byID[s.SpanID.String()] = s
		w.of[s.Name+" "+s.Subject] = append(w.of[s.Name+" "+s.Subject], s)
		w.leavesOut[s.Subject] = w.leavesOut[s.Subject] || value(s, attr.RestartsLeftOutKey).AsInt64() > 0
		if strings.HasPrefix(s.Name, "ReplicaSet scale") {
			w.steps = append(w.steps, s.Start)
		}
		if attributeOf(s, "rollspan.outcome") == "failed" {
			w.recovered[s.TraceID] = true
		}
	}
	return w
}

// steppedBefore reports whether a ReplicaSet was written within the second before a time.
func (w *watchedStream) steppedBefore(at time.Time) bool {
	return slices.ContainsFunc(w.steps, func(t time.Time) bool { return !t.After(at) && at.Sub(t) < time.Second })
}

// counterpart is what the stream tells in the place of a span of a dump: that of its ID, or
// else the one of its kind about its object that begins next to it.
func (w *watchedStream) counterpart(s spans.Span) (spans.Span, bool) {
	if same, ok := w.byID[s.SpanID.String()]; ok && !tries[s.Name] {
		return same, true
	}
	var best spans.Span
	found := false
	for _, other := range w.of[s.Name+" "+s.Subject] {
		if !found || other.Start.Sub(s.Start).Abs() < best.Start.Sub(s.Start).Abs() {
			best, found = other, true
		}
	}
	return best, found
}

// precision is how far a boundary may be off: what the span states, and else what the API's
// whole seconds allow.
func precision(s spans.Span, boundary string) time.Duration {
	if v := value(s, attribute.Key("rollspan."+boundary+".precision")).AsFloat64(); v > 0 {
		return time.Duration(v*float64(time.Second)) + snapshotSlack
	}
	return snapshotSlack
}

// notLikeClusters are the scenarios of which no dump can be like the stream, and why.
var notLikeClusters = map[string]string{
	"context-joined.txt":                              "the Deployment states no progress, has no Events, and was scaled",
	"context-of-other-kinds.txt":                      "the Deployment states no progress, and has no pods",
	"context-restarted.txt":                           "its first ReplicaSet has gone",
	"crashes-before-ready.txt":                        "whether a pod was Ready before it crashed nothing tells, as its first run is lost",
	"created-while-the-watch-was-down.txt":            "the stream has an outage",
	"in-progress-replacements.txt":                    "pods that nothing probes are not Ready though they run",
	"killed-by-probes-unsaid.txt":                     "the stream finds in liveness probes that failed later why a run before ended",
	"killed-in-an-unknown-state.txt":                  "the run before has vanished, and the count of restarts with it",
	"not-ready-again-in-a-rollout.txt":                "the Deployment states no progress, and its pod was not Ready again without an Event",
	"orphaned-replicaset.txt":                         "whose a ReplicaSet was before it was orphaned nothing tells",
	"path-pod-lost-in-the-middle.txt":                 "which step made a pod nothing tells, as there are no Events",
	"pods-that-fail-before-ready.txt":                 "a pod is evicted in the second in which its run ends",
	"preempted-says-the-victim-of-a-neighbor.txt":     "pods that nothing probes are not Ready though they run",
	"restarted-as-a-whole.txt":                        "of containers that were all restarted the first runs are lost",
	"retries-with-repeated-events.txt":                "of four runs two are lost, and repeated Events count them only",
	"scheduling-history.txt":                          "why no node took the pod changed in its status alone, which is not there any more",
	"replicaset-taken-in.txt":                         "when a ReplicaSet was taken in nothing tells",
	"scaled-while-a-template-waits.txt":               "a template waited for the end of a pause, which nothing tells",
	"statefulset-partition-rollback-and-lost-pod.txt": "its ControllerRevisions are not renumbered by its rollback",
	"status-comes-late.txt":                           "a container whose hook failed twice has lost the first run",
	"written-back-and-paused.txt":                     "a template waited for the end of a pause, which nothing tells",
}

// isLikeDumps reports whether dumps of a stream can be held against it.
func (w *watchedStream) isLikeDumps() bool {
	// Where clocks are apart only arrivals show it, and a dump has none.
	return notLikeClusters[w.name] == "" && !showWrong(w.obs)
}

// isHalfWritten reports whether a workload of a dump waits for its controller, which is at
// writing several objects: of these a dump of that moment has some.
func isHalfWritten(objects []runtime.Object) bool {
	return slices.ContainsFunc(objects, func(o runtime.Object) bool {
		switch in := o.(type) {
		case *appsv1.Deployment:
			return in.Status.ObservedGeneration > 0 && in.Status.ObservedGeneration < in.Generation
		case *appsv1.ReplicaSet:
			return in.Status.ObservedGeneration > 0 && in.Status.ObservedGeneration < in.Generation
		}
		return false
	})
}

// TestLawSnapshots takes snapshots of each recording and scenario between any two of its
// observations, and holds what they tell against the stream: every span has its counterpart, by
// its ID or else by kind and object, both of its boundaries are within the precision that it
// states, or else the API's seconds, and it is no longer than that allows. What failed before it
// was complete nothing tells any more.
func TestLawSnapshots(t *testing.T) {
	told, stated := 0, 0
	for _, w := range slices.SortedFunc(slices.Values(streams()), func(a, b *watchedStream) int { return strings.Compare(a.name, b.name) }) {
		if !w.isLikeDumps() {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.IntRange(0, len(w.obs)-1).Draw(t, "observation")
				part := rapid.Float64Range(0, 0.99).Draw(t, "part of the time to the next")
				m, s := w.holdDump(t, w.after(n, part))
				told, stated = told+m, stated+s
			})
		})
	}
	if told == 0 || stated == 0 {
		t.Errorf("snapshots told of %d spans, of which %d say how good their boundaries are", told, stated)
	}
	t.Logf("%d spans, %d of them with a boundary that is worse than a second", told, stated)
}

// after is a moment between an observation and the next.
func (w *watchedStream) after(n int, part float64) time.Time {
	at := w.obs[n].Time
	for ; n+1 < len(w.obs); n++ {
		if next := w.obs[n+1].Time; next.After(at) {
			return at.Add(time.Duration(part * float64(next.Sub(at))))
		}
	}
	return at.Add(time.Second)
}

// holdDump takes a dump at a moment, and holds it to the law. It returns how many spans that
// were, and how many say how good their boundaries are.
func (w *watchedStream) holdDump(t interface{ Errorf(string, ...any) }, at time.Time) (told, stated int) {
	objects := snapshotAt(w.obs, at)
	if isHalfWritten(objects) {
		return 0, 0
	}
	h := snapshots.Reconstruct(objects, 24*time.Hour, at)
	for _, tr := range replayHistory(h) {
		if w.leavesOut[tr.Root().Subject] {
			continue
		}
		told += w.hold(t, tr, at, h.End)
		for _, s := range tr.Spans {
			if precision(s, "start") > snapshotSlack || precision(s, "end") > snapshotSlack {
				stated++
			}
		}
	}
	return told, stated
}

// tries are the kinds of spans of which there is one for each try of a container, or of the
// scheduler, and for each write of a ReplicaSet: they are told apart by their number, and a dump
// has the last number only.
var tries = map[string]bool{
	"ReplicaSet scale up": true, "ReplicaSet scale down": true,
	"start container": true, "run container": true, "back off": true, "pull image": true, "unschedulable": true, "not ready": true, "in the way": true,
}

// hold holds a trace of a dump, in which the newest time is end, to the law, and returns how
// many spans that were.
func (w *watchedStream) hold(t interface{ Errorf(string, ...any) }, tr spans.Trace, at, end time.Time) (told int) {
	root := *tr.Root()
	if tr.Late || attributeOf(root, "rollspan.change") == "activity" || w.ofRollouts[attributeOf(root, "k8s.replicaset.uid")] {
		return 0 // what Events of things that are gone belonged to, they do not say
	}
	_, same := w.byID[root.SpanID.String()]
	if !same && !root.Start.After(w.obs[0].Time.Add(snapshotSlack)) {
		return 0 // the stream began later
	}
	how := attributeOf(root, "rollspan.outcome")
	switch {
	case how == "open" && at.Sub(root.Start) < snapshotSlack:
		return 0
	case how == "open" && strings.HasSuffix(w.name, ".txt"):
		return 0 // the Deployments of scenarios state no progress, which would say that they are done
	}
	for _, s := range tr.Spans {
		if strings.HasPrefix(s.Name, "ReplicaSet scale") && w.steppedBefore(at) {
			continue // what a step led to is not there yet
		}
		told++
		seen, ok := w.counterpart(s)
		what := fmt.Sprintf("%s at %s: %s of %s, in %s %s %s,", w.name, at, s.Name, s.Subject, root.Name, root.Subject, how)
		if !ok && s.SpanID != root.SpanID && s.End.Sub(s.Start) <= precision(s, "start")+precision(s, "end") {
			continue // so it may have taken no time
		}
		if !ok {
			t.Errorf("%s from %s to %s was not", what, s.Start, s.End)
			continue
		}
		if w.recovered[seen.TraceID] || seen.Status == codes.Error && s.SpanID != root.SpanID {
			continue // nothing tells that it failed before it was complete
		}
		if seen.Kind == kind.PodRun && attributeOf(seen, "rollspan.cause") == "template" {
			continue // it begins with the stop of the static pod before, which has gone
		}
		if s.Start.Before(seen.Start) && seen.Start.Before(w.obs[0].Time.Add(snapshotSlack)) {
			continue // the stream began later
		}
		if how == "open" && seen.Start.After(at) {
			continue // it began again
		}
		if off := s.Start.Sub(seen.Start); off.Abs() > precision(s, "start") {
			t.Errorf("%s begins %s off: %s to %s, was %s to %s", what, off, s.Start, s.End, seen.Start, seen.End)
		}
		// What the newest time that anything states bounds, the snapshot does.
		open := !s.End.Add(precision(s, "end")).Before(end.Add(-snapshotSlack)) || seen.End.After(at)
		switch late := s.End.Sub(seen.End); {
		case late > precision(s, "end") && open && at.Sub(seen.End) < 10*time.Second:
			continue // the kubelet had not reported it
		case late > precision(s, "end"):
			t.Errorf("%s ends %s late: %s to %s, was %s to %s", what, late, s.Start, s.End, seen.Start, seen.End)
		case !open && -late > precision(s, "end"):
			t.Errorf("%s ends %s early: %s to %s, was %s to %s", what, -late, s.Start, s.End, seen.Start, seen.End)
		}
		longer := s.End.Sub(s.Start) - seen.End.Sub(seen.Start)
		if longer > precision(s, "end")+precision(s, "start") {
			t.Errorf("%s takes %s longer", what, longer)
		}
	}
	return told
}
