package release

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/goreleaser/goreleaser/v2/pkg/config"
	"github.com/rhysd/actionlint"
)

var dist = flag.String("dist", "", "folder with a snapshot to look at; without one that test is skipped")

const root = "../../.."

// TestGoreleaser reads the configuration as strictly as goreleaser does, and holds it to the
// Makefile.
func TestGoreleaser(t *testing.T) {
	project, err := config.Load(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(project.Builds); n != 1 || len(project.Builds[0].Targets) != 5 {
		t.Fatalf("%d builds, want one for five platforms", n)
	}
	makefile := read(t, "Makefile")
	ldflags := strings.Join(project.Builds[0].Ldflags, " ")
	want := regexp.MustCompile(`(?m)^LDFLAGS := (.*)\$\(VERSION\)$`).FindStringSubmatch(makefile)
	if want == nil || ldflags != want[1]+"v{{ .Version }}" {
		t.Errorf("goreleaser links with %q, and the Makefile with %q", ldflags, want)
	}
	// The programs that are tested have the same, too.
	tags := tagsOf(t, makefile)
	if got := strings.Join(project.Builds[0].Tags, ","); got != tags {
		t.Errorf("goreleaser builds with the tags %q, and the Makefile with %q", got, tags)
	}
	for file, want := range map[string]string{
		"test/e2e/harness/program.go":  `const BuildTags = "` + tags + `"`,
		"test/tools/ui/binary_test.go": `"go", "build", "-tags", "` + tags + `"`,
	} {
		if !strings.Contains(read(t, file), want) {
			t.Errorf("%s builds without %s", file, want)
		}
	}
	// What krew and whoever unpacks an archive must get.
	var files []string
	for _, f := range project.Archives[0].Files {
		files = append(files, f.Source)
	}
	if !slices.Contains(files, "LICENSE") {
		t.Errorf("archives have %v, and no license", files)
	}
}

// TestWorkflows lints the workflows, has each step that runs something run a target that the
// Makefile has, and no host of a registry be in them.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{Shellcheck: "", Pyflakes: ""})
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := linter.LintFiles(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	target := regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range regexp.MustCompile(`(?m)^ *- run: (.*)$`).FindAllStringSubmatch(string(content), -1) {
			command := strings.Fields(run[1])
			switch {
			case command[0] == "make" && targets[command[1]], command[0] == "cosign":
			default:
				t.Errorf("%s runs %q, which is no target of make", file, run[1])
			}
		}
	}
}

// TestSnapshot looks at what `make release-check` has made.
func TestSnapshot(t *testing.T) {
	if *dist == "" {
		t.Skip("there is no snapshot; make release-check makes one")
	}
	var artifacts []struct{ Name, Path, Type string }
	content, err := os.ReadFile(filepath.Join(*dist, "artifacts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &artifacts); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, a := range artifacts {
		count[a.Type]++
		if a.Type != "SBOM" {
			continue
		}
		components(t, filepath.Join(root, a.Path))
	}
	for kind, want := range map[string]int{"Binary": 5, "Archive": 5, "SBOM": 5, "Checksum": 1, "Krew Plugin Manifest": 1} {
		if count[kind] != want {
			t.Errorf("%d of %q, want %d: %v", count[kind], kind, want, count)
		}
	}
	sums, err := filepath.Glob(filepath.Join(*dist, "*_checksums.txt"))
	if err != nil || len(sums) != 1 {
		t.Fatalf("%v, %v", sums, err)
	}
	listed, err := os.ReadFile(sums[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".tar.gz", "windows_amd64.zip", ".cdx.json", "rollspan-"} {
		if !strings.Contains(string(listed), want) {
			t.Errorf("no checksum of %s:\n%s", want, listed)
		}
	}
}

// components reads a bill of materials as its consumers do: it is of rollspan, and names each module
// by a package URL with a version, which scanners go by.
func components(t *testing.T, file string) {
	t.Helper()
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(content, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if bom.BOMFormat != cdx.BOMFormat || bom.Metadata == nil || bom.Metadata.Component == nil || bom.Metadata.Component.Name == "" {
		t.Errorf("%s does not say what it is of: %+v", file, bom.Metadata)
	}
	if bom.Components == nil || len(*bom.Components) < 50 {
		t.Fatalf("%s has too few components", file)
	}
	for _, c := range *bom.Components {
		if !strings.HasPrefix(c.PackageURL, "pkg:golang/") || !strings.HasSuffix(c.PackageURL, "@"+c.Version) || c.Version == "" {
			t.Errorf("%s: %s is %q", file, c.Name, c.PackageURL)
		}
	}
}

// tagsOf are the tags that the Makefile builds with.
func tagsOf(t *testing.T, makefile string) string {
	t.Helper()
	tags := regexp.MustCompile(`(?m)^TAGS := (\S+)$`).FindStringSubmatch(makefile)
	if tags == nil || strings.Count(makefile, "'$(TAGS)'") != 2 {
		t.Fatalf("the Makefile has the tags %q, and uses them other than for the program and the image", tags)
	}
	return tags[1]
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(fmt.Errorf("%w; run this in a checkout", err))
	}
	return string(content)
}
