package roles

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// source are the packages of an engine, parsed and with their types. What they import of
// others is read from the build cache, so that nothing but the engine is read from source.
type source struct {
	fset  *gotoken.FileSet
	files map[string]*ast.File // by their paths, from the root package's folder
	info  *types.Info
	root  *types.Package

	rootPath string
	checked  map[string]*types.Package // by the packages' paths
	others   types.Importer
}

const enginePath = "github.com/rollspan/rollspan/pkg/causality"

// readEngine reads all of the engine.
func readEngine(t *testing.T) *source {
	t.Helper()
	const root = "../.."
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		name, err = filepath.Rel(root, name)
		texts[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return newSource(t, enginePath, texts, exported(t, enginePath+"/..."))
}

// newSource reads an engine from the texts of its files; exports say where to find what the
// compiler has left of all else that these import.
func newSource(t *testing.T, rootPath string, texts, exports map[string]string) *source {
	t.Helper()
	s := &source{
		fset: gotoken.NewFileSet(), files: map[string]*ast.File{}, rootPath: rootPath, checked: map[string]*types.Package{},
		info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
			Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		},
	}
	s.others = importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		f, err := parser.ParseFile(s.fset, name, texts[name], parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files[name] = f
	}
	for name := range s.files {
		if _, err := s.Import(path.Join(rootPath, path.Dir(name))); err != nil {
			t.Fatal(err)
		}
	}
	s.root = s.checked[rootPath]
	return s
}

// exported finds what the compiler has left of packages, and of all that they import.
func exported(t *testing.T, packages ...string) map[string]string {
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
			return exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
}

// Import checks the types of a package of the engine when it is asked for first, and reads
// those of any other. It is what types.Importer asks for.
func (s *source) Import(pkg string) (*types.Package, error) {
	if done := s.checked[pkg]; done != nil {
		return done, nil
	}
	rel, own := strings.CutPrefix(pkg+"/", s.rootPath+"/")
	if !own {
		return s.others.Import(pkg)
	}
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if path.Dir(name) == path.Clean(rel) {
			files = append(files, s.files[name])
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s is not there", pkg)
	}
	checked, err := (&types.Config{Importer: s}).Check(pkg, s.fset, files, s.info)
	s.checked[pkg] = checked
	return checked, err
}

// isOwn reports whether a package is the engine's; nil is none.
func (s *source) isOwn(pkg *types.Package) bool { return pkg != nil && s.checked[pkg.Path()] == pkg }
