package causality

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/workloads"
)

// TestKindsAreNamedInTheirOwnFiles holds that a kind of workload is one file: the name
// of the kind, and the value that says what its controller does, are mentioned there and
// in the list of all kinds, and nowhere else. All else asks what a controller does.
//
// A Pod is what all workloads consist of, so files may name that kind, though not the
// value for one that is a workload.
func TestKindsAreNamedInTheirOwnFiles(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	parsed := map[string]*ast.File{}
	own := map[string]string{} // the file that declares a kind's value or its name
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed[name] = f
		for _, d := range f.Decls {
			for _, value := range controllerValues(d) {
				own[value] = name
			}
		}
	}
	if len(own) != len(workloads.Controllers) {
		t.Fatalf("there are %d kinds, and values of %v", len(workloads.Controllers), own)
	}
	for _, k := range workloads.Controllers {
		if k.Kind == kube.KindPod {
			continue
		}
		i := slices.IndexFunc(files, func(name string) bool { return parsed[name] != nil && declares(parsed[name], "kind"+k.Kind) })
		if i < 0 {
			t.Fatalf("no file declares kind%s", k.Kind)
		}
		own["kind"+k.Kind], own[strconv.Quote(k.Kind)] = files[i], files[i]
	}
	for name, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			mentioned := ""
			switch n := n.(type) {
			case *ast.Ident:
				mentioned = n.Name
			case *ast.BasicLit:
				mentioned = n.Value
			}
			if file, is := own[mentioned]; is && name != file && name != "controller.go" {
				t.Errorf("%s mentions %s, which is for %s: ask what the controller does", name, mentioned, file)
			}
			return true
		})
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
				if typ, ok := lit.Type.(*ast.Ident); ok && typ.Name == "controller" {
					names = append(names, value.Names[i].Name)
				}
			}
		}
	}
	return names
}

// declares reports whether a file declares a constant.
func declares(f *ast.File, name string) bool {
	return slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		decl, ok := d.(*ast.GenDecl)
		return ok && decl.Tok == token.CONST && slices.ContainsFunc(decl.Specs, func(s ast.Spec) bool {
			return slices.ContainsFunc(s.(*ast.ValueSpec).Names, func(id *ast.Ident) bool { return id.Name == name })
		})
	})
}
