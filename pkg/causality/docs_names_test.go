package causality_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// vocabulary is what pkg/spans/attr declares, by the words that its constants begin with, but
// for keys, which end in Key.
type vocabulary map[string][]string

func declaredNames(t *testing.T) vocabulary {
	t.Helper()
	files, err := filepath.Glob("../spans/attr/*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := vocabulary{}
	for _, file := range files {
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				return false
			case *ast.ValueSpec:
				declared.add(t, n)
			}
			return true
		})
	}
	return declared
}

var vocabularies = []string{"Change", "Outcome", "Link", "Cause", "Phase", "Service", "Source", "Cut"}

func (n vocabulary) add(t *testing.T, spec *ast.ValueSpec) {
	t.Helper()
	constant := spec.Names[0].Name
	if !ast.IsExported(constant) {
		return
	}
	value := spec.Values[0]
	if call, ok := value.(*ast.CallExpr); ok {
		value = call.Args[0]
	}
	word, err := strconv.Unquote(value.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	begins := func(word string) bool { return strings.HasPrefix(constant, word) }
	switch i := slices.IndexFunc(vocabularies, begins); {
	case strings.HasSuffix(constant, "Key"):
		n["Key"] = append(n["Key"], word)
	case i >= 0:
		n[vocabularies[i]] = append(n[vocabularies[i]], word)
	default:
		t.Errorf("attr.%s belongs to no vocabulary: this test cannot tell what documents it", constant)
	}
}

// namesAreInTables holds docs/traces.md, and what recordings and scenarios give, to the
// tables of names, pkg/spans/attr and pkg/spans/kind: what is in the tables is documented
// and comes about, and what is documented or comes about is in the tables.
func namesAreInTables(t *testing.T, doc string, seen []spans.Span) {
	declared := declaredNames(t)
	documented := documentedNames(t, doc)
	used := usedNames(seen)
	for _, of := range append([]string{"Key"}, vocabularies...) {
		if len(declared[of]) < 8 && of != "Outcome" && of != "Source" && of != "Cut" {
			t.Errorf("found only %d constants of %s", len(declared[of]), of)
		}
		for _, name := range declared[of] {
			if !slices.Contains(documented[of], name) {
				t.Errorf("%s %q is in the table, and not documented", of, name)
			}
			if !used[of][name] && of != "Source" { // some are of dumps alone: see TestLawSnapshots
				t.Errorf("%s %q is in the table, and no recording or scenario has it", of, name)
			}
		}
		for _, name := range documented[of] {
			// The causes that Kubernetes gives are in no table.
			if of != "Cause" && !slices.Contains(declared[of], name) {
				t.Errorf("%s %q is documented, and not in the table", of, name)
			}
		}
		for name := range used[of] {
			// Events have services, and disruptions causes, that others name.
			if of != "Cause" && of != "Service" && !slices.Contains(declared[of], name) {
				t.Errorf("%s %q comes about, and is not in the table", of, name)
			}
		}
	}
}

// documentedNames are the words that docs/traces.md has for each vocabulary.
func documentedNames(t *testing.T, doc string) vocabulary {
	own := section(t, doc, "rollspan's own:", "### What changed")
	row := func(key string) string {
		_, rest, _ := strings.Cut(own, "| `"+key+"` |")
		line, _, _ := strings.Cut(rest, "\n")
		return line
	}
	n := vocabulary{
		"Key":    {"rollspan.link.type", "rollspan.link.left_out"}, // of links, which are no spans
		"Change": code(row("rollspan.change")),
		"Cause":  code(row("rollspan.cause") + section(t, doc, "### Restarts", "### The critical path")),
		"Source": code(strings.TrimPrefix(row("rollspan.start.source"), " `disrupted` |")),
		"Cut":    code(strings.TrimPrefix(row("rollspan.cut_short"), " `Pod start`, `Pod run` |")),
		"Phase":  code(section(t, doc, "| `controller`, `create_pod`", "A rollout also says")),
		// It is what the Spans say of services that is spelled as code.
		"Service": code(section(t, doc, "- The service of a span", "\n- ")),
	}
	n["Phase"] = append(n["Phase"], "controller", "create_pod")
	n["Phase"] = slices.DeleteFunc(n["Phase"], func(word string) bool { return word == "minReadySeconds" })
	for _, row := range rows(own) {
		for _, key := range keys(code(row[0])) {
			if key != "rollspan.critical_path.<phase>" && !strings.HasPrefix(key, "rollspan.left_out.<phase>.") && !strings.HasPrefix(key, "rollspan.link.<meaning>.") {
				n["Key"] = append(n["Key"], key)
			}
		}
	}
	for _, row := range rows(section(t, doc, "Outcomes (", "A rollout is a revision")) {
		n["Outcome"] = append(n["Outcome"], code(row[0])...)
	}
	for _, word := range code(section(t, doc, "## Links", "A link can only be")) {
		if word != string(attr.LinkTypeKey) && !strings.Contains(word, " ") {
			n["Link"] = append(n["Link"], word)
		}
	}
	return n
}

// usedNames are the words of each vocabulary that spans have.
func usedNames(seen []spans.Span) map[string]map[string]bool {
	used := map[string]map[string]bool{"Key": {}}
	for _, of := range vocabularies {
		used[of] = map[string]bool{}
	}
	vocabularyOf := map[attribute.Key]string{
		attr.ChangeKey: "Change", attr.InProgressKey: "Change", attr.OutcomeKey: "Outcome",
		attr.CauseKey: "Cause", attr.SlowerPhaseKey: "Phase", attr.LinkTypeKey: "Link",
		attr.StartSourceKey: "Source", attr.EndSourceKey: "Source", attr.CutShortKey: "Cut",
	}
	read := func(kvs []attribute.KeyValue) {
		for _, kv := range kvs {
			if phase, ok := attr.PhaseOf(kv.Key); ok {
				used["Phase"][string(phase)] = true
			} else if phase, _, ok := attr.LeftOutOf(kv.Key); ok {
				used["Phase"][string(phase)] = true
			} else if _, ok := attr.LinkOf(kv.Key); ok {
				continue // see TestLawSpansSayWhatTheirLinksMean
			} else if strings.HasPrefix(string(kv.Key), "rollspan.") || strings.HasPrefix(string(kv.Key), "k8s.event.") {
				used["Key"][string(kv.Key)] = true
			}
			if of, ok := vocabularyOf[kv.Key]; ok {
				used[of][kv.Value.AsString()] = true
			}
		}
	}
	for _, s := range seen {
		used["Service"][s.Service] = true
		read(said(s))
		for _, l := range s.Links {
			read(l.Attributes)
		}
		for _, ev := range s.Events {
			read(ev.Attributes)
		}
	}
	return used
}

// kindsAreInTable holds the same for kinds of spans, and the names of spans to their kinds.
func kindsAreInTable(t *testing.T, doc string, seen []spans.Span) {
	prose := code(doc)
	comeAbout := map[kind.Kind]bool{}
	for _, s := range seen {
		if !isOfKind(s.Name, s.Kind) {
			t.Errorf("%q is of the kind %q", s.Name, s.Kind)
		}
		if c := s.Kind.Change(); change(s) != "" && change(s) != string(c) {
			t.Errorf("%q tells of a %s, and roots of its kind of a %s", s.Name, change(s), c)
		}
		if service := s.Kind.Service(); service != "" && s.Service != service {
			t.Errorf("%q is done by %s, and what is of its kind by %s", s.Name, s.Service, service)
		}
		comeAbout[s.Kind] = true
	}
	for _, k := range kind.All() {
		if !slices.ContainsFunc(prose, func(name string) bool { return isOfKind(name, k) }) {
			t.Errorf("the kind %q is not documented", k)
		}
		if !comeAbout[k] {
			t.Errorf("no recording or scenario has a span of the kind %q", k)
		}
	}
	tables := rows(section(t, doc, "## Changes", "Outcomes"))
	tables = append(tables, rows(section(t, doc, "## Spans", "### Changes in progress"))...)
	for _, row := range tables {
		for _, name := range code(row[0]) {
			if !slices.ContainsFunc(kind.All(), func(k kind.Kind) bool { return isOfKind(name, k) }) {
				t.Errorf("%q is documented, and no kind of span", name)
			}
		}
	}
}

// isOfKind reports whether spans of a kind may have a name; `<Workload> scale` is one that
// stands for some.
func isOfKind(name string, k kind.Kind) bool {
	object, ok := strings.CutSuffix(name, " "+k.String())
	if !k.OfObject() {
		return name == k.Name("")
	}
	return ok && object != "" && name == k.Name(object)
}

// TestOtherDocsUseNamesOfTheTables holds what README.md and the other documents search
// and count by to the tables, too.
func TestOtherDocsUseNamesOfTheTables(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	declared, checked := declaredNames(t), 0
	known := func(of, name string) bool {
		_, isPhase := attr.PhaseOf(attribute.Key(name))
		if link, ok := attr.LinkOf(attribute.Key(name)); ok {
			of, name = "Link", string(link)
		}
		if of == "Key" && isPhase {
			of, name = "Phase", strings.TrimPrefix(name, pathPrefix)
		}
		return slices.Contains(declared[of], name)
	}
	for _, file := range append(files, "../../README.md") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		was := map[string]bool{}
		if filepath.Base(file) == "upgrading.md" {
			for _, row := range rows(string(content)) {
				for _, word := range code(row[0]) {
					was[word] = true
					if known("Key", word) {
						t.Errorf("%s says that %s was an attribute before, and it is one", file, word)
					}
				}
			}
			if len(was) < 4 {
				t.Errorf("%s has only %d names from before", file, len(was))
			}
		}
		for _, word := range code(string(content)) {
			if was[word] {
				continue
			}
			if ownKey.MatchString(word) {
				checked++
				if !known("Key", word) {
					t.Errorf("%s has the attribute %s, and no span", file, word)
				}
			}
		}
		for _, m := range labelValue.FindAllStringSubmatch(string(content), -1) {
			checked++
			if of := strings.ToUpper(m[1][:1]) + m[1][1:]; !known(of, m[2]) {
				t.Errorf("%s has %s, and nothing is measured by that", file, m[0])
			}
		}
	}
	if checked < 50 {
		t.Errorf("found only %d names", checked)
	}
}

var (
	ownKey     = regexp.MustCompile(`^rollspan\.[a-z_.]*[a-z]$`)
	labelValue = regexp.MustCompile(`\b(change|outcome|phase)="(\w+)"`)
)

// TestJaegerFindsWhatItLinksTo: each search that Jaeger's UI, as it is set up in examples, leads
// to from an object asks for a service and an attribute that some spans have, and each kind of
// workload has one.
func TestJaegerFindsWhatItLinksTo(t *testing.T) {
	found := map[string]bool{}
	note := func(_ *testing.T, obs []causality.Observation) {
		for _, s := range allSpans(replay(obs)) {
			for _, kv := range s.Resource {
				found[s.Service+" "+string(kv.Key)] = true
			}
		}
	}
	forEachRecording(t, note)
	note(t, scenarioObservations(t, filepath.Join("testdata", "scenarios", "bare-sets-and-pods.txt")))
	linked := map[string]bool{}
	for _, p := range jaegerPatterns(t) {
		if p.Type != "process" {
			continue
		}
		u, err := url.Parse(strings.ReplaceAll(p.URL, "#{", "{"))
		if err != nil {
			t.Fatal(err)
		}
		tags := map[string]string{}
		if err := json.Unmarshal([]byte(u.Query().Get("tags")), &tags); err != nil || len(tags) != 1 {
			t.Errorf("%s asks for the tags %q: %v", p.Text, u.Query().Get("tags"), err)
		}
		for key := range tags {
			linked[key] = true
			if what := u.Query().Get("service") + " " + key; !found[what] {
				t.Errorf("%s asks for %s, which no span has", p.Text, what)
			}
		}
	}
	for _, of := range []string{"deployment", "statefulset", "daemonset", "replicaset", "replicationcontroller", "job", "cronjob", "pod"} {
		if !linked["k8s."+of+".uid"] {
			t.Errorf("nothing leads from a %s to other traces about it", of)
		}
	}
	if !linked[string(attr.ObjectUIDKey)] {
		t.Error("nothing leads from a Rollout to other traces about it")
	}
}

type linkPattern struct{ Type, Key, Value, URL, Text string }

func jaegerPatterns(t *testing.T) []linkPattern {
	t.Helper()
	content, err := os.ReadFile("../../deploy/examples/jaeger/ui-config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ LinkPatterns []linkPattern }
	if err := json.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	return config.LinkPatterns
}

// TestJaegerLinksToAllLinks has Jaeger's UI, as it is set up in examples, make a link of
// each meaning that a link can have, which leads to the very span. What was in the way lies
// in the same trace, where Jaeger itself leads to it.
func TestJaegerLinksToAllLinks(t *testing.T) {
	urls := map[string]string{}
	for _, p := range jaegerPatterns(t) {
		urls[p.Key] = p.URL
	}
	for _, meaning := range declaredNames(t)["Link"] {
		l := attr.Link(meaning)
		if l == attr.LinkUnblockedBy {
			continue
		}
		want := fmt.Sprintf("/trace/#{%s}?uiFind=#{%s}", l.TraceIDKey(), l.SpanIDKey())
		if got := urls[string(l.TraceIDKey())]; got != want {
			t.Errorf("a link that means %s leads to %q, want %q", l, got, want)
		}
	}
}
