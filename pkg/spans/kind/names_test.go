package kind_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/spans/kind"
)

const (
	module    = "github.com/rollspan/rollspan"
	spansPath = module + "/pkg/spans"
	attrPath  = module + "/pkg/spans/attr"
	kindPath  = module + "/pkg/spans/kind"
)

// readers are the packages that hand names of spans on to people: they encode, print and
// log and keep them. Any other package has no use for a name.
var readers = []string{module + "/pkg/otlp", module + "/pkg/otlp/export", module + "/pkg/spans/text", module + "/pkg/watcher", module + "/pkg/history", module + "/pkg/ui"}

// decodes is the package that reads spans back from OTLP, which has no Kind: there a name is all
// that there is to look one up by.
const decodes = module + "/pkg/ui"

// homonyms are texts that only happen to be spelled like a name, by the file they are in.
var homonyms = map[string]string{
	"waiting.go":       "paused",      // a word of the sentence about what a change waits for
	"kept.go":          "container",   // what of the API a recording keeps
	"alarms.go":        "container",   // a label of a metric
	"format.go":        "in progress", // what an open outcome is called on the page
	"list.go":          "in progress", // the same
	"overview_html.go": "in progress", // the same
}

// TestLogicComparesNoNames looks at all of rollspan's packages: what spans are called is
// compared nowhere, and what is in the tables of names is spelled nowhere else.
func TestLogicComparesNoNames(t *testing.T) {
	l := newLoader(t)
	for _, p := range l.own {
		files := make([]*ast.File, 0, len(p.GoFiles))
		for _, name := range p.GoFiles {
			files = append(files, l.parse(t, filepath.Join(p.Dir, name), nil))
		}
		for _, found := range l.check(t, p.ImportPath, files) {
			t.Error(found)
		}
	}
	if len(l.own) < 12 || len(l.names) < 120 {
		t.Errorf("found only %d packages and %d names", len(l.own), len(l.names))
	}
}

// TestComparedNamesAreFound has each kind of comparison, and of name, found in a snippet.
func TestComparedNamesAreFound(t *testing.T) {
	l := newLoader(t)
	const head = "package p\nimport (\"slices\"; \"strings\"; \"" + spansPath + "\")\nvar _, _, _ = slices.Sort[[]int], strings.Cut, spans.Cut\n"
	reader := readers[0]
	for _, test := range []struct {
		in, code string
		found    int
	}{
		{module + "/pkg/causality", `func f(s *spans.Span) string { return s.Name }`, 1},
		{module + "/pkg/causality", `func f(s spans.Span) bool { name := s.Name; return name == "x" }`, 1},
		{module + "/pkg/causality", `type own struct{ *spans.Span }; func f(o own) string { return o.Name }`, 1},
		{module + "/pkg/causality", `func f() spans.Span { return spans.Span{Name: "x"} }`, 0},
		{module + "/pkg/causality", `func f(e spans.Event) bool { return e.Name == "x" }`, 0},
		{reader, `func f(s *spans.Span) string { return s.Name + " " + s.Subject }`, 0},
		{reader, `func f(s *spans.Span) bool { return s.Name == "x" }`, 1},
		{reader, `func f(s *spans.Span) bool { return "x" != s.Name + "y" }`, 1},
		{reader, `func f(s *spans.Span) { switch s.Name { case "x": } }`, 1},
		{reader, `func f(s *spans.Span, x string) { switch x { case s.Name: } }`, 1},
		{reader, `func f(s *spans.Span) { switch { case strings.HasPrefix(s.Name, "x"): } }`, 1},
		{reader, `func f(s *spans.Span, xs []string) bool { return slices.Contains(xs, s.Name) }`, 1},
		{reader, `func f(s *spans.Span, m map[string]int) int { return m[s.Name] }`, 1},
		{reader, `func f(s *spans.Span) string { name := s.Name; if name < "x" { name = "y" }; return name }`, 1},
		{reader, `const pull = "pull image"`, 1},
		{reader, `const root = "Deployment rollout"`, 1},
		{reader, `const key = "rollspan.change"`, 1},
		{reader, `const phase = "pull_image"`, 1},
		{reader, `const service = "statefulset-controller"`, 1},
		{reader, `const other = "pulling an image"`, 0},
	} {
		got := l.check(t, test.in, []*ast.File{l.parse(t, "snippet.go", head+test.code)})
		if len(got) != test.found {
			t.Errorf("%s\nin %s: found %q, want %d", test.code, test.in, got, test.found)
		}
	}
}

// loader type-checks rollspan's packages against what go build made of the packages that
// they import.
type loader struct {
	fset     *token.FileSet
	importer types.Importer
	own      []listed
	names    map[string]bool // that the tables have, and that mean nothing else
}

// listed is a package, as go list describes it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

func newLoader(t *testing.T) *loader {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", module, module+"/pkg/...")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &said)
	}
	l := &loader{fset: token.NewFileSet(), names: map[string]bool{}}
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		// What tests share names what it likes.
		if strings.HasPrefix(p.ImportPath, module) && !strings.HasSuffix(p.ImportPath, "test") {
			l.own = append(l.own, p)
		}
	}
	l.importer = importer.ForCompiler(l.fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("go list names no %s", path)
		}
		return os.Open(exports[path])
	})
	l.readTables(t)
	return l
}

// readTables collects the names. Those of one word, such as "schedule", are words for
// other things, too, and so is what attributes have for values.
func (l *loader) readTables(t *testing.T) {
	t.Helper()
	table := l.imported(t, attrPath).Scope()
	for _, name := range table.Names() {
		c, ok := table.Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		value := constant.StringVal(c.Val())
		isPhase := strings.HasPrefix(name, "Phase") && strings.Contains(value, "_")
		if isPhase || strings.HasSuffix(name, "Key") || strings.HasPrefix(name, "Service") {
			l.names[value] = true
		}
		if isPhase {
			l.names[strings.ReplaceAll(value, "_", " ")] = true
		}
	}
	for _, k := range kind.All() {
		if !k.OfObject() {
			l.names[k.Name("")] = true
			continue
		}
		for _, object := range []string{"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Node", "<Kind>"} {
			l.names[k.Name(object)] = true
		}
	}
}

func (l *loader) imported(t *testing.T, path string) *types.Package {
	t.Helper()
	p, err := l.importer.Import(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *loader) parse(t *testing.T, name string, src any) *ast.File {
	t.Helper()
	if code, ok := src.(string); ok {
		src = code
	}
	f, err := parser.ParseFile(l.fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// check returns what is wrong with a package.
func (l *loader) check(t *testing.T, path string, files []*ast.File) (found []string) {
	t.Helper()
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	p, err := (&types.Config{Importer: l.importer}).Check(path, l.fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	if path != spansPath {
		p = l.imported(t, spansPath)
	}
	c := &checker{loader: l, info: info, path: path, holders: map[types.Object]bool{}}
	span := p.Scope().Lookup("Span").Type().Underlying().(*types.Struct)
	for field := range span.Fields() {
		if field.Name() == "Name" {
			c.name = field
		}
	}
	for _, f := range files {
		ast.Inspect(f, c.hold)
	}
	for _, f := range files {
		ast.Inspect(f, c.visit)
	}
	return c.found
}

// checker looks at one package.
type checker struct {
	*loader
	info    *types.Info
	path    string
	name    *types.Var            // the field Name of a Span
	holders map[types.Object]bool // variables that were given a name
	found   []string
}

func (c *checker) report(n ast.Node, what string) {
	c.found = append(c.found, fmt.Sprintf("%s: %s", c.fset.Position(n.Pos()), what))
}

// hold notes a variable that is given a name.
func (c *checker) hold(n ast.Node) bool {
	if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
		for i := range a.Lhs {
			id, ok := a.Lhs[i].(*ast.Ident)
			if !ok || !c.tells(a.Rhs[i]) {
				continue
			}
			if obj := c.info.ObjectOf(id); obj != nil {
				c.holders[obj] = true
			}
		}
	}
	return true
}

// tells reports whether the value of an expression is, or contains, the name of a span.
func (c *checker) tells(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		s := c.info.Selections[e]
		return s != nil && s.Obj() == c.name
	case *ast.Ident:
		return c.holders[c.info.ObjectOf(e)]
	case *ast.ParenExpr:
		return c.tells(e.X)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (c.tells(e.X) || c.tells(e.Y))
	}
	return false
}

func (c *checker) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if c.tells(n) && !slices.Contains(readers, c.path) {
			c.report(n, "reads the name of a span: go by its Kind")
		}
	case *ast.BasicLit:
		c.literal(n)
	}
	if !slices.Contains(readers, c.path) {
		return true // whatever it does with a name, it is told of reading it
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op != token.ADD && (c.tells(n.X) || c.tells(n.Y)) {
			c.report(n, "compares the name of a span: compare its Kind")
		}
	case *ast.SwitchStmt:
		if n.Tag != nil && c.tells(n.Tag) {
			c.report(n, "switches by the name of a span: switch by its Kind")
		}
	case *ast.CaseClause:
		if slices.ContainsFunc(n.List, c.tells) {
			c.report(n, "compares the name of a span: compare its Kind")
		}
	case *ast.IndexExpr:
		if c.tells(n.Index) && c.path != decodes {
			c.report(n, "looks something up by the name of a span: do so by its Kind")
		}
	case *ast.CallExpr:
		if c.compares(n.Fun) && slices.ContainsFunc(n.Args, c.tells) {
			c.report(n, "looks into the name of a span: go by its Kind")
		}
	}
	return true
}

// compares reports whether a function is one of the packages that look into texts.
func (c *checker) compares(fun ast.Expr) bool {
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	s, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	f := c.info.Uses[s.Sel]
	return f != nil && f.Pkg() != nil && slices.Contains([]string{"strings", "slices", "cmp", "maps", "regexp"}, f.Pkg().Path())
}

// literal reports a text that the tables have.
func (c *checker) literal(n *ast.BasicLit) {
	text, err := strconv.Unquote(n.Value)
	if n.Kind != token.STRING || err != nil || c.path == attrPath || c.path == kindPath || !c.names[text] {
		return
	}
	if homonyms[filepath.Base(c.fset.Position(n.Pos()).Filename)] != text {
		c.report(n, fmt.Sprintf("spells %q: take it from pkg/spans/attr or pkg/spans/kind", text))
	}
}
