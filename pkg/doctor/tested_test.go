package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestTestedVersions has the doctor and the documentation claim the same versions of Kubernetes,
// and none that there is no control plane of for the tests.
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
	doc, err := os.ReadFile("../../docs/stability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, minor := range testedMinors {
		version := fmt.Sprintf("1.%d", minor)
		if !slices.Contains(built, version) {
			t.Errorf("the doctor claims %s, and tests have %v", version, built)
		}
		if !regexp.MustCompile(`\n\| ` + regexp.QuoteMeta(version) + ` \|.* end-to-end tests `).Match(doc) {
			t.Errorf("docs/stability.md has no row that says that %s was tried", version)
		}
	}
}
