package e2e

import (
	"fmt"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestInProgress has a rollout stuck on an image that is not there. Long before its
// deadline Jaeger shows what it waits for; when the image is fixed, the rollout
// that was stuck comes as the parent of what was sent before.
func TestInProgress(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	program := s.runApart("--in-progress-after", "5s", "--in-progress-every", "5s")
	s.watches(program, liveKinds...)
	s.create(app{replicas: 2, life: map[string]string{"back-off": "1h"}})
	s.complete(1)
	s.update("nope")

	var stuck *trace
	s.eventually("three spans in progress, the last of them of a pod in trouble, and no root", func() error {
		traces, err := s.traces(inProgress)
		if err != nil {
			return err
		}
		for i := range traces {
			sent := traces[i].Spans
			last := sent[len(sent)-1].Attributes
			// The first rollout may be in progress for as long on a slow machine.
			if len(sent) >= 3 && last["rollspan.revision"] == int64(2) && last["rollspan.waiting.reason"] == "ImagePullBackOff" {
				stuck = &traces[i]
				return nil
			}
		}
		return fmt.Errorf("%d traces are in progress", len(traces))
	})
	pods := s.pods("nope")
	if len(pods) != 1 {
		t.Fatalf("%d pods have the new image, want one", len(pods))
	}
	for i := range stuck.Spans {
		sp := &stuck.Spans[i]
		s.has(sp, map[string]any{
			"k8s.deployment.name": appName, "rollspan.in_progress": "rollout", "rollspan.change": nil, "rollspan.revision": 2,
			"rollspan.pods.wanted": 2, "rollspan.pods.ready": 0, "error.type": nil,
		})
		if i > 0 && !sp.Start.Equal(stuck.Spans[i-1].End) {
			t.Errorf("one ends at %s, the next begins at %s", stuck.Spans[i-1].End, sp.Start)
		}
	}
	// The others may have met the pod before.
	last := &stuck.Spans[len(stuck.Spans)-1]
	s.has(last, map[string]any{
		"rollspan.waiting_for":    fmt.Sprintf("0 of 2 ready; pod %s: ImagePullBackOff: %s: not found", pods[0].Name, s.image("nope")),
		"rollspan.waiting.reason": "ImagePullBackOff",
	})

	s.update("2")
	s.complete(3)
	whole := s.rollout(2)
	s.has(whole.Root(), map[string]any{"rollspan.outcome": "superseded"})
	if whole.ID != stuck.ID {
		t.Fatalf("trace %s was in progress, the rollout is %s", stuck.ID, whole.ID)
	}
	for i := range stuck.Spans {
		if now := whole.Span(stuck.Spans[i].ID); now == nil || !sameSpan(now, &stuck.Spans[i]) {
			t.Errorf("%s was sent as\n%+v, and is now\n%+v", stuck.Spans[i].ID, stuck.Spans[i], now)
		}
	}
	for _, sp := range named(whole, inProgress) {
		if sp.ParentID != whole.Root().ID {
			t.Errorf("%s is below %s, want the root %s", sp.ID, sp.ParentID, whole.Root().ID)
		}
		if sp.End.After(whole.Root().End) {
			t.Errorf("%s ends %s after its root", sp.ID, sp.End.Sub(whole.Root().End))
		}
	}
	stopped(t, program)
}

// sameSpan reports whether two answers tell of the same span.
func sameSpan(a, b *controlplane.Span) bool {
	return a.ID == b.ID && a.ParentID == b.ParentID && a.Start.Equal(b.Start) && a.End.Equal(b.End) &&
		fmt.Sprint(a.Attributes) == fmt.Sprint(b.Attributes)
}
