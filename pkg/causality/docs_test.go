package causality_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// TestTracesAreDocumented holds docs/traces.md, which searches and dashboards are
// written by, to what recordings and scenarios give, both ways: each span name,
// each attribute, and which spans have it.
func TestTracesAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../../docs/traces.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(content)
	seen := everySpan(t)
	t.Run("names", func(t *testing.T) { namesAreDocumented(t, doc, seen) })
	t.Run("conventional attributes", func(t *testing.T) { conventionsAreDocumented(t, doc, seen) })
	t.Run("own attributes", func(t *testing.T) { ownAttributesAreDocumented(t, doc, seen) })
	t.Run("values", func(t *testing.T) { valuesAreDocumented(t, doc, seen) })
	t.Run("links", func(t *testing.T) { linksAreDocumented(t, doc, seen) })
	t.Run("tables of names", func(t *testing.T) { namesAreInTables(t, doc, seen) })
	t.Run("table of kinds", func(t *testing.T) { kindsAreInTable(t, doc, seen) })
}

// everySpan is all that recordings and scenarios give.
func everySpan(t *testing.T) []spans.Span {
	var seen []spans.Span
	for _, mode := range []causality.TraceContextMode{causality.TraceContextParent, causality.TraceContextLink} {
		options := watching
		options.TraceContext = mode
		for _, name := range recordings(t) {
			seen = append(seen, allSpans(replayWith(options, load(t, name)))...)
		}
	}
	runScenarios(t, causality.Options{}, func(traces []spans.Trace) { seen = append(seen, allSpans(traces)...) })
	seen = append(seen, overBudget(t)...)
	// Package otlp adds one attribute, where it is asked to.
	seen[0].Attributes = append(slices.Clone(seen[0].Attributes), attr.ComponentKey.String(seen[0].Service))
	return seen
}

var quoted = regexp.MustCompile("`([^`]+)`")

// code returns what is set as code in a text.
func code(text string) (out []string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.ReplaceAll(m[1], "\n", " "))
	}
	return out
}

// section is what lies between two texts.
func section(t *testing.T, doc, begin, end string) string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, begin)
	text, _, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("docs/traces.md has no text between %q and %q", begin, end)
	}
	return text
}

// rows are the cells of the tables in a text.
func rows(text string) (out [][]string) {
	for line := range strings.Lines(text) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| ") && len(cells) > 1 {
			out = append(out, cells)
		}
	}
	return out
}

// nameStands reports whether a documented name is that of a span: `<Kind> activity` is
// that of "Service activity".
func nameStands(documented, span string) bool {
	if _, verb, ok := strings.Cut(documented, "> "); ok {
		_, end, _ := strings.Cut(span, " ")
		return end == verb
	}
	return documented == span
}

func namesAreDocumented(t *testing.T, doc string, seen []spans.Span) {
	prose := code(doc)
	for _, s := range seen {
		if !slices.ContainsFunc(prose, func(d string) bool { return nameStands(d, s.Name) }) {
			t.Errorf("%q is not documented", s.Name)
		}
	}
	tables := rows(section(t, doc, "## Changes", "Outcomes")) // and of what they consist
	tables = append(tables, rows(section(t, doc, "## Spans", "### Changes in progress"))...)
	checked := 0
	for _, row := range tables {
		for _, d := range code(row[0]) {
			checked++
			if !slices.ContainsFunc(seen, func(s spans.Span) bool { return nameStands(d, s.Name) }) {
				t.Errorf("%q is documented, and no recording or scenario has it", d)
			}
		}
	}
	if checked < 30 {
		t.Errorf("found only %d names in the tables", checked)
	}
}

// keys reads the code of keys: `.tags` after `container.image.name` is
// `container.image.tags`.
func keys(listed []string) []string {
	var out []string
	for i, key := range listed {
		if strings.HasPrefix(key, ".") && i > 0 {
			first := out[len(out)-1]
			key = first[:strings.LastIndexByte(first, '.')] + key
		}
		out = append(out, key)
	}
	return out
}

// stands reports whether a documented key is a span's: `k8s.pod.*` stands for
// k8s.pod.name, `rollspan.critical_path.<phase>` for each phase, and
// `rollspan.link.<meaning>.trace_id` for each meaning of a link.
func stands(documented string, key attribute.Key) bool {
	for _, any := range []string{"*", "<phase>"} {
		if prefix, ok := strings.CutSuffix(documented, any); ok {
			rest, ok := strings.CutPrefix(string(key), prefix)
			return ok && rest != "segments"
		}
	}
	for _, any := range []string{"<meaning>", "<phase>"} {
		if prefix, suffix, ok := strings.Cut(documented, any); ok {
			return strings.HasPrefix(string(key), prefix) && strings.HasSuffix(string(key), suffix)
		}
	}
	return documented == string(key)
}

func conventionsAreDocumented(t *testing.T, doc string, seen []spans.Span) {
	resource := keys(code(section(t, doc, "- of a workload's trace", "What is about a container")))
	resource = append(resource, "k8s.hpa.name", "k8s.hpa.uid") // of what autoscalers say beside a scale
	conventionsAreIn(t, resource, seen, func(s spans.Span) []attribute.KeyValue { return s.Resource })
	own := keys(code(section(t, doc, "Attributes of the span say", "No key is in both")))
	own = append(own, "k8s.hpa.name", "k8s.hpa.uid") // with rollspan.autoscale.reason
	conventionsAreIn(t, own, seen, func(s spans.Span) []attribute.KeyValue { return s.Attributes })
}

// conventionsAreIn holds the conventions' keys in one place of spans to those that are
// documented for that.
func conventionsAreIn(t *testing.T, documented []string, seen []spans.Span, place func(spans.Span) []attribute.KeyValue) {
	t.Helper()
	used := map[string]bool{}
	for _, s := range seen {
		for _, kv := range place(s) {
			if strings.HasPrefix(string(kv.Key), "rollspan.") {
				continue
			}
			known := false
			for _, d := range documented {
				if stands(d, kv.Key) {
					used[d], known = true, true
				}
			}
			if !known {
				t.Errorf("%s on %q is not documented", kv.Key, s.Name)
			}
		}
	}
	for _, d := range documented {
		if !used[d] {
			t.Errorf("%s is documented, and no recording or scenario has it", d)
		}
	}
}

// places are the words for spans that have an attribute.
var places = map[string]func(s spans.Span) bool{
	"spans with links":  func(s spans.Span) bool { return len(s.Links) > 0 },
	"every span":        func(spans.Span) bool { return true },
	"roots":             func(s spans.Span) bool { return change(s) != "" },
	"roots of rollouts": func(s spans.Span) bool { return change(s) == "rollout" },
	"roots of runs": func(s spans.Span) bool {
		return change(s) == "job" || change(s) == "run"
	},
	"spans of pods":     func(s spans.Span) bool { return value(s, "k8s.pod.name").AsString() != "" },
	"spans of Rollouts": func(s spans.Span) bool { return value(s, "rollspan.object.kind").AsString() == "Rollout" },
	"scales":            func(s spans.Span) bool { return change(s) == "scale" },
	"restarts":          func(s spans.Span) bool { return change(s) == "restart" },
	"replacements":      func(s spans.Span) bool { return change(s) == "replacement" },
	"disruptions":       func(s spans.Span) bool { return change(s) == "disruption" },
	"activity":          func(s spans.Span) bool { return strings.HasSuffix(s.Name, " activity") },
	"steps":             func(s spans.Span) bool { return strings.HasPrefix(s.Name, "ReplicaSet scale ") },
	"spans that stand for others": func(s spans.Span) bool {
		return value(s, "rollspan.left_out.spans").AsInt64() > 0
	},
	"spans on the critical path": func(s spans.Span) bool {
		return !strings.HasSuffix(s.Name, " activity") && s.Name != "in progress"
	},
}

func change(s spans.Span) string { return value(s, "rollspan.change").AsString() }

// isPlace reports whether a word for spans is one for this span.
func isPlace(t *testing.T, word string, s spans.Span) bool {
	if name := code(word); len(name) == 1 {
		return name[0] == s.Name
	}
	is, ok := places[word]
	if !ok {
		t.Fatalf("docs/traces.md says that an attribute is on %q, which this test cannot tell", word)
	}
	return is(s)
}

func ownAttributesAreDocumented(t *testing.T, doc string, seen []spans.Span) {
	const events = "span events"
	type use struct{ key, place string }
	places := map[string][]string{} // of each key
	used := map[use]bool{}
	for _, row := range rows(section(t, doc, "rollspan's own:", "### What changed")) {
		for _, key := range keys(code(row[0])) {
			places[key] = strings.Split(strings.ReplaceAll(row[1], " and ", ", "), ", ")
		}
	}
	delete(places, "key") // the head
	find := func(key attribute.Key) string {
		for d := range places {
			if stands(d, key) {
				return d
			}
		}
		return ""
	}
	for _, s := range seen {
		for _, kv := range said(s) {
			if !strings.HasPrefix(string(kv.Key), "rollspan.") {
				continue
			}
			key, found := find(kv.Key), false
			for _, word := range places[key] {
				if word != events && isPlace(t, word, s) {
					found = true
					used[use{key, word}] = true
				}
			}
			if !found {
				t.Errorf("%s on %q (%s) is not documented; its places are %q", kv.Key, s.Name, change(s), places[key])
			}
		}
		for _, ev := range s.Events {
			for _, kv := range ev.Attributes {
				key := find(kv.Key)
				if !slices.Contains(places[key], events) {
					t.Errorf("%s on the event %q is not documented", kv.Key, ev.Name)
				}
				used[use{key, events}] = true
			}
		}
	}
	for key, words := range places {
		for _, word := range words {
			if !used[use{key, word}] {
				t.Errorf("%s is documented on %s, and no recording or scenario has it there", key, word)
			}
		}
	}
	if len(places) < 50 {
		t.Errorf("found only %d keys in the table", len(places))
	}
}

func linksAreDocumented(t *testing.T, doc string, seen []spans.Span) {
	text := section(t, doc, "## Links", "A link can only be")
	kinds := code(text)
	used := map[string]bool{}
	for _, s := range seen {
		for _, l := range s.Links {
			if n := len(l.Attributes); n > 1 && l.Attributes[n-1] == attr.LinkLeftOutKey.Bool(true) {
				l.Attributes = l.Attributes[:n-1]
			}
			if len(l.Attributes) != 1 || l.Attributes[0].Key != "rollspan.link.type" || !slices.Contains(kinds, l.Attributes[0].Value.AsString()) {
				t.Errorf("a link of %q has %v, which is not documented", s.Name, l.Attributes)
				continue
			}
			used[l.Attributes[0].Value.AsString()] = true
		}
	}
	for _, kind := range kinds {
		if kind != "rollspan.link.type" && !strings.Contains(kind, " ") && !used[kind] {
			t.Errorf("the link %q is documented, and no recording or scenario has it", kind)
		}
	}
}

// Words that an attribute has one of, each documented as code.
func valuesAreDocumented(t *testing.T, doc string, seen []spans.Span) {
	table := section(t, doc, "rollspan's own:", "### What changed")
	row := func(key string) string {
		_, rest, _ := strings.Cut(table, "| `"+key+"` |")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	outcomes := ""
	for _, row := range rows(section(t, doc, "Outcomes (", "A rollout is a revision")) {
		outcomes += row[0]
	}
	phases := code(section(t, doc, "| phase | |", "A rollout also says"))
	documented := map[string][]string{
		"rollspan.change":       code(row("rollspan.change")),
		"rollspan.in_progress":  code(row("rollspan.change")),
		"rollspan.outcome":      code(outcomes),
		"rollspan.cause":        code(row("rollspan.cause") + section(t, doc, "### Restarts", "### The critical path")),
		"rollspan.slower.phase": phases,
	}
	used := map[string]bool{}
	for _, s := range seen {
		for _, kv := range said(s) {
			words, ok := documented[string(kv.Key)]
			if condition, is := s.Attribute("k8s.node.condition.type"); is && kv.Key == attr.CauseKey && condition == kv.Value {
				continue // a problem of a node is named after its condition, which may be any
			}
			if ok && !slices.Contains(words, kv.Value.AsString()) {
				t.Errorf("%s of %q is %q, which is not documented", kv.Key, s.Name, kv.Value.AsString())
			}
			if ok {
				used[string(kv.Key)+kv.Value.AsString()] = true
			}
			phase, ok := strings.CutPrefix(string(kv.Key), pathPrefix)
			if ok && phase != "segments" && !slices.Contains(phases, phase) {
				t.Errorf("the phase %q of %q is not documented", phase, s.Name)
			}
			used[phase] = used[phase] || ok
		}
	}
	for _, phase := range phases {
		if !used[phase] && strings.ToLower(phase) == phase {
			t.Errorf("the phase %q is documented, and no recording or scenario has it", phase)
		}
	}
	for _, key := range []string{"rollspan.change", "rollspan.outcome"} {
		for _, word := range documented[key] {
			if !used[key+word] {
				t.Errorf("%q of %s is documented, and no recording or scenario has it", word, key)
			}
		}
	}
}
