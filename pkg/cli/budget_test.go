package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestTraceBudget: what a replay sends of a trace keeps to its budget, and says how much is
// left out; a tree shows all of it.
func TestTraceBudget(t *testing.T) {
	file := recordings + "superseded-rollouts.jsonl"
	counts := func(args ...string) (each []int, leftOut int) {
		out, errs, code := rollspan(t, "", append(append([]string{"replay", "-o", "otlp-json"}, args...), file)...)
		if code != ExitOK {
			t.Fatal(errs)
		}
		list, err := controlplane.ReadSpans(strings.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]int{}
		for _, s := range list {
			of[s.TraceID]++
			if n, ok := s.Attributes["rollspan.left_out.spans"].(int64); ok && s.ParentID == "" {
				leftOut += int(n)
			}
		}
		for _, n := range of {
			each = append(each, n)
		}
		slices.Sort(each)
		return each, leftOut
	}
	sum := func(list []int) (n int) {
		for _, each := range list {
			n += each
		}
		return n
	}
	all, none := counts("--max-trace-spans", "0", "--max-trace-bytes", "0")
	byDefault, left := counts()
	if none+left != 0 || !slices.Equal(all, byDefault) || slices.Max(all) < 25 {
		t.Errorf("the traces have %v spans, and %v by default, %d of them left out", all, byDefault, left)
	}
	few, left := counts("--max-trace-spans", "20")
	if slices.Max(few) > 20 || sum(few)+left != sum(all) {
		t.Errorf("of traces of %v spans %v are sent, and %d left out", all, few, left)
	}
	tree, _, _ := rollspan(t, "", "replay", "--max-trace-spans", "20", file)
	if whole, _, _ := rollspan(t, "", "replay", file); tree != whole {
		t.Error("a tree does not show all")
	}
}
