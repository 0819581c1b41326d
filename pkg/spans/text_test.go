package spans

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What Cut and CutTo leave is the beginning of the text, no longer than it may be,
// and no character of it is split.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		character := rapid.SampledFrom([]string{"a", "é", "€", "🦀", "\xff", "\xf0\x9f"})
		text := strings.Repeat("x", rapid.IntRange(MaxText-12, MaxText+2).Draw(t, "plain")) +
			strings.Join(rapid.SliceOfN(character, 0, 20).Draw(t, "odd"), "")
		cut := Cut(text)
		if len(cut) > MaxText {
			t.Fatalf("%d bytes are left", len(cut))
		}
		if len(text) <= MaxText && cut != text {
			t.Fatal("a text that is sent whole was cut")
		}
		if len(text) > MaxText {
			beginning, ok := strings.CutSuffix(cut, ellipsis)
			if !ok || !strings.HasPrefix(text, beginning) {
				t.Fatalf("not the beginning of the text is left: %q", tail(cut))
			}
		}
		end := CutTo(text, MaxText)
		if len(end) > MaxText || !strings.HasPrefix(text, end) {
			t.Fatalf("not the beginning of the text is left: %q", tail(end))
		}
		if utf8.ValidString(text) && !utf8.ValidString(end+cut) {
			t.Fatalf("a character was split: %q, %q", tail(end), tail(cut))
		}
	})
}

func tail(s string) string { return s[max(0, len(s)-12):] }
