package text_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// TestEndsAtMost has a change of five seconds. One whose end is good to ten seconds may have ended later.
func TestEndsAtMost(t *testing.T) {
	for precision, want := range map[float64]bool{1: false, 5: true, 10: false} {
		at := time.Unix(1_700_000_000, 0)
		root := spans.Span{Start: at, End: at.Add(5 * time.Second), Attributes: []attribute.KeyValue{
			attribute.String("rollspan.outcome", "complete"), attribute.Float64("rollspan.end.precision", precision), attribute.String("rollspan.end.source", "inferred"),
		}}
		if got := text.EndsAtMost(&root); got != want {
			t.Errorf("with a precision of %v s of 5 s it is %t that it took at most so long", precision, got)
		}
	}
}
