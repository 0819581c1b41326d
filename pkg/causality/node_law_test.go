package causality_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// No recording has Nodes, so their laws are held against the scenarios.

// forEachNodeScenario runs a test over the observations of all scenarios about
// nodes, as one stream.
func forEachNodeScenario(t *testing.T, test func(t *testing.T, obs []causality.Observation)) {
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if !strings.HasPrefix(name, "node-") && name != "preempted" {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) { test(t, scenarioObservations(t, file)) })
	}
	if n == 0 {
		t.Error("there are no scenarios about nodes")
	}
}

// scenarioObservations reads what a scenario observes, and nothing else of it.
func scenarioObservations(t *testing.T, file string) (obs []causality.Observation) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w, observing := newWorld(), false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "observe":
			observing = true
		case line == "----":
			observing = false
		case observing:
			o, err := w.observation(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			obs = append(obs, o)
		}
	}
	return obs
}

func TestNodesGiveTheSameSpansForAnyInterleaving(t *testing.T) {
	forEachNodeScenario(t, sameForAnyInterleaving)
}

func TestNodesGiveTheSameSpansWithOneStreamLagging(t *testing.T) {
	forEachNodeScenario(t, func(t *testing.T, obs []causality.Observation) {
		want := canonical(replay(obs))
		for _, kind := range []string{"Node", "Pod", "Event", "Deployment", "ReplicaSet"} {
			diff(t, want, canonical(replay(lagging(obs, kind, maxLag))))
			if t.Failed() {
				t.Fatalf("with %s lagging", kind)
			}
		}
	})
}

func TestARelistOfNodesChangesNothing(t *testing.T) {
	forEachNodeScenario(t, func(t *testing.T, obs []causality.Observation) {
		want := canonical(replay(obs))
		for n := 1; n < len(obs); n++ {
			diff(t, want, canonical(replay(slices.Concat(obs[:n], existing(obs, n), obs[n:]))))
			if t.Failed() {
				t.Fatalf("with a relist at %s", obs[n].Time.Format("04:05.000"))
			}
		}
	})
}

func TestDamagedStreamsOfNodes(t *testing.T) {
	forEachNodeScenario(t, func(t *testing.T, obs []causality.Observation) {
		rapid.Check(t, func(t *rapid.T) {
			rate := rapid.IntRange(1, 60).Draw(t, "percent of the lines that are damaged")
			seed := rapid.Uint64().Draw(t, "seed")
			var damaged []causality.Observation
			for i, o := range obs {
				if dice := mix(seed, uint64(i)); int(dice%100) < rate {
					damaged = append(damaged, damage(o, dice/100)...)
				} else {
					damaged = append(damaged, o)
				}
			}
			sound(t, replay(damaged))
		})
	})
}

// TestRestartWhileNodesAreDisrupted starts rollspan at every observation. A
// disruption that is open then, or comes later, is told under the same ID, and
// what it leads to is linked to it.
func TestRestartWhileNodesAreDisrupted(t *testing.T) {
	forEachNodeScenario(t, func(t *testing.T, obs []causality.Observation) {
		if strings.HasSuffix(t.Name(), "rubbish") {
			t.Skip("its clocks are wrong, and what they said is gone from the list")
		}
		want := roots(replay(obs))
		created := map[string]time.Time{}
		for _, o := range obs {
			if in, ok := o.Object.(*corev1.Node); ok {
				created["node/"+in.Name] = in.CreationTimestamp.Time
			}
		}
		for n := 1; n < len(obs); n++ {
			at := obs[n].Time
			got := roots(replay(restarted(obs, n)))
			for id, w := range want {
				g, told := got[id]
				what := fmt.Sprintf("restarted at %s: %s %s (%s, %s..%s)", at.Format("04:05.000"), w.Name, w.Subject,
					value(w, "rollspan.cause").AsString(), w.Start.Format("04:05.000"), w.End.Format("04:05.000"))
				later, open := w.Start.After(at.Add(2*time.Second)), w.End.After(at.Add(2*time.Second))
				switch {
				case w.Name == "Node disruption" && w.End.Before(at.Add(-2*time.Second)) && told:
					t.Errorf("%s is told again", what)
				case w.Name == "Node disruption" && (later || open && value(w, "rollspan.cause").AsString() != "Rebooted") && !told:
					t.Errorf("%s is not told", what)
				case told && later && value(g, "rollspan.outcome").AsString() != value(w, "rollspan.outcome").AsString():
					t.Errorf("%s: outcome %s", what, value(g, "rollspan.outcome").AsString())
				}
				for _, l := range w.Links {
					d, known := got[l.SpanID]
					// One rollspan may date an open rollout by its own beginning, or take the
					// pod of the next one for it.
					moved := value(w, "rollspan.change").AsString() == "rollout" && known &&
						(d.End.Before(g.Start) || slices.ContainsFunc(slices.Collect(maps.Values(got)), func(s spans.Span) bool { return linksTo(s, l.SpanID) }))
					if told && known && !linksTo(g, l.SpanID) && !moved {
						t.Errorf("%s is not linked to %s", what, l.TraceID)
					}
				}
			}
			for id, g := range got {
				// What a Node began its life with is not known to who came later.
				young := g.Start.Sub(created[g.Subject]) < 2*time.Minute
				if _, ok := want[id]; !ok && g.Name == "Node disruption" && !young {
					t.Errorf("restarted at %s: %s %s (%s, from %s) did not happen", at.Format("04:05.000"), g.Name, g.Subject,
						value(g, "rollspan.cause").AsString(), g.Start.Format("04:05.000"))
				}
			}
		}
	})
}

func linksTo(s spans.Span, id trace.SpanID) bool {
	return slices.ContainsFunc(s.Links, func(l spans.Link) bool { return l.SpanID == id })
}
