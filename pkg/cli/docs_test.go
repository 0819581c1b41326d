package cli

import (
	"os"
	"path/filepath"
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
