package alarms

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// told has the alarms of a recording, as a run tells them, and the traces.
type told struct {
	alarms []Alarm
	traces map[trace.TraceID]*spans.Span // the roots
}

func (o *told) Begin(a Alarm) { o.alarms = append(o.alarms, a) }

func (o *told) take(traces []spans.Trace) {
	for i := range traces {
		if root := traces[i].Root(); root != nil && !traces[i].Late {
			o.traces[root.TraceID] = root
		}
	}
}

// tellRecording feeds an engine and a Watch as a run does: each second there is a tick.
func tellRecording(t *testing.T, path string) *told {
	t.Helper()
	out := &told{traces: map[trace.TraceID]*spans.Span{}}
	w := New(Options{Metrics: metrics.NewAlarms(metrics.Options{}, Reasons()), Sink: out})
	e := causality.New(causality.Options{})
	tick := func(now time.Time) {
		stats := e.Stats()
		w.Tick(now, stats.Rollouts, stats.Disruptions, e.About)
		out.take(e.Advance(now))
	}
	var last time.Time
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it is only read
	for r := watcher.NewRecordingReader(f, path); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for ; !last.IsZero() && o.Time.Sub(last) > time.Second && o.Time.Sub(last) < time.Hour; last = last.Add(time.Second) {
			tick(last.Add(time.Second))
		}
		if last.IsZero() || o.Time.Sub(last) >= time.Hour {
			last = o.Time
		}
		w.Observe(o)
		out.take(e.Observe(o))
	}
	tick(last.Add(time.Second))
	out.take(e.Flush())
	return out
}

// An alarm that an Event raises says of which workload its object is, and names the trace of the
// change that is open about it: one that comes, of that workload.
func TestAlarmsOfEventsHaveTheirWorkloadAndItsChange(t *testing.T) {
	files, err := filepath.Glob("../../test/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	ofPods, traced := 0, 0
	for _, path := range files {
		out := tellRecording(t, path)
		for _, a := range out.alarms {
			if a.Object.Kind != "Pod" {
				continue
			}
			ofPods++
			if a.Workload == (Object{}) {
				t.Errorf("%s: %s of %s/%s has no workload", path, a.Name, a.Object.Namespace, a.Object.Name)
			}
			if !a.TraceID.IsValid() {
				continue
			}
			traced++
			root := out.traces[a.TraceID]
			switch {
			case root == nil || root.SpanID != a.SpanID:
				t.Errorf("%s: %s of %s names a trace that does not come", path, a.Name, a.Object.Name)
			case a.Since.Before(root.Start) || a.Since.After(root.End):
				t.Errorf("%s: %s of %s, at %s, is not of the change from %s to %s", path, a.Name, a.Object.Name, a.Since, root.Start, root.End)
			}
		}
	}
	if ofPods == 0 || traced == 0 {
		t.Errorf("of %d alarms of pods %d name a trace", ofPods, traced)
	}
	t.Logf("of %d alarms of pods %d name a trace", ofPods, traced)
}
