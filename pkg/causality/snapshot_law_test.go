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
	"pgregory.net/rapid"

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
	w := &watchedStream{name: name, obs: obs, byID: map[string]spans.Span{}, of: map[string][]spans.Span{}, ofRollouts: setsOfRollouts(obs)}
	for _, s := range allSpans(replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)) {
		w.byID[s.SpanID.String()] = s
		w.of[s.Name+" "+s.Subject] = append(w.of[s.Name+" "+s.Subject], s)
	}
	return w
}

// counterpart is what the stream tells in the place of a span of a dump: that of its ID, or
// else the one of its kind about its object that begins next to it.
func (w *watchedStream) counterpart(s spans.Span) (spans.Span, bool) {
	if same, ok := w.byID[s.SpanID.String()]; ok {
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
	"events-from-before-we-came.txt":                  "it states a template's write long before its ReplicaSet",
	"killed-by-probes-unsaid.txt":                     "the Deployment states no progress, and its only pod is restarted before it is Ready",
	"killed-in-an-unknown-state.txt":                  "a container runs again under the same count, and keeps nothing of the run before",
	"rebooted-and-forgotten.txt":                      "the node has forgotten the runs before its reboot",
	"restart-waits-for-others.txt":                    "the first runs have no Events, and the status has lost them",
	"static-pod-changed.txt":                          "it begins with the stop of the pod before, which has gone",
	"static-pod-changed-when-we-came.txt":             "it begins with the stop of the pod before, which has gone",
	"restart-cannot-start.txt":                        "that a pod was Ready before it crashed for minutes nothing tells",
	"clocks-of-nodes-ahead.txt":                       "clocks are apart, and a dump has no arrival",
	"clocks-of-others.txt":                            "clocks are apart, and a dump has no arrival",
	"clocks-of-ours.txt":                              "clocks are apart, and a dump has no arrival",
	"clocks-that-jump.txt":                            "clocks are apart, and a dump has no arrival",
	"not-ready-again-in-a-rollout.txt":                "a probed pod was not Ready for a while soon after its start, which nothing tells",
	"ready-and-not-for-long.txt":                      "a probed pod was not Ready for a while soon after its start, which nothing tells",
	"status-comes-late.txt":                           "a run whose hook failed looks as one that was Ready",
	"restarts-left-out.txt":                           "the stream leaves restarts out",
	"orphaned-and-made-again.txt":                     "whose a pod was before it was orphaned nothing tells",
	"orphaned-replicaset.txt":                         "whose a ReplicaSet was before it was orphaned nothing tells",
	"recreate-numbered-late.txt":                      "a template waited for its number, which nothing tells",
	"scaled-while-a-template-waits.txt":               "a template waited for the end of a pause, which nothing tells",
	"written-back-and-paused.txt":                     "a template waited for the end of a pause, which nothing tells",
	"path-recreate.txt":                               "its old pods have gone, and nothing else tells when its template was written",
	"context-of-other-kinds.txt":                      "the Deployment states no progress, and has no pods",
	"causes-seldom-seen.txt":                          "pods that nothing probes are not Ready though they run",
	"in-progress-replacements.txt":                    "pods that nothing probes are not Ready though they run",
	"restart-rules.txt":                               "pods that nothing probes are not Ready though they run",
	"context-restarted.txt":                           "its first ReplicaSet has gone",
	"released-and-evicted.txt":                        "whose a pod was before it was released nothing tells",
	"released-and-taken-back.txt":                     "when a pod was taken back nothing tells",
	"replicaset-taken-in.txt":                         "when a ReplicaSet was taken in nothing tells",
	"statefulset-partition-rollback-and-lost-pod.txt": "its ControllerRevisions are not renumbered by its rollback",
	"path-through-what-is-not-over.txt":               "it has no ControllerRevisions",
	"path-statefulset.txt":                            "it has no ControllerRevisions",
	"crashes-left-out-of-a-start.txt":                 "the stream leaves runs out",
}

// TestLawSnapshots takes a snapshot of any recording or scenario at any time, and holds what it
// tells against the stream: each change has its counterpart, by its ID or else by kind and
// object, begins when that does, ends no later, and takes no longer; and so do the starts of
// its pods. How a change that was superseded ended before that a dump does not say, and that
// one failed before it was complete nothing tells any more.
func TestLawSnapshots(t *testing.T) {
	all := slices.DeleteFunc(slices.Clone(streams()), func(w *watchedStream) bool { return notLikeClusters[w.name] != "" })
	told := 0
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // any moment will do
		for _, w := range all {
			begin, end := w.obs[0].Time, w.obs[len(w.obs)-1].Time
			at := begin.Add(time.Duration(r.Int64N(int64(end.Sub(begin)) + 1)))
			for _, tr := range replayHistory(snapshots.Reconstruct(snapshotAt(w.obs, at), 24*time.Hour, at)) {
				told += w.hold(t, tr, at)
			}
		}
	})
	if told == 0 {
		t.Error("no snapshot told of any change")
	}
}

// hold holds a trace of a dump to the law, and returns how many spans that were.
func (w *watchedStream) hold(t interface{ Errorf(string, ...any) }, tr spans.Trace, at time.Time) (told int) {
	root := *tr.Root()
	if tr.Late || attributeOf(root, "rollspan.change") == "activity" || w.ofRollouts[attributeOf(root, "k8s.replicaset.uid")] {
		return 0 // what Events of things that are gone belonged to, they do not say
	}
	_, same := w.byID[root.SpanID.String()]
	if !same && !root.Start.After(w.obs[0].Time.Add(snapshotSlack)) {
		return 0 // the stream began later
	}
	switch how := attributeOf(root, "rollspan.outcome"); {
	case how == "superseded", how == "open" && at.Sub(root.Start) < snapshotSlack:
		return 0
	case how == "open" && strings.HasSuffix(w.name, ".txt"):
		return 0 // the Deployments of scenarios state no progress, which would say that they are done
	}
	for _, s := range tr.Spans {
		if s.SpanID != root.SpanID && s.Name != "Pod start" && s.Name != "Pod run" {
			continue
		}
		told++
		seen, ok := w.counterpart(s)
		if !ok {
			t.Errorf("%s at %s: there was no %s of %s, from %s to %s, in %s", w.name, at, s.Name, s.Subject, s.Start, s.End, root.Name)
			continue
		}
		if attributeOf(seen, "rollspan.outcome") == "failed" || seen.Status == codes.Error && s.SpanID != root.SpanID {
			continue // it recovered
		}
		what := fmt.Sprintf("%s at %s: %s of %s, in %s %s %s,", w.name, at, s.Name, s.Subject, root.Name, root.Subject, attributeOf(root, "rollspan.outcome"))
		if s.Start.Before(seen.Start) && seen.Start.Before(w.obs[0].Time.Add(snapshotSlack)) {
			continue // the stream began later
		}
		if off := s.Start.Sub(seen.Start); off.Abs() > precision(s, "start") {
			t.Errorf("%s begins %s off", what, off)
		}
		longer := s.End.Sub(s.Start) - seen.End.Sub(seen.Start)
		if longer > precision(s, "end")+precision(s, "start") {
			t.Errorf("%s takes %s longer", what, longer)
		} else if late := s.End.Sub(seen.End); late > precision(s, "end") {
			t.Errorf("%s ends %s late", what, late)
		}
	}
	return told
}
