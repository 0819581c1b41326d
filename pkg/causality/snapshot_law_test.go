package causality_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
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
	w := &watchedStream{name: name, obs: obs, byID: map[string]spans.Span{}, of: map[string][]spans.Span{}, recovered: map[trace.TraceID]bool{}, ofRollouts: setsOfRollouts(obs)}
	for _, s := range allSpans(replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)) {
		w.byID[s.SpanID.String()] = s
		w.of[s.Name+" "+s.Subject] = append(w.of[s.Name+" "+s.Subject], s)
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
	"clocks-apart.txt":                                "clocks are apart, and a dump has no arrival",
	"clocks-of-nodes-ahead.txt":                       "clocks are apart, and a dump has no arrival",
	"clocks-of-others.txt":                            "clocks are apart, and a dump has no arrival",
	"clocks-of-ours.txt":                              "clocks are apart, and a dump has no arrival",
	"clocks-that-jump.txt":                            "clocks are apart, and a dump has no arrival",
	"context-joined.txt":                              "the Deployment states no progress, has no Events, and was scaled",
	"context-of-other-kinds.txt":                      "the Deployment states no progress, and has no pods",
	"context-restarted.txt":                           "its first ReplicaSet has gone",
	"crashes-before-ready.txt":                        "whether a pod was Ready before it crashed nothing tells, as its first run is lost",
	"created-while-the-watch-was-down.txt":            "the stream has an outage",
	"written-back-and-paused.txt":                     "a template waited for the end of a pause, which nothing tells",
	"in-progress-replacements.txt":                    "pods that nothing probes are not Ready though they run",
	"killed-by-probes-unsaid.txt":                     "the stream finds in liveness probes that failed later why a run before ended",
	"not-ready-again-in-a-rollout.txt":                "the Deployment states no progress, and its pod was not Ready again without an Event",
	"numbered-late.txt":                               "a template waited for its number, which nothing tells",
	"orphaned-and-made-again.txt":                     "whose a pod was before it was orphaned nothing tells",
	"orphaned-replicaset.txt":                         "whose a ReplicaSet was before it was orphaned nothing tells",
	"path-pod-lost-in-the-middle.txt":                 "which step made a pod nothing tells, as there are no Events",
	"path-surge-and-min-ready.txt":                    "which step removed a pod nothing tells, as there are no Events",
	"replicaset-taken-in.txt":                         "when a ReplicaSet was taken in nothing tells",
	"restarts-left-out.txt":                           "the stream leaves restarts out",
	"scaled-while-a-template-waits.txt":               "a template waited for the end of a pause, which nothing tells",
	"statefulset-partition-rollback-and-lost-pod.txt": "its ControllerRevisions are not renumbered by its rollback",
	"static-pod-changed.txt":                          "it begins with the stop of the pod before, which has gone",
	"static-pod-changed-when-we-came.txt":             "it begins with the stop of the pod before, which has gone",
	"status-comes-late.txt":                           "a container whose hook failed twice has lost the first run",
}

// TestLawSnapshots takes snapshots of each recording and scenario at moments all over it, and
// holds what they tell against the stream: every span has its counterpart, by its ID or else by
// kind and object, both of its boundaries are within the precision that it states, or else the
// API's seconds, and it is no longer than that allows. What failed before it was complete nothing
// tells any more. The moments are the same each time: one in some ten thousand lies within the
// milliseconds in which a controller writes several objects, and of these a snapshot has some.
func TestLawSnapshots(t *testing.T) {
	moments := 40
	if testing.Short() {
		moments = 10
	}
	told, stated := 0, 0
	r := rand.New(rand.NewPCG(11, 0)) //nolint:gosec // any moments will do
	for _, w := range slices.SortedFunc(slices.Values(streams()), func(a, b *watchedStream) int { return strings.Compare(a.name, b.name) }) {
		if notLikeClusters[w.name] != "" {
			continue
		}
		begin, end := w.obs[0].Time, w.obs[len(w.obs)-1].Time
		for range moments {
			at := begin.Add(time.Duration(r.Int64N(int64(end.Sub(begin)) + 1)))
			h := snapshots.Reconstruct(snapshotAt(w.obs, at), 24*time.Hour, at)
			for _, tr := range replayHistory(h) {
				told += w.hold(t, tr, at, h.End)
				for _, s := range tr.Spans {
					if precision(s, "start") > snapshotSlack || precision(s, "end") > snapshotSlack {
						stated++
					}
				}
			}
		}
	}
	if told == 0 || stated == 0 {
		t.Errorf("snapshots told of %d spans, of which %d say how good their boundaries are", told, stated)
	}
	t.Logf("%d spans, %d of them with a boundary that is worse than a second", told, stated)
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
