package chart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestSuites has helm-unittest run the suites of the chart, which have all combinations that the
// documentation names: each file in ci has a suite, and each row of the table in the chart's
// README a test of its name.
func TestSuites(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(dir, "tests", "*_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tested []string
	for _, file := range files {
		var suite struct {
			Values []string
			Tests  []struct{ It string }
		}
		if err := yaml.Unmarshal([]byte(content(t, file)), &suite); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		tested = append(tested, suite.Values...)
		for _, test := range suite.Tests {
			tested = append(tested, test.It)
		}
	}
	for _, values := range combinations(t) {
		if want := "../ci/" + filepath.Base(values); !slices.Contains(tested, want) {
			t.Errorf("no suite has %s", want)
		}
	}
	for _, row := range choices(t) {
		if !slices.Contains(tested, row.to) {
			t.Errorf("no test is named %q", row.to)
		}
	}
	out := printed(t, controlplane.Helm3, "helm-unittest", "--strict", dir)
	if want := fmt.Sprintf("Test Suites: %d passed, %[1]d total", len(files)); !strings.Contains(out, want) {
		t.Errorf("helm-unittest does not say %q:\n%s", want, out)
	}
}

// A choice is a row of the table in the chart's README of what to set.
type choice struct{ to, set string }

func choices(t *testing.T) (all []choice) {
	t.Helper()
	_, table, _ := strings.Cut(content(t, filepath.Join(dir, "README.md")), "| to | set |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		to, set, ok := strings.Cut(strings.Trim(row, "| \n"), " | ")
		if !ok {
			t.Fatalf("it is no row of two: %s", row)
		}
		all = append(all, choice{to, set})
	}
	if len(all) == 0 {
		t.Fatal("the table is not there")
	}
	return all
}
