package guide

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A command is one that a document shows, its lines joined.
type command struct {
	document string
	line     int
	text     string
}

// documents are those that are read with a shell beside them, from the root of the checkout.
func documents(t *testing.T, root string) (files []string) {
	t.Helper()
	for _, pattern := range []string{"README.md", "docs/*.md", "deploy/helm/rollspan/README.md", "deploy/examples/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d, %v", pattern, len(found), err)
		}
		for _, file := range found {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
	return files
}

var (
	// program is what a line begins with that is typed into a shell.
	program = regexp.MustCompile(`^(?:[A-Z_]+=\S* )?(?:bin/|/)?(?:rollspan|make|git|go|kubectl|helm|kind|docker|curl|otelcol-contrib)\b|^(?:ln|source|exec|export) `)
	// indented is a line of code.
	indented = regexp.MustCompile(`^(?: {4}| {7})(\S.*)$`)
	// named is the first line of a file that is shown with its name.
	named  = regexp.MustCompile(`^# (\S+/\S+\.yaml)$`)
	remark = regexp.MustCompile(`\s+# .*$`)
)

// commands are those of a document: lines of code that begin with a program. What comes after a
// line that begins with $ is what that prints. A file that is shown with its name is written there.
func commands(t *testing.T, root, document string) (all []command) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(document)))
	if err != nil {
		t.Fatal(err)
	}
	var fenced, continues, printed bool
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			if fenced {
				write(t, root, lines[i+1:])
			}
		}
		code := indented.FindStringSubmatch(line)
		switch text := strings.TrimSpace(line); {
		case fenced:
		case continues:
			last := &all[len(all)-1]
			last.text, continues = strings.CutSuffix(last.text+text, "\\")
		case code == nil:
			printed = printed && text == ""
		case strings.HasPrefix(text, "$ "):
			printed = true
			all = append(all, command{document, i + 1, strings.TrimPrefix(text, "$ ")})
		case !printed && program.MatchString(code[1]):
			all = append(all, command{document: document, line: i + 1})
			all[len(all)-1].text, continues = strings.CutSuffix(remark.ReplaceAllString(code[1], ""), "\\")
		// Only the reference has other things in the form of code, and examples have drawings.
		case !printed && (document == "docs/guide.md" || !strings.HasPrefix(document, "docs/")) && !strings.HasPrefix(text, "#") && !strings.Contains(text, "-->"):
			t.Errorf("%s:%d: no test knows the program of %s", document, i+1, text)
		}
	}
	return all
}

// write writes the file that lines begin with, up to the fence, if its name is in the first.
func write(t *testing.T, root string, lines []string) {
	t.Helper()
	name := named.FindStringSubmatch(lines[0])
	if name == nil {
		return
	}
	end := slices.Index(lines, "```")
	if end < 0 {
		t.Fatalf("%s has no end", name[1])
	}
	file := filepath.Join(root, filepath.FromSlash(name[1]))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines[:end], "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}
