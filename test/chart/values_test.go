package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// value is a value of the chart: where it is, what it means, and what it is by default.
type value struct{ key, text, byDefault string }

// documented are the values that have a comment that begins with "--", as helm-docs has it.
// Above what has such values there may be another comment.
func documented(t *testing.T) []value {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	var all []value
	var walk func(prefix string, n *yaml.Node)
	walk = func(prefix string, n *yaml.Node) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := n.Content[i], n.Content[i+1]
			path := prefix + key.Value
			_, text, ok := strings.Cut(key.HeadComment, "# -- ")
			switch {
			case ok:
				all = append(all, value{path, strings.ReplaceAll(text, "\n# ", " "), inline(t, v)})
			case v.Kind == yaml.MappingNode && len(v.Content) > 0:
				walk(path+".", v)
			default:
				t.Errorf("values.yaml:%d: %s has no comment that begins with '# -- '", key.Line, path)
			}
		}
	}
	walk("", root.Content[0])
	return all
}

// inline is a default value on one line.
func inline(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var v any
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSchemaIsTheValues has values.schema.json know each value that there is, and no other.
func TestSchemaIsTheValues(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(dir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	type node struct {
		Properties           map[string]*node
		AdditionalProperties any
	}
	var schema node
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, v := range documented(t) {
		known = append(known, v.key)
	}
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		for name, p := range n.Properties {
			path := prefix + name
			strict := p.AdditionalProperties == false
			switch {
			case slices.Contains(known, path):
				known = slices.DeleteFunc(known, func(k string) bool { return k == path })
			case strict, path == "global": // in which parent charts have values of theirs, too
				walk(path+".", p)
			case path != "enabled": // which parent charts set
				t.Errorf("the schema has %s, and values.yaml does not", path)
			}
		}
	}
	if schema.AdditionalProperties != false {
		t.Error("the schema takes what it does not know")
	}
	walk("", &schema)
	if len(known) > 0 {
		t.Errorf("the schema does not have %q", known)
	}
}

// TestNoValueIsMissing has the chart know which values must be there: those that are no object, no
// list and not null by default. The others may be set to null.
func TestNoValueIsMissing(t *testing.T) {
	var b strings.Builder
	for _, v := range documented(t) {
		if !strings.ContainsAny(v.byDefault[:1], "{[n") && v.key != "dataDir.fsGroup" {
			b.WriteString(v.key + "\n")
		}
	}
	file := filepath.Join(dir, "files", "values.txt")
	if *rewrite {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if content(t, file) != b.String() {
		t.Errorf("%s is not what values.yaml has; -rewrite writes it", file)
	}
}

// TestTableOfValues has the chart's README say what values.yaml says.
func TestTableOfValues(t *testing.T) {
	const begin, end = "<!-- values: go test ./test/chart -run TableOfValues -rewrite -->\n", "<!-- end -->\n"
	file := filepath.Join(dir, "README.md")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	var b strings.Builder
	b.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, v := range documented(t) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v.key, v.byDefault, strings.ReplaceAll(v.text, "|", `\|`))
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != b.String() {
		t.Errorf("the table in %s is not what values.yaml says; -rewrite writes it", file)
	}
}
