package history_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// tell are the traces of a recording, in the portions in which the engine hands them out.
func tell(t testing.TB, recording string) (told []spans.Trace) {
	t.Helper()
	file, err := os.Open(filepath.Join("../../test/recordings", recording+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // it is only read
	engine := causality.New(causality.Options{})
	for r := watcher.NewRecordingReader(file, recording); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return append(told, engine.Flush()...)
		}
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, engine.Observe(o)...)
	}
}

// Of a rollout that pulled a large image the list says so, and its spans are found by its ID.
func TestWhatWasTold(t *testing.T) {
	store := history.NewMemory(history.Options{MaxAge: -1})
	for _, trace := range tell(t, "slow-image-pull") {
		store.Add(trace)
	}
	page, err := store.List(t.Context(), history.Query{Filter: history.Filter{Text: "BIG deployment"}})
	if err != nil || len(page.Changes) != 1 || page.Next != "" {
		t.Fatalf("found %+v, %v", page, err)
	}
	s := page.Changes[0]
	if s.Object() != "Deployment bigpull/big" || s.Biggest().Phase != "pull_image" || s.Outcome != "complete" {
		t.Errorf("the list says %+v", s)
	}
	c, err := store.Change(t.Context(), s.ID)
	if err != nil || len(c.Spans) != s.Spans || c.Spans[0].SpanID != s.ID.Root {
		t.Errorf("the change is %+v, %v", c, err)
	}
	o, err := store.Overview(t.Context(), history.OverviewQuery{Filter: history.Filter{From: s.Start, To: s.End}, Steps: 10})
	if err != nil || len(o.Workloads) != 1 || len(o.Nodes) != 1 || o.Nodes[0].Name != "node-a" || len(o.Nodes[0].Pods) != 1 {
		t.Errorf("the overview is %+v, %v", o, err)
	}
}
