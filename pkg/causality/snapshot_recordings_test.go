package causality_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// snapshotAt is what kubectl get would have shown at a time of a recording.
func snapshotAt(obs []causality.Observation, at time.Time) []runtime.Object {
	there := map[string]runtime.Object{}
	for _, o := range obs {
		switch {
		case o.Time.After(at):
		case o.Type == watch.Deleted:
			delete(there, identity(o))
		default:
			there[identity(o)] = o.Object
		}
	}
	objects := make([]runtime.Object, 0, len(there))
	for _, key := range slices.Sorted(maps.Keys(there)) {
		objects = append(objects, there[key].DeepCopyObject())
	}
	return objects
}

// replayHistory feeds what a snapshot proves to a new engine.
func replayHistory(h snapshots.History) []spans.Trace {
	e := newEngine(causality.Options{})
	var out []spans.Trace
	for _, o := range h.Observations {
		out = append(out, e.Observe(o)...)
	}
	out = append(out, e.Advance(h.End)...)
	return append(out, e.Flush()...)
}

// spanKey tells a span from all others.
type spanKey struct {
	trace.TraceID
	trace.SpanID
}

func byKey(traces []spans.Trace) map[spanKey]spans.Span {
	out := map[spanKey]spans.Span{}
	for _, s := range allSpans(traces) {
		out[spanKey{s.TraceID, s.SpanID}] = s
	}
	return out
}

// snapshotSlack is how far a time that a snapshot proves may be from what a
// watcher saw: the API has whole seconds, at either end of a span.
const snapshotSlack = 2 * time.Second

// TestSnapshotsOfRecordings takes a snapshot behind the end of every rollout of
// every recording, and holds what it proves against the whole recording: the
// rollout is there, with its ID and outcome, and the starts of its pods went
// through the same phases at the same times.
func TestSnapshotsOfRecordings(t *testing.T) {
	rollouts, phases := 0, 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		// Nothing in a snapshot tells whether a trace context was new.
		full := replayWith(causality.Options{TraceContext: causality.TraceContextLink}, obs)
		watched := byKey(full)
		for _, tr := range full {
			root := *tr.Root()
			if tr.Late || !reconstructed(root.Name) || attributeOf(root, "rollspan.outcome") == "open" {
				continue
			}
			at := root.End.Add(2 * time.Second)
			if root.Name == "Pod run" {
				at = at.Add(2 * time.Second) // the kubelet calls a pod failed only when all of it is gone
			}
			got := byKey(replayHistory(snapshots.Reconstruct(snapshotAt(obs, at), 24*time.Hour, at)))
			again, ok := got[spanKey{root.TraceID, root.SpanID}]
			if !ok {
				t.Errorf("revision %s of %s is not told by a snapshot of %s", attributeOf(root, "rollspan.revision"), root.Subject, at)
				continue
			}
			rollouts++
			for _, key := range []string{"rollspan.outcome", "rollspan.cause", "rollspan.revision", "rollspan.pods.wanted", "rollspan.pods.ready"} {
				if a, b := attributeOf(again, key), attributeOf(root, key); a != b {
					t.Errorf("%s revision %s: %s is %q, want %q", root.Subject, attributeOf(root, "rollspan.revision"), key, a, b)
				}
			}
			// The managed fields name the last writer only.
			if a, b := attributeOf(again, "rollspan.manager.name"), attributeOf(root, "rollspan.manager.name"); a != "" && a != b {
				t.Errorf("%s: the manager is %q, want %q", root.Subject, a, b)
			}
			combined := hasCombined(snapshotAt(obs, at))
			for key, s := range watched {
				if s.TraceID != root.TraceID || s.End.After(at) || !proven(s, watched) {
					continue
				}
				if combined && strings.HasPrefix(s.Name, "ReplicaSet scale") {
					continue // the words about some steps are lost
				}
				again, ok := got[key]
				if !ok {
					t.Errorf("no %s of %s at %s", s.Name, s.Subject, at)
					continue
				}
				phases++
				if d := again.Start.Sub(s.Start).Abs(); d > snapshotSlack {
					t.Errorf("%s of %s starts %s off: %s, want %s", s.Name, s.Subject, d, again.Start, s.Start)
				}
				// Since when a pod is gone nothing tells.
				stops := s.Name == "Pod stop" || s.Name == "ReplicaSet scale down"
				if d := again.End.Sub(s.End).Abs(); d > snapshotSlack && !stops {
					t.Errorf("%s of %s ends %s off: %s, want %s", s.Name, s.Subject, d, again.End, s.End)
				}
			}
		}
	})
	t.Logf("%d rollouts, %d spans", rollouts, phases)
}

// hasCombined reports whether there are Events that stand for several different
// ones.
func hasCombined(objects []runtime.Object) bool {
	return slices.ContainsFunc(objects, func(o runtime.Object) bool {
		ev, ok := o.(*corev1.Event)
		return ok && strings.HasPrefix(ev.Message, "(combined")
	})
}

// proven reports whether a snapshot can tell of a span. Of tries that failed
// and were followed by others nothing is left but how many there were, of a pause
// nothing at all, nor of the containers of a pod that is gone, nor of when the kubelet had
// reported what it states.
func proven(s spans.Span, all map[spanKey]spans.Span) bool {
	switch s.Name {
	case "paused", "late events", "stop container", "remove pod", "status latency":
		return false
	}
	parent := all[spanKey{s.TraceID, s.ParentID}]
	if parent.Name != "container" && parent.Name != "init container" {
		return true
	}
	for _, sibling := range all {
		if sibling.Name == "back off" && sibling.TraceID == s.TraceID && sibling.ParentID == s.ParentID {
			return false
		}
	}
	return true
}

// attributeOf is a span's attribute as text, "" if it has none.
func attributeOf(s spans.Span, key string) string {
	if v, ok := s.Attribute(attribute.Key(key)); ok {
		return v.String()
	}
	return ""
}

// reconstructed reports whether snapshots tell of changes of a kind.
func reconstructed(root string) bool {
	switch root {
	case "Deployment rollout", "StatefulSet rollout", "DaemonSet rollout", "Job run", "Pod run":
		return true
	}
	return false
}
