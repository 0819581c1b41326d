package causality_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFactsDeductionsAndDeliveryAreApart finds every write of the engine's that breaks the
// rule: what was observed is written only while observing; what is deduced from it is
// written nowhere but in what is returned; and what was handed out is noted by ledgers.
func TestFactsDeductionsAndDeliveryAreApart(t *testing.T) {
	found := loadPackage(t, engineRules).check()
	if len(found) > 0 {
		t.Errorf("facts, deductions and delivery are mixed up in %d places; the table of roles is in roles_table_test.go:\n%s", len(found), listed(found))
	}
}

// loadPackage parses the package and checks its types. What it imports is read from the
// build cache, so that nothing but the package is read from its source.
func loadPackage(t *testing.T, r rules) *checker {
	t.Helper()
	c := &checker{rules: r, fset: gotoken.NewFileSet()}
	imports := c.imports(t, ".")
	for file := range r.roles {
		if strings.Contains(file, " ") {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s has a role, and is not there: take it out of the table", file)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		c.parse(t, name, nil)
	}
	c.typecheck(t, imports)
	return c
}

func (c *checker) parse(t *testing.T, name string, source any) {
	t.Helper()
	f, err := parser.ParseFile(c.fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	c.files = append(c.files, f)
}

// imports finds what packages import, as the compiler has left it.
func (c *checker) imports(t *testing.T, packages ...string) types.Importer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, packages...)...) //nolint:gosec // the test's own words
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &said)
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

func (c *checker) typecheck(t *testing.T, imports types.Importer) {
	t.Helper()
	c.info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
	}
	pkg, err := (&types.Config{Importer: imports}).Check("causality", c.fset, c.files, c.info)
	if err != nil {
		t.Fatal(err)
	}
	c.pkg = pkg
}
