package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
)

const examples = "../../deploy/examples"

// TestExamples has each example be documented, its values be some of the chart, its
// kustomization be one, and its Collector be one that the real Collector would start.
func TestExamples(t *testing.T) {
	folders, err := os.ReadDir(examples)
	if err != nil {
		t.Fatal(err)
	}
	index := content(t, filepath.Join(examples, "README.md"))
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		dir := filepath.Join(examples, folder.Name())
		if !strings.Contains(index, "("+folder.Name()+"/README.md)") {
			t.Errorf("%s is not in the list of examples", folder.Name())
		}
		readme := content(t, filepath.Join(dir, "README.md"))
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			switch name := filepath.Base(file); name {
			case "values.yaml":
				objects(t, rendered(t, "-f", file))
			case "kustomization.yaml":
				objects(t, documents(kustomize(t, dir)))
			default:
				if !strings.Contains(readme+index+kustomization(t, dir), name) {
					t.Errorf("nothing speaks of %s", file)
				}
			}
		}
	}
}

// TestExampleCollectors has the real Collector validate the command lines that the examples show.
func TestExampleCollectors(t *testing.T) {
	bin, err := controlplane.Collector.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	readmes, err := filepath.Glob(filepath.Join(examples, "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, readme := range readmes {
		for _, command := range commands(t, readme, "otelcol-contrib ") {
			ran++
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "collector"), append([]string{"validate"}, strings.Fields(command)...)...)
			cmd.Dir = filepath.Dir(readme)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", readme, command, err, out)
			}
		}
	}
	if ran < 3 {
		t.Errorf("the examples show %d Collectors", ran)
	}
}

// kustomize is what the real kustomize makes of a folder.
func kustomize(t *testing.T, dir string) string {
	t.Helper()
	return printed(t, controlplane.Kustomize, "kustomize", "build", dir)
}

// printed is what a program prints that has nothing to complain about.
func printed(t *testing.T, tool controlplane.Tool, program string, args ...string) string {
	t.Helper()
	bin, err := tool.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s%s", program, args, err, out, errs.String())
	}
	return string(out)
}

func kustomization(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "kustomization.yaml")); err != nil {
		return ""
	}
	return content(t, filepath.Join(dir, "kustomization.yaml"))
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands are those in a document that begin with a text, without it: lines that are indented
// by four, of which a backslash at the end joins the next.
func commands(t *testing.T, file, prefix string) (all []string) {
	t.Helper()
	for line := range strings.Lines(strings.ReplaceAll(content(t, file), "\\\n", "")) {
		if command, ok := strings.CutPrefix(line, "    "+prefix); ok {
			all = append(all, strings.TrimSpace(command))
		}
	}
	return all
}

// documents of people, in which commands are shown.
func guides(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(examples, "*", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(files, more, []string{"../../README.md", filepath.Join(dir, "README.md")})
}

// TestDocumentedFolders has each folder and file that a kubectl or kustomize command of the
// documentation names be there, and be what the command takes.
func TestDocumentedFolders(t *testing.T) {
	ran := 0
	path := regexp.MustCompile(`(?:-k|-f|--from-file=) ?((?:deploy|config)/[^\s]*)`)
	for _, file := range guides(t) {
		for _, command := range commands(t, file, "kubectl ") {
			for _, m := range path.FindAllStringSubmatch(command, -1) {
				ran++
				where := filepath.Join("../..", m[1])
				if strings.HasPrefix(m[0], "-k") {
					objects(t, documents(kustomize(t, where)))
				} else if _, err := os.Stat(where); err != nil {
					t.Errorf("%s: kubectl %s: %v", file, command, err)
				}
			}
		}
	}
	if ran < 4 {
		t.Errorf("the documentation shows %d folders", ran)
	}
}
