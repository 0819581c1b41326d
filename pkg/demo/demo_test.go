package demo

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// TestPlayedAsRecorded plays all of it to a live rollspan, which is to tell what a replay
// of the same events does: no duration is that of the machine that plays.
func TestPlayedAsRecorded(t *testing.T) {
	d, err := New(100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	played := make(chan error, 1)
	go func() {
		played <- d.Play(ctx)
		stop()
	}()
	var got trees
	live, err := watcher.NewLive(watcher.LiveOptions{
		Config: d.Config(), Clock: d, Observed: d.Observed, Log: slog.New(slog.DiscardHandler),
		Sink: func(string) (watcher.Sink, error) { return &got, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(watcher.Run(ctx, live, watcher.ManagerOptions{Grace: time.Minute}), <-played, live.Close()); err != nil {
		t.Fatal(err)
	}

	var want trees
	engine := causality.New(causality.Options{})
	recording := watcher.NewRecordingReader(lines(t, d.events), "played")
	for {
		o, err := recording.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		want.deliver(t, engine.Observe(o))
	}
	want.deliver(t, engine.Advance(d.events[len(d.events)-1].At.Add(settle)))
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 20 {
		t.Fatalf("a replay has %d trees", len(want))
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("this is not played:\n%s", want[i])
		case i >= len(want):
			t.Errorf("this is played, and no replay has it:\n%s", got[i])
		case got[i] != want[i]:
			t.Errorf("played:\n%s\nrecorded:\n%s", got[i], want[i])
		}
	}
}

// trees is a sink that keeps what people would see.
type trees []string

// Deliver keeps a trace.
func (all *trees) Deliver(t spans.Trace) error {
	var b strings.Builder
	err := text.WriteTree(&b, t)
	*all = append(*all, b.String())
	return err
}

func (all *trees) deliver(t *testing.T, traces []spans.Trace) {
	t.Helper()
	for _, tr := range traces {
		if err := all.Deliver(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// lines is events as a recording.
func lines(t *testing.T, events []recorded) io.Reader {
	t.Helper()
	var b bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&b).Encode(map[string]any{"time": e.At, "type": e.Type, "object": e.Object}); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

// TestRecordingsAreThoseOfTheTests holds the copies to what the engine's goldens are of.
func TestRecordingsAreThoseOfTheTests(t *testing.T) {
	files, err := recordings.ReadDir("recordings")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		packed, err := recordings.Open("recordings/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		copied, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(copied)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../../test/recordings", strings.TrimSuffix(file.Name(), ".gz")))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what test/recordings has", file.Name())
		}
	}
}
