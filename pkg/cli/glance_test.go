package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
)

// glanceOf is what is seen of a Rollout up to the line of a recording that has a text.
func glanceOf(t *testing.T, recording, namespace, name, until string) *glance {
	t.Helper()
	lines := linesOfRecording(recording)
	last := slices.IndexFunc(lines, func(line []byte) bool { return bytes.Contains(line, []byte(until)) })
	if last < 0 {
		t.Fatalf("no line has %s", until)
	}
	var cluster replaytest.Cluster
	var now time.Time
	for _, line := range lines[:last+1] {
		o := observed(line)
		if o == nil || o.Object == nil {
			continue
		}
		cluster.Take(o.Type, o.Object)
		now = o.Time
	}
	g := &glance{target: progress.Target{Kind: kindRollout, Namespace: namespace, Name: name}}
	if err := g.begin(causality.New(causality.Options{Settle: glanceSettles}), cluster.Objects(), time.Hour, now); err != nil {
		t.Fatal(err)
	}
	return g
}

// Of a Rollout it is told how it goes now, and of the rollouts that are dated when each began, the steps
// that Events tell of, and how it ended, where that is known.
func TestQuestionsAboutARollout(t *testing.T) {
	const recording = "argo-rollouts-canary-and-blue-green"
	for name, test := range map[string]struct {
		name, until  string
		why, history []string
	}{
		"paused": {"can", "Rollout is paused (CanaryPauseStep)",
			[]string{
				"Now: rollout/can in namespace argo: rollout, open; it waits for: its pause to be over, at 2026-11-26T04:35:24Z (step 2 of 4, pause).\n",
				"rollout/can in namespace argo: rollout of revision 2, open, began 2026-11-26T04:35:11Z and has been open for ",
				"It waits for: its pause to be over, at 2026-11-26T04:35:24Z (step 2 of 4, pause).\n",
				"* RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 25)\n", "* RolloutPaused: Rollout is paused (CanaryPauseStep)\n",
			},
			[]string{"rollout of revision 1   not known", "rollout of revision 2   open", "now: it waits for its pause to be over"}},
		"complete": {"can", "Rollout completed update to revision 2",
			[]string{"rollout of revision 2, complete, began 2026-11-26T04:35:11Z and took 29.5", "* RolloutCompleted: Rollout completed update to revision 2"},
			[]string{"rollout of revision 2   complete"}},
		"the first one": {"can", `RolloutHealthy`,
			[]string{"Now: rollout/can in namespace argo: rollout is complete.", "rollout of revision 1, complete, began 2026-11-26T04:34:54Z and took at most 7."},
			[]string{"   at most 7.", "rollout of revision 1   complete"}},
		"aborted": {"can", `"message":"RolloutAborted: Rollout aborted update to revision 3"`,
			[]string{"rollout of revision 3, failed, began 2026-11-26T04:35:49Z and took 3.", "The reason: RolloutAborted: Rollout aborted update to revision 3.", "ERROR: RolloutAborted: Rollout aborted update to revision 3"},
			[]string{"rollout of revision 2   complete", "rollout of revision 3   failed", "; RolloutAborted: Rollout aborted update to revision 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := glanceOf(t, recording, "argo", test.name, test.until)
			for command, wants := range map[string][]string{"why": test.why, "history": test.history} {
				out, q := answering("argo", test.name)
				if err := q.tellRollout(g, q.teller(command)); err != nil {
					t.Fatal(err)
				}
				for _, want := range wants {
					if !strings.Contains(out.String(), want) {
						t.Errorf("%s does not say %q:\n%s", command, want, out.String())
					}
				}
			}
			out, q := answering("argo", test.name)
			q.format = formatJSON
			var list history.ChangesJSON
			if err := q.tellRollout(g, q.teller("why")); err != nil || json.Unmarshal(out.Bytes(), &list) != nil || len(list.Changes) != 1 || list.Changes[0].Kind != kindRollout || len(list.Changes[0].Spans) != 1 {
				t.Errorf("as JSON it is %s, %v", out.String(), err)
			}
		})
	}
	for _, command := range []string{"status", "history", "why"} {
		if out, _, _ := rollspan(t, "", "__complete", command, "roll"); !strings.Contains(out, "rollout/") {
			t.Errorf("%s ro is completed by %q", command, out)
		}
	}
}

// Where the last rollout is not told, as nothing dates it, the one before is not taken for the last.
func TestTheLastRolloutIsNotProven(t *testing.T) {
	g := glanceOf(t, "argo-rollouts-canary-and-blue-green", "argo", "can", `"message":"RolloutAborted: Rollout aborted update to revision 3"`)
	const note = "the rollout of revision 3 began, or goes, is not proven"
	for _, left := range []int{len(g.changes), len(g.changes) - 1} {
		g.changes = g.changes[:left]
		_, q := answering("argo", "can")
		if err := q.tellRollout(g, q.why); err != nil {
			t.Fatal(err)
		}
		if said := q.Err.(*bytes.Buffer).String(); strings.Contains(said, note) != (left == 2) {
			t.Errorf("with %d rollouts it says\n%s", left, said)
		}
	}
}

func (q *question) teller(command string) func([]spans.Trace, []runtime.Object) error {
	if command == "why" {
		return q.why
	}
	return q.history
}

// answering is a question about a Rollout, and where it is answered.
func answering(namespace, name string) (*bytes.Buffer, *question) {
	var out, errs bytes.Buffer
	q := &question{app: &app{Streams: Streams{Out: &out, Err: &errs}, log: slog.New(slog.DiscardHandler)}, since: time.Hour, name: name}
	q.namespace = namespace
	q.asked = askable[slices.IndexFunc(askable, func(a asked) bool { return a.kind == kindRollout })]
	return &out, q
}
