package causality_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// watching tells of what is in progress, often enough for recordings of a minute.
var watching = causality.Options{InProgressAfter: 2 * time.Second, InProgressEvery: 3 * time.Second}

// live feeds observations to a new engine as a live run does, which tells it the
// time each second; flush ends the stream.
func live(obs []causality.Observation, options causality.Options, flush bool) []spans.Trace {
	e := newEngine(options)
	out := feed(e, obs)
	if flush {
		out = append(out, e.Flush()...)
	}
	return out
}

// feed gives an engine observations as a live run does.
func feed(e *causality.Engine, obs []causality.Observation) (out []spans.Trace) {
	for i, o := range obs {
		if i > 0 {
			for now := obs[i-1].Time.Add(time.Second); now.Before(o.Time); now = now.Add(time.Second) {
				out = append(out, e.Advance(now)...)
			}
		}
		out = append(out, e.Observe(o)...)
	}
	return out
}

// inProgress takes the spans that tell of changes in progress out of traces, by
// the root that is to come.
func inProgress(traces []spans.Trace) (of map[trace.SpanID][]spans.Span, rest []spans.Trace) {
	of = map[trace.SpanID][]spans.Span{}
	for _, t := range traces {
		if s := t.Root(); s.Name == "in progress" {
			of[s.ParentID] = append(of[s.ParentID], *s)
		} else {
			rest = append(rest, t)
		}
	}
	return of, rest
}

// belong checks that spans lie below and within the root of their trace.
func belong(t *testing.T, told []spans.Span, root spans.Span) {
	t.Helper()
	for _, s := range told {
		if s.ParentID != root.SpanID || s.TraceID != root.TraceID {
			t.Errorf("%s is in progress below %s, its root is %s", s.Subject, s.ParentID, root.SpanID)
		}
		if s.Start.Before(root.Start) || s.End.After(root.End) {
			t.Errorf("%s is in progress from %s to %s, its root %s is from %s to %s", s.Subject,
				s.Start, s.End, root.Name, root.Start, root.End)
		}
		if !s.End.After(s.Start) {
			t.Errorf("%s is in progress from %s to %s", s.Subject, s.Start, s.End)
		}
		if s.Service != root.Service || s.Subject != root.Subject {
			t.Errorf("%s of %s is in progress, its root is %s of %s", s.Subject, s.Service, root.Subject, root.Service)
		}
		if change := value(s, "rollspan.in_progress").AsString(); change != value(root, "rollspan.change").AsString() {
			t.Errorf("a %q of %s is in progress, its root is a %s", change, s.Subject, root.Name)
		}
		if value(s, "rollspan.waiting_for").AsString() == "" {
			t.Errorf("%s does not say what it waits for", s.Subject)
		}
	}
}

// TestInProgressOfRecordings: what is told of open changes lies within the
// changes that follow, without gaps, and changes nothing of them.
func TestInProgressOfRecordings(t *testing.T) {
	total := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		told, rest := inProgress(live(obs, watching, true))
		diff(t, canonical(live(obs, causality.Options{}, true)), canonical(rest))
		roots := roots(rest)
		for id, spans := range told {
			total += len(spans)
			root, ok := roots[id]
			if !ok {
				t.Errorf("%s is in progress, and its change never comes", spans[0].Subject)
				continue
			}
			belong(t, spans, root)
			if late := spans[0].Start.Sub(root.Start); late > time.Second {
				t.Errorf("%s: the first begins %s after its root", root.Subject, late)
			}
			for i := range spans[1:] {
				if !spans[i+1].Start.Equal(spans[i].End) {
					t.Errorf("%s: one ends at %s, the next begins at %s", root.Subject, spans[i].End, spans[i+1].Start)
				}
			}
		}
		paused := map[trace.SpanID]bool{}
		for _, s := range allSpans(rest) {
			paused[s.ParentID] = paused[s.ParentID] || s.Name == "paused"
		}
		for id, root := range roots {
			if paused[id] {
				continue // it may have had no number until the end
			}
			lasted := root.End.Sub(root.Start)
			if root.Name == "Deployment rollout" && lasted > watching.InProgressAfter+2*time.Second+2*watching.InProgressEvery && len(told[id]) == 0 {
				t.Errorf("%s lasted %s and was never in progress", root.Subject, lasted)
			}
		}
	})
	if total < 40 {
		t.Errorf("all recordings together have %d spans in progress", total)
	}
}

// TestInProgressOverARestart has one rollspan die at every third observation, and
// another one come. Together they send no span twice, and each is part of the
// change that the second one sends.
func TestInProgressOverARestart(t *testing.T) {
	// Longer than the engine waits for what comes late, so that the first may or
	// may not have sent the latest interval.
	// A change that joined the deployer's trace does not do so after a restart.
	watching := causality.Options{
		InProgressAfter: 2 * time.Second, InProgressEvery: 9 * time.Second,
		TraceContext: causality.TraceContextLink,
	}
	both := 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for n := 1; n < len(obs); n += 3 * stride(t) {
			died, came := live(obs[:n], watching, false), live(restarted(obs, n), watching, true)
			before, sent := inProgress(died)
			after, rest := inProgress(came)
			known := roots(sent)
			changes := roots(rest)
			for id, spans := range before {
				// What ends about the time of the restart is never told.
				if root, ok := changes[id]; ok && known[id].Name == "" {
					belong(t, spans, root)
				}
			}
			for id, spans := range after {
				if _, over := known[id]; over {
					continue // a rollout that recovers after its failure is told again
				}
				root, ok := changes[id]
				if !ok {
					t.Errorf("restarted at %s: %s is in progress, and its change never comes", obs[n].Time, spans[0].Subject)
					continue
				}
				first := before[id]
				if len(first) > 0 {
					both++
					if last := first[len(first)-1]; last.End.After(spans[0].Start) {
						t.Errorf("restarted at %s: %s is in progress to %s, and from %s on", obs[n].Time, root.Subject, last.End, spans[0].Start)
					}
				}
				belong(t, spans, root)
			}
			ids := map[trace.SpanID]bool{}
			for _, of := range []map[trace.SpanID][]spans.Span{before, after} {
				for _, told := range of {
					for _, s := range told {
						if ids[s.SpanID] {
							t.Errorf("restarted at %s: %s has the ID %s of another", obs[n].Time, s.Subject, s.SpanID)
						}
						ids[s.SpanID] = true
					}
				}
			}
			if t.Failed() {
				return
			}
		}
	})
	if both == 0 {
		t.Error("no change was in progress before and after a restart")
	}
}
