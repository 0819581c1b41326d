package progress_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// argoRecordings are those of Argo Rollouts' controller, with the Rollouts that they have. Of the first
// alone they have the status.
var argoRecordings = map[string][]progress.Target{
	"argo-rollouts-canary-and-blue-green":          rolloutsIn("argo", "can", "bg"),
	"argo-rollouts-aborted-retried-superseded":     rolloutsIn("argo-a2", "retried", "superseded"),
	"argo-rollouts-restarted-and-blue-green-abort": rolloutsIn("argo-c2", "restarted", "switched"),
	"argo-rollouts-scaled-rolled-back-deleted":     rolloutsIn("argo-b2", "deleted", "back", "scaled"),
}

func rolloutsIn(namespace string, names ...string) (targets []progress.Target) {
	for _, name := range names {
		targets = append(targets, progress.Target{Kind: "Rollout", Namespace: namespace, Name: name})
	}
	return targets
}

// moment is what there is at a time of a recording.
type moment struct {
	line    int
	now     time.Time
	objects []runtime.Object
}

// momentsOf are the moments of a recording, and the roots that a run tells of it, by their IDs.
func momentsOf(t *testing.T, recording string) (moments []moment, told map[trace.SpanID]spans.Span) {
	t.Helper()
	whole, err := os.ReadFile(filepath.Join("../../test/recordings", recording+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(whole, []byte("\n"))
	engine := causality.New(causality.Options{})
	told = map[trace.SpanID]spans.Span{}
	note := func(traces []spans.Trace) {
		for i := range traces {
			if root := traces[i].Root(); root != nil && !traces[i].Late {
				told[root.SpanID] = *root
			}
		}
	}
	var cluster replaytest.Cluster
	for r := watcher.NewRecordingReader(bytes.NewReader(whole), recording); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			note(engine.Flush())
			return moments, told
		}
		if err != nil {
			t.Fatal(err)
		}
		note(engine.Observe(o))
		cluster.Take(o.Type, withStatus(t, o.Object, lines[r.Line()-1]))
		moments = append(moments, moment{line: r.Line(), now: o.Time, objects: cluster.Objects()})
	}
}

// told are the rollouts of a Rollout that are told at a moment.
func (m *moment) told(t *testing.T, target progress.Target) []spans.Trace {
	t.Helper()
	tracker := progress.New(target, causality.New(causality.Options{}), false)
	if err := tracker.Begin(m.objects, time.Hour, m.now); err != nil {
		if errors.Is(err, progress.ErrNotThere) {
			return nil
		}
		t.Fatal(err)
	}
	s := tracker.At(m.now)
	return progress.ToldRollouts(&s, m.objects, time.Hour)
}

// tolerance is how far what is stated to the second may be from what was seen.
const tolerance = 2 * time.Second

// TestLawToldRollouts holds what is told of the rollouts of a Rollout, whenever it is asked, to what a run
// tells that saw all of it: the same rollouts with the same IDs, each boundary within its precision, and no
// outcome but the one that it had.
func TestLawToldRollouts(t *testing.T) {
	outcomes := map[string]int{}
	for recording, targets := range argoRecordings {
		moments, seen := momentsOf(t, recording)
		for _, target := range targets {
			t.Run(target.Name, func(t *testing.T) {
				for i := range moments {
					m := &moments[i]
					if testing.Short() && m.line%3 != 0 {
						continue
					}
					changes := m.told(t, target)
					for j := range changes {
						root := changes[j].Root()
						run, ok := seen[root.SpanID]
						if !ok {
							t.Fatalf("line %d: no run tells of revision %d", m.line, revisionOf(root))
						}
						outcomes[known(root)]++
						holdTold(t, m, root, &run)
					}
				}
			})
		}
	}
	for _, outcome := range []string{"open", "complete", "failed", "unknown"} {
		if outcomes[outcome] == 0 {
			t.Errorf("of none it is told that it is %s: %v", outcome, outcomes)
		}
	}
	t.Log(outcomes)
}

// TestLawToldRolloutsInPart holds the same where Events are missing: they expire after an hour, and of many
// in a short time a recorder sends some alone. One that was aborted and tried again may be told as complete
// then, as nothing else tells of the abort.
func TestLawToldRolloutsInPart(t *testing.T) {
	type recorded struct {
		moments []moment
		seen    map[trace.SpanID]spans.Span
	}
	read := map[string]recorded{}
	for recording := range argoRecordings {
		moments, seen := momentsOf(t, recording)
		read[recording] = recorded{moments, seen}
	}
	names := slices.Sorted(maps.Keys(argoRecordings))
	rapid.Check(t, func(rt *rapid.T) {
		recording := rapid.SampledFrom(names).Draw(rt, "recording")
		target := rapid.SampledFrom(argoRecordings[recording]).Draw(rt, "target")
		r := read[recording]
		m := r.moments[rapid.IntRange(0, len(r.moments)-1).Draw(rt, "moment")]
		whole := m.objects
		m.objects = nil
		for _, o := range whole {
			if _, event := o.(*corev1.Event); !event || rapid.Bool().Draw(rt, "is there") {
				m.objects = append(m.objects, o)
			}
		}
		changes := m.told(t, target)
		for i := range changes {
			root := changes[i].Root()
			run, ok := r.seen[root.SpanID]
			if !ok {
				rt.Fatalf("no run tells of revision %d", revisionOf(root))
			}
			if target.Name == "retried" && revisionOf(root) == 2 && known(root) == "complete" {
				continue
			}
			holdTold(rt, &m, root, &run)
		}
	})
}

// known is the outcome that is told, "unknown" where it is not known.
func known(root *spans.Span) string {
	if !text.EndIsKnown(root) {
		return "unknown"
	}
	return root.Text(attr.OutcomeKey)
}

func revisionOf(root *spans.Span) int64 {
	v, _ := root.Attribute(attr.RevisionKey)
	return v.AsInt64()
}

func holdTold(t rapid.TB, m *moment, root, run *spans.Span) {
	t.Helper()
	wrong := func(format string, args ...any) {
		t.Helper()
		t.Errorf("line %d, %s: revision %d: "+format, append([]any{m.line, m.now.Format("15:04:05.000"), revisionOf(root)}, args...)...)
	}
	if root.TraceID != run.TraceID || root.Name != run.Name || root.Kind != run.Kind || root.Subject != run.Subject || root.Service != run.Service || root.Target != run.Target {
		wrong("it is %+v, of a run %+v", root, run)
	}
	for _, kv := range append(slices.Clone(root.Resource), root.Attributes...) {
		switch kv.Key {
		case attr.OutcomeKey, attr.WaitingForKey, attr.EndPrecisionKey, attr.EndSourceKey:
			continue
		}
		if v, ok := run.Attribute(kv.Key); !ok || v != kv.Value {
			wrong("%s is %s, of a run %s", kv.Key, kv.Value.String(), v.String())
		}
	}
	if d := root.Start.Sub(run.Start).Abs(); d > tolerance {
		wrong("it begins %s apart from %s", d, run.Start)
	}
	outcome := known(root)
	switch {
	case outcome == "open":
		if run.End.Before(m.now.Add(-tolerance)) {
			wrong("it is open, and of a run it ended at %s as %s", run.End, run.Text(attr.OutcomeKey))
		}
	case outcome != "unknown" && outcome != run.Text(attr.OutcomeKey):
		wrong("it is %s, of a run %s", outcome, run.Text(attr.OutcomeKey))
	default:
		within := tolerance
		if v, ok := root.Attribute(attr.EndPrecisionKey); ok {
			within += time.Duration(v.AsFloat64() * float64(time.Second))
		}
		if d := root.End.Sub(run.End).Abs(); d > within {
			wrong("it ends %s apart from %s", d, run.End)
		}
	}
	for _, ev := range root.Events {
		if ev.Time.Before(root.Start) || ev.Time.After(root.End) {
			wrong("%s at %s is not in its time", ev.Name, ev.Time)
		}
	}
}
