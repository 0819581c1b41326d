package watcher

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// previewing is an engine that has one change open.
type previewing struct{ engine }

func (previewing) Preview() []spans.Trace {
	return []spans.Trace{{Spans: []spans.Span{{Name: "Deployment rollout"}}}}
}

// A Live says what it watches, and what is in progress, while it runs; before and after that
// nothing is.
func TestStatus(t *testing.T) {
	api := newFakeAPI(t)
	api.codes = map[string]int{"nodes": 403}
	log, _ := testLog(slog.LevelInfo)
	l, err := NewLive(LiveOptions{
		Config: api.config(), Namespaces: []string{"shop"}, Log: log,
		Sink: func(string) (Sink, error) { return &collected{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.newEngine = func(o causality.Options) engine { return previewing{causality.New(o)} }
	if s := l.Status(); s.Ready || len(s.Watched) > 0 {
		t.Errorf("before it starts it is %+v", s)
	}
	none := func(when string) {
		if open, err := l.Preview(t.Context()); err != nil || len(open) > 0 {
			t.Errorf("%s there are %v in progress, %v", when, open, err)
		}
	}
	none("before it starts")
	stop := l.start(t)
	eventually(t, "the first lists", func() bool { return l.Status().Ready })
	s := l.Status()
	if !slices.Equal(s.Namespaces, []string{"shop"}) || !slices.Contains(s.Watched, "deployments") || !slices.Equal(s.Without, []string{"nodes"}) || s.Server == "" {
		t.Errorf("it is %+v", s)
	}
	for range 2 {
		if open, err := l.Preview(t.Context()); err != nil || len(open) != 1 || open[0].Root().Name != "Deployment rollout" {
			t.Errorf("there are %v in progress, %v", open, err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if l.previews.feeding.Load() {
		t.Error("it would still be asked")
	}
	none("in the end")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Preview(over); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits, and it says %v", err)
	}
}
