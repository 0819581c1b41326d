package watcher

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// A rollout that has just ended is told at the end. Where the first lists are not
// through nothing is: what seems to be over need not be.
func TestLiveTellsWhatIsOver(t *testing.T) {
	for _, listed := range []bool{true, false} {
		l := newTestLive(t)
		var said lockedBuffer
		l.options.Log = slog.New(slog.NewTextHandler(&said, nil))
		if listed {
			settleAll(l)
		}
		observations := recorded(t, "slow-image-pull.jsonl")
		for _, o := range observations {
			if err := l.enqueue(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		stopped := make(chan struct{})
		close(stopped)
		var sink collected
		if err := l.feed(remembering(t, causality.New(causality.Options{Settle: time.Hour})), &sink, stopped); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, trace := range sink.traces {
			names = append(names, trace.Root().Name)
		}
		want, words := []string{"Deployment rollout"}, "early=1 open=0"
		if !listed {
			want, words = nil, "stopped before the first lists were through"
		}
		if !slices.Equal(names, want) {
			t.Errorf("first lists through: %t: it told %q", listed, names)
		}
		if text := said.take(); !strings.Contains(text, words) {
			t.Errorf("first lists through: %t: it said\n%s", listed, text)
		}
	}
}
