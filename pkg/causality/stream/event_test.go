package stream_test

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/stream"
)

func TestEventWords(t *testing.T) {
	for _, c := range []struct {
		message, words, first string
		combined              bool
	}{
		{"Liveness probe failed: EOF", "Liveness probe failed: EOF", "Liveness probe failed: EOF", false},
		{"(combined from similar events): Liveness probe failed: EOF", "Liveness probe failed: EOF", "(combined from similar events)", true},
		{"(combined from similar events)", "(combined from similar events)", "(combined from similar events)", true},
		{"", "", "", false},
	} {
		words, first, combined := stream.EventWords(c.message), stream.FirstWords(c.message), stream.IsCombined(c.message)
		if words != c.words || first != c.first || combined != c.combined {
			t.Errorf("of %q the words are %q, at first %q, combined %v", c.message, words, first, combined)
		}
	}
}
