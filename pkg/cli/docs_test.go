package cli

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/watcher"
)

// TestDocumentedTrees holds the traces in README.md and docs to what rollspan
// prints: after a line `$ rollspan replay FILE` come lines of its output, in
// order, with others left out between them.
func TestDocumentedTrees(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range append(files, "../../README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var left []string // of the output
		for number, line := range strings.Split(string(content), "\n") {
			text, indented := strings.CutPrefix(line, "    ")
			if !indented {
				left = nil
				continue
			}
			if recording, ok := strings.CutPrefix(text, "$ rollspan replay "); ok {
				out, errs, code := rollspan(t, "", "replay", "../../"+recording)
				if code != ExitOK {
					t.Fatalf("%s:%d: %s", file, number+1, errs)
				}
				left = strings.Split(out, "\n")
				checked++
				continue
			}
			if left == nil {
				continue
			}
			if left = after(left, text); left == nil {
				t.Errorf("%s:%d: rollspan does not print this, or not here:\n%s", file, number+1, text)
			}
		}
	}
	if checked == 0 {
		t.Error("no trace is shown")
	}
}

// TestKeepIsDocumented has README.md and the help name all that --keep takes.
func TestKeepIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help, _, _ := rollspan(t, "", "record", "--help")
	for _, name := range watcher.Keepable() {
		if !strings.Contains(string(readme), "`"+name+"`") || !strings.Contains(help, "\n  "+name+" ") {
			t.Errorf("%s is not explained in README.md and in rollspan record --help", name)
		}
	}
}

// TestDocumentedFilesExist looks for each Go file that the documentation names. Where it is
// named without a folder, or with one that does not begin at the top, any folder will do. A
// star stands for any letters.
func TestDocumentedFilesExist(t *testing.T) {
	files := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			files[filepath.Base(path)] = true
			files[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, doc := range append(docs, "../../README.md", "../../CONTRIBUTING.md") {
		content, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range goFile.FindAllStringSubmatch(string(content), -1) {
			named++
			want := name[2]
			if strings.HasPrefix(name[1], "pkg/") || strings.HasPrefix(name[1], "test/") {
				want = name[1] + want
			}
			exists := func(file string) bool {
				ok, err := path.Match(want, file)
				return ok && err == nil
			}
			if !slices.ContainsFunc(slices.Collect(maps.Keys(files)), exists) {
				t.Errorf("%s names the file %s, and there is none", doc, want)
			}
		}
	}
	if named == 0 {
		t.Error("no file is named")
	}
}

var goFile = regexp.MustCompile("`([a-z/]+/)?([a-z_*]+\\.go)`")

// TestAllFuzzTestsAreRun has make fuzz run each fuzz test that there is.
func TestAllFuzzTestsAreRun(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range fuzzTest.FindAllStringSubmatch(string(content), -1) {
			found++
			folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
			if run := fmt.Sprintf("go test ./pkg/%s -run '^$$' -fuzz '^%s$$'", folder, name[1]); !strings.Contains(string(makefile), run) {
				t.Errorf("make fuzz does not have %s", run)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("there are no fuzz tests")
	}
}

var fuzzTest = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// after returns what follows a line, nil if it is not there. A line that ends
// with … is cut.
func after(lines []string, line string) []string {
	begin, cut := strings.CutSuffix(line, "…")
	for i, l := range lines {
		if l == line || cut && strings.HasPrefix(l, begin) {
			return lines[i+1:]
		}
	}
	return nil
}
