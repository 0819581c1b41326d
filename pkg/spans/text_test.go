package spans

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Whoever cuts a text with Cut, long before it is sent, changes nothing of what is
// sent, wherever the text stands in another.
func TestCutChangesNothingThatIsSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		character := rapid.SampledFrom([]string{"a", "é", "€", "🦀", "\xff", "\xf0\x9f"})
		text := strings.Repeat("x", rapid.IntRange(MaxText-12, MaxText+2).Draw(t, "plain")) +
			strings.Join(rapid.SliceOfN(character, 0, 20).Draw(t, "odd"), "")
		before := rapid.SampledFrom([]string{"", "R", "Failed: ", "é: "}).Draw(t, "before")
		after := rapid.SampledFrom([]string{"", ")", " (exit code 1)"}).Draw(t, "after")
		cut := Cut(text)
		if len(cut) > MaxText {
			t.Fatalf("%d bytes are left", len(cut))
		}
		if len(text) <= MaxText && cut != text {
			t.Fatal("a text that is sent whole was cut")
		}
		if len(text) > MaxText {
			if !strings.HasPrefix(text, strings.TrimSuffix(cut, ellipsis)) {
				t.Fatal("not the beginning of the text is left")
			}
			after = "" // what came after the text was cut off
		}
		if got, want := clean(before+cut+after), clean(before+text+after); got != want {
			t.Fatalf("%q is sent, not %q", tail(got), tail(want))
		}
		if end := CutTo(text, MaxText); utf8.ValidString(text) && !utf8.ValidString(end) {
			t.Fatalf("a character was split: %q", tail(end))
		}
	})
}
