package evidence

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// words of a history in tests.
type spoken string

func (s spoken) Words() (reason, message string) { return "Spoken", string(s) }

// A history keeps its first and its last entry, and of the others the latest for
// which there is room; words that repeat take room once.
func TestHistoriesAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(2, 100).Draw(t, "most")
		lengths := rapid.SliceOfN(rapid.SampledFrom([]int{10, 300, 4096}), 1, 200).Draw(t, "lengths")
		var history, all []spoken
		for i, n := range lengths {
			text := strings.Repeat("m", n)
			if rapid.Bool().Draw(t, "new") {
				text = fmt.Sprint(i, text)
			}
			entry := spoken(Shared(history, text))
			all = append(all, entry)
			history = Trimmed(append(history, entry), most)
			if len(history) > most || WordsIn(history) > maxWords {
				t.Fatalf("%d entries of %d bytes", len(history), WordsIn(history))
			}
			if history[0] != all[0] || history[len(history)-1] != entry {
				t.Fatal("the first or the last is not there")
			}
			if rest := history[1:]; !slices.Equal(rest, all[len(all)-len(rest):]) {
				t.Fatal("those between are not the latest")
			}
		}
	})
}
