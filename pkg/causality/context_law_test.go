package causality_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"go.opentelemetry.io/otel/trace"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// deployed is a recording in which every write of a workload's spec left a
// context of its own.
func deployed(obs []causality.Observation) []causality.Observation {
	out := make([]causality.Observation, len(obs))
	for i, o := range obs {
		out[i] = o
		switch o.Object.(type) {
		case *appsv1.Deployment, *appsv1.StatefulSet, *appsv1.DaemonSet, *batchv1.Job, *corev1.Pod:
		default:
			continue
		}
		out[i].Object = o.Object.DeepCopyObject()
		meta := out[i].Object.(metav1.Object)
		h := fnv.New64a()
		fmt.Fprint(h, meta.GetUID(), meta.GetGeneration())
		annotate(meta, "annotation:traceparent", fmt.Sprintf("00-%032x-%016x-01", h.Sum64(), h.Sum64()))
	}
	return out
}

type spanAt struct {
	trace trace.TraceID
	span  trace.SpanID
}

// Joining moves changes to other traces and does nothing else: there are the
// same spans with the same IDs, each in the trace of the change it is part of,
// and every link that led to a span still does.
func TestLawJoiningOnlyMovesChanges(t *testing.T) {
	joined := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		obs = deployed(obs)
		alone := replayWith(causality.Options{TraceContext: causality.TraceContextIgnore}, obs)
		together := allSpans(replay(obs))
		moved := map[trace.SpanID]spans.Span{}
		traceOf := map[trace.TraceID]trace.TraceID{} // of a change alone: where it is now
		for _, s := range together {
			moved[s.SpanID] = s
		}
		there := map[spanAt]bool{}
		for _, s := range allSpans(alone) {
			there[spanAt{s.TraceID, s.SpanID}] = true
			if isRoot(s) {
				traceOf[s.TraceID] = moved[s.SpanID].TraceID
			}
		}
		if len(moved) != len(there) {
			t.Errorf("%d spans became %d", len(there), len(moved))
		}
		for _, s := range allSpans(alone) {
			m, ok := moved[s.SpanID]
			if !ok {
				t.Errorf("%s %s is gone", s.Name, s.Subject)
				continue
			}
			if m.Name != s.Name || m.Subject != s.Subject || !m.Start.Equal(s.Start) || !m.End.Equal(s.End) || len(m.Events) != len(s.Events) {
				t.Errorf("%s %s became %s %s", s.Name, s.Subject, m.Name, m.Subject)
			}
			if m.TraceID != traceOf[s.TraceID] {
				t.Errorf("%s %s is in trace %s, its change in %s", m.Name, m.Subject, m.TraceID, traceOf[s.TraceID])
			}
			switch {
			case isRoot(s) && m.ParentID.IsValid() != (m.TraceID != s.TraceID):
				t.Errorf("%s %s was in trace %s, is in %s, below %s", s.Name, s.Subject, s.TraceID, m.TraceID, m.ParentID)
			case isRoot(s) && m.ParentID.IsValid():
				joined++
			case !isRoot(s) && m.ParentID != s.ParentID:
				t.Errorf("%s %s was below %s and is below %s", s.Name, s.Subject, s.ParentID, m.ParentID)
			}
			leads := map[spanAt]bool{}
			for _, l := range m.Links {
				leads[spanAt{l.TraceID, l.SpanID}] = true
			}
			for _, l := range s.Links {
				if there[spanAt{l.TraceID, l.SpanID}] && !leads[spanAt{traceOf[l.TraceID], l.SpanID}] {
					t.Errorf("%s %s: a link to %s does not lead to where that is now: %v", s.Name, s.Subject, l.TraceID, m.Links)
				}
			}
		}
	})
	if joined < 20 {
		t.Errorf("only %d changes joined a trace: the law was not put to the test", joined)
	}
}

// Which trace a change joins does not depend on which stream is late.
func TestSameTracesWithOneStreamLagging(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		obs = deployed(obs)
		want := canonical(replay(obs))
		for _, kind := range []string{"Deployment", "ReplicaSet", "ControllerRevision", "Pod"} {
			diff(t, want, canonical(replay(lagging(obs, kind, maxLag))))
			if t.Failed() {
				t.Fatalf("with %s lagging", kind)
			}
		}
	})
}
