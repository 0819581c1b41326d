package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"settle", "settle", 0}, {"setle", "settle", 1}, {"settel", "settle", 2}, {"x", "y", 1}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, test := range []struct {
		word  string
		known []string
		most  int
		want  string
	}{
		{"setle", []string{"since", "settle", "server"}, 2, "settle"},
		{"Warn", []string{"Normal", "Warning"}, 3, "Warning"},
		{"normal", []string{"Normal", "Warning"}, 3, "Normal"},
		{"ab", []string{"xb", "ax"}, 2, "xb"}, // of two that are alike the first
		{"settle", []string{"unlike"}, 2, ""},
		{"settle", nil, 2, ""},
	} {
		if got := Nearest(test.word, test.known, test.most); got != test.want {
			t.Errorf("%q of %q within %d: %q, want %q", test.word, test.known, test.most, got, test.want)
		}
	}
}
