package causality_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// closed is what a rollspan tells that is stopped ahead of observation n: in its
// life, and at its end.
func closed(obs []causality.Observation, n int) (before, atEnd []spans.Trace) {
	e := newEngine(watching)
	before = feed(e, obs[:n])
	return before, e.Close()
}

// TestCloseAnywhere stops rollspan at every observation. What was over is told, as it
// would have been if nobody had stopped it, but for what comes late.
func TestCloseAnywhere(t *testing.T) {
	early := 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		full := replay(obs)
		want, undisturbed := roots(full), story(full)
		for n := 1; n <= len(obs); n += stride(t) {
			before, atEnd := closed(obs, n)
			at := obs[n-1].Time
			ids := map[trace.SpanID]bool{}
			for _, s := range allSpans(append(before, atEnd...)) {
				if ids[s.SpanID] {
					t.Errorf("stopped at %s: %s %s is told twice", clockOf(at), s.Name, s.Subject)
				}
				ids[s.SpanID] = true
			}
			for _, s := range allSpans(atEnd) {
				if s.Name == "in progress" || value(s, "rollspan.outcome").AsString() == "open" {
					t.Errorf("stopped at %s: %s %s is not over", clockOf(at), s.Name, s.Subject)
				}
			}
			for id, g := range story(atEnd) {
				if w := undisturbed[id]; g.text != w.text {
					t.Errorf("stopped at %s: it says %s, and otherwise %q", clockOf(at), g.text, w.text)
				}
			}
			for id, s := range roots(atEnd) {
				early++
				if off := s.End.Sub(want[id].End).Abs(); off > 2*time.Second {
					t.Errorf("stopped at %s: %s %s ends %s from when it otherwise does", clockOf(at), s.Name, s.Subject, off)
				}
			}
		}
	})
	if early < 1000 {
		t.Errorf("%d changes were told early, of all recordings and scenarios", early)
	}
}

// eventsOf are the spans that Events are on, by the Events' UIDs.
func eventsOf(traces []spans.Trace) map[string]spans.Span {
	on := map[string]spans.Span{}
	for _, s := range allSpans(traces) {
		for _, e := range s.Events {
			for _, kv := range e.Attributes {
				if kv.Key == "k8s.event.uid" {
					on[kv.Value.AsString()] = s
				}
			}
		}
	}
	return on
}

func clockOf(t time.Time) string { return t.Format("04:05.000") }

// TestCloseAndRestartAnywhere stops rollspan at every observation, and starts another
// one that goes on. What was over by then one of the two tells, and no span is told by
// both. TestRestartAnywhere is about what was open.
func TestCloseAndRestartAnywhere(t *testing.T) {
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		full := replay(obs)
		want := roots(full)
		// A rollout that was failed and recovers looks as if it had never failed: that
		// it had is gone from the status.
		recovered := map[trace.TraceID]bool{}
		for _, s := range allSpans(full) {
			if s.Name == "Deployment recovery" || s.Name == "Rollout recovery" {
				recovered[s.TraceID] = true
			}
		}
		for n := 1; n < len(obs); n += stride(t) {
			// A Rollout that lately was complete and misses a pod looks as if it were not yet.
			misses := missesAPod(want, obs[n].Time)
			before, atEnd := closed(obs, n)
			first, second := slices.Concat(before, atEnd), replay(restarted(obs, n))
			told := map[trace.SpanID]bool{}
			for _, s := range allSpans(first) {
				told[s.SpanID] = true
			}
			for _, s := range allSpans(second) {
				if told[s.SpanID] && !recovered[s.TraceID] && !misses[s.TraceID] {
					t.Errorf("stopped at %s: %s %s is told by both", clockOf(obs[n].Time), s.Name, s.Subject)
				}
				told[s.SpanID] = true
			}
			events := eventsOf(atEnd)
			for id, of := range eventsOf(second) {
				if other, both := events[id]; both && strings.HasSuffix(other.Name, " activity") {
					t.Errorf("stopped at %s: the Event %s is on %s of %s, and then on %s of %s", clockOf(obs[n].Time), id,
						other.Name, other.Subject, of.Name, of.Subject)
				}
			}
			for id, w := range want {
				// A second, as the API states many ends no better.
				if !told[id] && w.End.Before(obs[n-1].Time.Add(-time.Second)) {
					t.Errorf("stopped at %s: nobody tells of %s", clockOf(obs[n].Time),
						fmt.Sprintf("%s %s, which ended at %s", w.Name, w.Subject, clockOf(w.End)))
				}
			}
		}
	})
}

// missesAPod are the rollouts of Argo Rollouts whose pods are being replaced at a time.
func missesAPod(changes map[trace.SpanID]spans.Span, at time.Time) map[trace.TraceID]bool {
	rollouts := map[trace.TraceID]bool{}
	for _, c := range changes {
		rollouts[c.TraceID] = rollouts[c.TraceID] || c.Name == "Rollout rollout"
	}
	misses := map[trace.TraceID]bool{}
	for _, c := range changes {
		if c.Name != "Pod replacement" || c.Start.After(at) || c.End.Before(at.Add(-time.Second)) {
			continue
		}
		for _, l := range c.Links {
			misses[l.TraceID] = rollouts[l.TraceID]
		}
	}
	return misses
}
