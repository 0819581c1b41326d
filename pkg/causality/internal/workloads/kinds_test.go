package workloads

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
)

// TestKindsAreNamedInTheirOwnFiles holds that a kind of workload is one file: the name
// of the kind, and the value that says what its controller does, are mentioned there and
// in the list of all kinds, and nowhere else in the engine. All else asks what a
// controller does.
//
// Some objects are too different from others to be read by what the value says. The
// engine's own files take these in, and may name the value.
//
// A Pod is what all workloads consist of, so files may name that kind, though not the
// value for one that is a workload.
func TestKindsAreNamedInTheirOwnFiles(t *testing.T) {
	const engine, list = "../..", "internal/workloads/controller.go"
	takenIn := map[string]string{"JobController": "ingest_kinds.go", "ReplicaSetController": "ingest_kinds.go", "PodController": "unowned_pods.go"}
	parsed := map[string]*ast.File{}
	own := map[string]string{} // the file that declares a kind's value or its name
	err := filepath.WalkDir(engine, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err = filepath.Rel(engine, name)
		parsed[filepath.ToSlash(name)] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range parsed {
		for _, d := range f.Decls {
			for _, value := range controllerValues(d) {
				own[value] = name
			}
		}
	}
	if len(own) != len(Controllers) {
		t.Fatalf("there are %d kinds, and values of %v", len(Controllers), own)
	}
	for _, k := range Controllers {
		if k.Kind == kube.KindPod {
			continue
		}
		word := strconv.Quote(k.Kind)
		for name, f := range parsed {
			for _, constant := range constants(f, word) {
				own[constant], own[word] = name, name
			}
		}
		if own[word] == "" {
			t.Errorf("no constant is %s", word)
		}
	}
	named := map[string]bool{}
	for name, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			mentioned := ""
			switch n := n.(type) {
			case *ast.Ident:
				mentioned = n.Name
			case *ast.BasicLit:
				mentioned = n.Value
			}
			switch file, is := own[mentioned]; {
			case !is || name == file || name == list:
			case name == takenIn[mentioned]:
				named[mentioned] = true
			default:
				t.Errorf("%s mentions %s, which is for %s: ask what the controller does", name, mentioned, file)
			}
			return true
		})
	}
	for value, file := range takenIn {
		if !named[value] {
			t.Errorf("%s does not name %s: take it out of the exceptions", file, value)
		}
	}
}

// controllerValues are the names of the controllers that a declaration declares.
func controllerValues(d ast.Decl) (names []string) {
	decl, ok := d.(*ast.GenDecl)
	if !ok || decl.Tok != token.VAR {
		return nil
	}
	for _, spec := range decl.Specs {
		value := spec.(*ast.ValueSpec)
		for i, v := range value.Values {
			if lit, ok := v.(*ast.CompositeLit); ok {
				if typ, ok := lit.Type.(*ast.Ident); ok && typ.Name == "Controller" {
					names = append(names, value.Names[i].Name)
				}
			}
		}
	}
	return names
}

// constants are the names of those that a file declares with a value, which is as in the
// source.
func constants(f *ast.File, value string) (names []string) {
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		for _, spec := range decl.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok && lit.Value == value {
					names = append(names, spec.Names[i].Name)
				}
			}
		}
	}
	return names
}
