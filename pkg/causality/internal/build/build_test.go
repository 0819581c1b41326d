package build

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality/internal/ledger"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestWhatComesLaterBeginsInItsParent adds a span below one that was handed out, of which is
// known by now that it began before that.
func TestWhatComesLaterBeginsInItsParent(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	sent := &ledger.SentSpan{SpanID: trace.SpanID{1}, Service: "kubelet", Start: noon, End: noon.Add(time.Minute)}
	b := &builder{place: ledger.OwnPlace("pod"), late: true}
	b.belowSent(sent)
	s := b.add(SpanSpec{parent: sent.SpanID, id: []string{"late"}, Kind: kind.StopContainer, Start: noon.Add(-time.Second), End: noon.Add(time.Second)})
	if !s.Start.Equal(sent.Start) || !s.End.Equal(noon.Add(time.Second)) {
		t.Errorf("it is from %s to %s", s.Start, s.End)
	}
}
