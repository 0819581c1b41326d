package otlp

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Whoever cuts a text with spans.Cut, long before it is sent, changes nothing of what is
// sent, wherever the text stands in another.
func TestCutChangesNothingThatIsSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		character := rapid.SampledFrom([]string{"a", "é", "€", "🦀", "\xff", "\xf0\x9f"})
		text := strings.Repeat("x", rapid.IntRange(spans.MaxText-12, spans.MaxText+2).Draw(t, "plain")) +
			strings.Join(rapid.SliceOfN(character, 0, 20).Draw(t, "odd"), "")
		before := rapid.SampledFrom([]string{"", "R", "Failed: ", "é: "}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"", ")", " (exit code 1)"}).Draw(t, "after")
		cut := spans.Cut(text)
		if len(text) > spans.MaxText {
			after = "" // what came after the text was cut off
		}
		if got, want := clean(before+cut+after), clean(before+text+after); got != want {
			t.Fatalf("%q is sent, not %q", tail(got), tail(want))
		}
	})
}
