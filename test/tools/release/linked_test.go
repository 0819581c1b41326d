package release

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsLinked has the linker say what is in the program and why. A method that is looked up
// by a name which is not constant may be any, so that the linker keeps all exported methods of all
// types that become interfaces: of Kubernetes' types some 11 MB, without symbols.
func TestWhatIsLinked(t *testing.T) {
	if path := byName(t, root, tagsOf(t, read(t, "Makefile"))); path != nil {
		t.Errorf("methods are looked up by names that only the running program knows, so all are in it:\n%s", strings.Join(path, "\n-> "))
	}
	// The linker says so in words that may be others one day.
	path := byName(t, "testdata/byname", "")
	if len(path) < 2 || path[0] != "main.main" || path[len(path)-1] != "main.call" {
		t.Errorf("of a program that does it the path is %q", path)
	}
}

// byName links the program in a folder, and returns what leads from main to where a method is
// looked up by its name; nil for nowhere.
func byName(t *testing.T, folder, tags string) (path []string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-ldflags", "-dumpdep", "-o", filepath.Join(t.TempDir(), "program"), ".")
	build.Dir = folder
	said, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, said)
	}
	// Each symbol is said once, with the one that it was reached from first.
	from := map[string]string{}
	found := ""
	for lines := bufio.NewScanner(bytes.NewReader(said)); lines.Scan(); {
		by, symbol, ok := strings.Cut(lines.Text(), " -> ")
		if !ok {
			continue
		}
		symbol, marks, _ := strings.Cut(symbol, " <")
		by, _, _ = strings.Cut(by, " <")
		if _, twice := from[symbol]; !twice && symbol != by {
			from[symbol] = by
		}
		if found == "" && strings.Contains(marks, "ReflectMethod>") {
			found = symbol
		}
	}
	if len(from) < 1000 {
		t.Fatalf("the linker says of %d symbols only why they are there:\n%.2000s", len(from), said)
	}
	for at := found; at != "" && at != "_"; at = from[at] {
		path = append([]string{at}, path...)
		if at == "main.main" || len(path) == 100 {
			break
		}
	}
	return path
}
