package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"replicaset/web-7d 0 ->": "replicaset/web-7d 0 ->",
		"größe Größe Ελλάδα кит": "größe Größe Ελλάδα кит",
		"日本語　文 한국어 עברית العربية": "日本語　文 한국어 עברית العربية",
		"हिन्दी e\u0301 ✓ → 🚀":    "हिन्दी e\u0301 ✓ → 🚀",
		`C:\x1b "quoted" \n`:      `C:\x1b "quoted" \n`,
		"\ufffd":                  "\ufffd", // somebody else's replacement of what was no UTF-8

		"\x1b[2J\x1b]0;title\a":  `\u001b[2J\u001b]0;title\u0007`,
		"a\r\nb\tc\vd\fe\bf\x00": `a\r\nb\tc\u000bd\u000ce\u0008f\u0000`,
		"\x7f":                   `\u007f`,
		"\u009b31m\u0085":        `\u009b31m\u0085`,
		"\x9b31m":                `\x9b31m`,
		"\xe2\x80":               `\xe2\x80`,
		"\xed\xa0\x80":           `\xed\xa0\x80`,
		"a\u202egnp\u202cb":      `a\u202egnp\u202cb`,
		"\u2066\u2067\u2068\u2069\u200e\u200f\u061c": `\u2066\u2067\u2068\u2069\u200e\u200f\u061c`,
		"\u2028\u2029": `\u2028\u2029`,
		"we\u200bb\u200c\u200d\u2060\u00ad\ufeff": `we\u200bb\u200c\u200d\u2060\u00ad\ufeff`,
		"👩\u200d🚀":             `👩\u200d🚀`,
		"\U000e0001\U000e0041": `\udb40\udc01\udb40\udc41`,
		"⚠\ufe0f\U000e0100":    `⚠\ufe0f\udb40\udd00`,
		"\u115f\u3164\u034f":   `\u115f\u3164\u034f`,
		"\ue000\U0010ffff":     `\ue000\udbff\udfff`,
	} {
		if got := Line(in); got != want {
			t.Errorf("%+q becomes %+q, want %+q", in, got, want)
		}
	}
	if got := Text("a\n\tb\rc"); got != "a\n\tb\\rc" {
		t.Errorf("several lines become %q", got)
	}
}

// forbidden are the ranges of which nothing may reach a terminal, in Unicode's own
// words and not in the code's.
var forbidden = []*unicode.RangeTable{
	unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp,
	unicode.Bidi_Control, unicode.Join_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point,
}

// TestEveryCharacter holds each character there is to what is said of it.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		in, assigned := string(r), unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs)
		got := Line(in)
		if harmful := unicode.In(r, forbidden...) || !assigned; harmful == (got == in) {
			t.Fatalf("%U becomes %q", r, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, seed := range []string{"", "web-7d", "\x1b[31m", "a\u202eb", "\x9b\xe2\x80", "é\n\t\r", "\U000e0001"} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, in string, cut int) {
		line := Line(in)
		if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.In(r, forbidden...) || !unicode.IsGraphic(r) }) {
			t.Fatalf("%+q becomes %+q", in, line)
		}
		if again := Line(line); again != line {
			t.Fatalf("%+q becomes %+q, and then %+q", in, line, again)
		}
		if utf8.ValidString(in) && !strings.ContainsFunc(in, func(r rune) bool { return unicode.In(r, forbidden...) || !unicode.IsGraphic(r) }) && line != in {
			t.Fatalf("%+q is safe and becomes %+q", in, line)
		}
		text := Text(in)
		if Line(text) != line && !strings.ContainsAny(in, "\n\t") {
			t.Fatalf("%+q becomes %+q and %+q", in, text, line)
		}
		// In however many pieces it comes.
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := in; rest != ""; {
			n := min(len(rest), 1+max(cut, -cut, 0)%5)
			if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", m, n, err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil || out.String() != text {
			t.Fatalf("%+q in pieces becomes %+q, want %+q: %v", in, out.String(), text, err)
		}
		// JSON means what it meant.
		quoted, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var before, after string
		if json.Unmarshal(quoted, &before) != nil || json.Unmarshal([]byte(Text(string(quoted))), &after) != nil || before != after {
			t.Fatalf("%s means %+q and then %+q", quoted, before, after)
		}
	})
}

// failing is full.
type failing struct{}

var errFull = errors.New("full")

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestWriterSaysWhatFailed(t *testing.T) {
	w := NewWriter(failing{})
	if _, err := w.Write([]byte("a\xe2")); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := w.Flush(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	if err := w.Flush(); err != nil {
		t.Errorf("there is nothing left: %v", err)
	}
}
