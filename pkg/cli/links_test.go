package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	markdownLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	markdownHeading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
)

// TestLinksResolve follows every relative link of the documentation, to the file
// and to the heading in it.
func TestLinksResolve(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../test/*/*.md", "../../deploy/*/*.md", "../../deploy/*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	followed := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range markdownLink.FindAllStringSubmatch(string(content), -1) {
			path, heading, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			followed++
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			linked, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", file, link[1], err)
				continue
			}
			if heading != "" && !anchors(string(linked))[heading] {
				t.Errorf("%s: the link %s leads to no heading of %s", file, link[1], target)
			}
		}
	}
	if followed == 0 {
		t.Errorf("there are no relative links in %v", files)
	}
}

// anchors are what the headings of a Markdown file are called in links, as GitHub
// makes them: of the letters, digits, hyphens and underscores, in lower case, with
// a hyphen for each space.
func anchors(content string) map[string]bool {
	out := map[string]bool{}
	for _, heading := range markdownHeading.FindAllStringSubmatch(content, -1) {
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, heading[1])] = true
	}
	return out
}
