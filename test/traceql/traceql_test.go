// Package traceql checks the TraceQL queries that the documentation shows, as Tempo itself
// cannot be built where the tests run.
package traceql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// A query is one that a file shows.
type query struct{ file, text string }

var (
	block  = regexp.MustCompile("(?ms)^```traceql\n(.*?)^```")
	inline = regexp.MustCompile("`(\\{ [^`\n]+)`")
	// panel is what a panel of a dashboard asks Tempo, or Loki.
	panel = regexp.MustCompile(`"query":\s*("\{[^"\\]*(?:\\.[^"\\]*)*")`)
)

// queries are those in all pages of the checkout: each line of a block marked traceql, and each
// piece of code that begins as a query does. So are those in dashboards.
func queries(t *testing.T, root string) (out []query) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		ext := filepath.Ext(file)
		if d.IsDir() || ext != ".md" && ext != ".json" {
			return nil
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if ext == ".json" {
			for _, found := range panel.FindAllSubmatch(content, -1) {
				text, err := strconv.Unquote(string(found[1]))
				if err != nil {
					return err
				}
				if mentioned.MatchString(text) { // else it is Loki's
					out = append(out, query{file, text})
				}
			}
			return nil
		}
		for _, found := range block.FindAllSubmatch(content, -1) {
			for line := range strings.Lines(string(found[1])) {
				if line = strings.TrimSpace(line); line != "" {
					out = append(out, query{file, line})
				}
			}
		}
		for _, found := range inline.FindAllSubmatch(block.ReplaceAll(content, nil), -1) {
			out = append(out, query{file, string(found[1])})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestQueriesParse has Grafana's own grammar read each query, and some that are wrong, so
// that it is known to say so.
func TestQueriesParse(t *testing.T) {
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := queries(t, root)
	if len(shown) < 10 {
		t.Errorf("%d queries were found", len(shown))
	}
	wrong := []string{"{ span.rollspan.change = }", "{ true", "{ true } | sum_up()", "{ span.a = 1 } by { span.b }"}
	asked := wrong
	for _, q := range shown {
		asked = append(asked, q.text)
	}
	for i, offsets := range parse(t, asked) {
		switch {
		case i < len(wrong) && len(offsets) == 0:
			t.Errorf("the grammar takes %s", asked[i])
		case i >= len(wrong) && len(offsets) > 0:
			t.Errorf("%s: this is no TraceQL, at %v:\n%s", shown[i-len(wrong)].file, offsets, asked[i])
		}
	}
}

// parse returns, for each query, where it is wrong.
func parse(t *testing.T, asked []string) (offsets [][]int) {
	t.Helper()
	bin, err := controlplane.TraceQL.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "traceql"))
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	if err := json.Unmarshal(out.Bytes(), &offsets); err != nil || len(offsets) != len(asked) {
		t.Fatalf("%d answers to %d queries: %v", len(offsets), len(asked), err)
	}
	return offsets
}

var (
	// compared is an attribute and the literal that it is compared with.
	compared = regexp.MustCompile(`\b(span|resource)\.([a-z0-9_.]+)\s*(?:=~|!~|!=|>=|<=|=|>|<)\s*("|true|false|nil|-?[0-9])`)
	// mentioned is any attribute.
	mentioned = regexp.MustCompile(`\b(span|resource)\.([a-z0-9_.]+)`)
	// called is a span's name: what is called name and is not the end of an attribute's key.
	called = regexp.MustCompile(`(?:^|[^.a-z0-9_])name\s*=\s*"([^"]*)"`)
)

// TestQueriesFindSomething replays all recordings and looks in what rollspan sends for each
// attribute that a query names: a typo in a name, a scope or a type makes a query that
// parses, and finds nothing.
func TestQueriesFindSomething(t *testing.T) {
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	types, names := sent(t, root)
	of := func(literal string) string {
		switch literal {
		case `"`:
			return "string"
		case "true", "false":
			return "bool"
		case "nil":
			return ""
		default:
			return "number"
		}
	}
	looked := 0
	for _, q := range queries(t, root) {
		for _, found := range mentioned.FindAllStringSubmatch(q.text, -1) {
			looked++
			if key := found[1] + "." + found[2]; types[key] == nil {
				t.Errorf("%s: no recording has %s:\n%s", q.file, key, q.text)
			}
		}
		for _, found := range compared.FindAllStringSubmatch(q.text, -1) {
			key := found[1] + "." + found[2]
			if want := of(found[3]); want != "" && types[key] != nil && !types[key][want] {
				t.Errorf("%s: %s is no %s, but %v:\n%s", q.file, key, want, types[key], q.text)
			}
		}
		for _, found := range called.FindAllStringSubmatch(q.text, -1) {
			if !names[found[1]] {
				t.Errorf("%s: no span is named %q:\n%s", q.file, found[1], q.text)
			}
		}
	}
	if looked == 0 {
		t.Error("the queries name no attribute")
	}
}

// sent returns the types of the attributes, by scope and key, and the names of the spans,
// that replays of all recordings send.
func sent(t *testing.T, root string) (types map[string]map[string]bool, names map[string]bool) {
	t.Helper()
	binary, err := harness.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	recordings, err := filepath.Glob(filepath.Join(root, "test", "recordings", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	types, names = map[string]map[string]bool{}, map[string]bool{}
	add := func(scope string, attributes map[string]any) {
		for key, value := range attributes {
			if types[scope+key] == nil {
				types[scope+key] = map[string]bool{}
			}
			types[scope+key][typeOf(value)] = true
		}
	}
	// Once with the least that a trace may take, so that some of them are over it.
	for i := range 2 * len(recordings) {
		recording, most := recordings[i/2], []string{"0", "20"}[i%2]
		cmd := exec.CommandContext(t.Context(), binary, "replay", "--cluster-name", "test", "--in-progress-after", "10s", "--max-trace-spans", most, "-o", "otlp-json", recording)
		cmd.Stderr = io.Discard
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("replay %s: %v", recording, err)
		}
		spans, err := controlplane.ReadSpans(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		for _, sp := range spans {
			names[sp.Name] = true
			add("span.", sp.Attributes)
			add("resource.", sp.Resource)
		}
	}
	return types, names
}

func typeOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case bool:
		return "bool"
	case int64, float64:
		return "number"
	default:
		return fmt.Sprintf("%T", value)
	}
}
