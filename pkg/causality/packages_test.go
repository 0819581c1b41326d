package causality_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// The engine is packages that one can read in a sitting, and files that are one idea each.
const (
	mostLinesOfPackage = 6000
	mostLinesOfFile    = 500
)

// TestPackagesAreNotTooLarge holds that no package and no file of the engine is larger than
// that, tests not counted, and that the linter's rules say what each package may import.
func TestPackagesAreNotTooLarge(t *testing.T) {
	lines := map[string]int{} // by package
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		n := bytes.Count(text, []byte("\n"))
		if n > mostLinesOfFile {
			t.Errorf("%s has %d lines, at most %d should be: which of its ideas is a file of its own?", name, n, mostLinesOfFile)
		}
		lines[path.Dir(filepath.ToSlash(name))] += n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < 10 {
		t.Fatalf("these are not all packages of the engine: %v", lines)
	}
	linter, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	for pkg, n := range lines {
		if n > mostLinesOfPackage {
			t.Errorf("%s has %d lines, at most %d should be: what in it knows nothing of the rest?", pkg, n, mostLinesOfPackage)
		}
		if files := `"**/` + path.Join("pkg/causality", pkg) + `/*.go"`; !bytes.Contains(linter, []byte(files)) {
			t.Errorf("no rule of depguard in .golangci.yml is for %s: say there what %s may import", files, pkg)
		}
	}
}
