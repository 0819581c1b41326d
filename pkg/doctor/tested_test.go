package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTestedVersions has the doctor and the documentation claim the versions of Kubernetes that
// there are control planes of for the tests, and no others.
func TestTestedVersions(t *testing.T) {
	modules, err := filepath.Glob("../../test/tools/kubernetes*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, module := range modules {
		content, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		version := regexp.MustCompile(`(?m)^\s+k8s\.io/kubernetes v(1\.\d+)\.`).FindStringSubmatch(string(content))
		if version == nil {
			t.Fatalf("%s names no release", module)
		}
		built = append(built, version[1])
	}
	slices.Sort(built)
	var claimed []string
	for _, minor := range testedMinors {
		claimed = append(claimed, fmt.Sprintf("1.%d", minor))
	}
	if !slices.Equal(built, claimed) {
		t.Errorf("the doctor claims %v, and tests have %v", claimed, built)
	}
	doc, err := os.ReadFile("../../docs/stability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range built {
		if !strings.Contains(string(doc), "\n| "+version+" |") {
			t.Errorf("docs/stability.md has no row for %s", version)
		}
	}
}
