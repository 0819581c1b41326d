package attr

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
)

// declaredKeys reads the keys that keys.go declares, by the names of their constants.
func declaredKeys(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok {
			t.Fatalf("%s is no attribute.Key(…)", spec.Names[0])
		}
		key, err := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		keys[spec.Names[0].Name] = key
		return false
	})
	if len(keys) < 50 {
		t.Fatalf("found only %d keys", len(keys))
	}
	return keys
}

// A key's constant is named after it, so no key is there twice.
func TestKeysAreNamedAfterThemselves(t *testing.T) {
	for constant, key := range declaredKeys(t) {
		if want := constantOf(key); constant != want {
			t.Errorf("%s is %s, and should be named %s", key, constant, want)
		}
	}
}

// constantOf is RollbackRevisionKey for rollspan.rollback.revision, and K8SEventUIDKey
// for k8s.event.uid.
func constantOf(key string) string {
	var name strings.Builder
	for word := range strings.FieldsFuncSeq(strings.TrimPrefix(key, "rollspan."), func(r rune) bool { return r == '.' || r == '_' }) {
		switch word {
		case "k8s", "uid":
			name.WriteString(strings.ToUpper(word))
		default:
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return name.String() + "Key"
}

// conventions are the keys that the semantic conventions have.
func conventions(t *testing.T) map[string]bool {
	t.Helper()
	const path = "go.opentelemetry.io/otel/semconv/v1.43.0"
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "attribute_group.go"))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, m := range regexp.MustCompile(`attribute\.Key\("([^"]+)"\)`).FindAllStringSubmatch(string(content), -1) {
		keys[m[1]] = true
	}
	if !keys["k8s.pod.name"] || len(keys) < 500 {
		t.Fatalf("found only %d keys in the conventions", len(keys))
	}
	return keys
}

// What the semantic conventions have is taken from there: no key of theirs is spelled
// anywhere in rollspan.
func TestNoConventionIsSpelled(t *testing.T) {
	known, read := conventions(t), 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "otlptest") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		read++
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && known[text] {
					t.Errorf("%s: %s is a semantic convention: take it from there", path, text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || read < 100 {
		t.Errorf("read %d files, %v", read, err)
	}
}

// No key is also the namespace of another, which backends that nest attributes by their
// dots could not store beside it.
func TestNoKeyIsANamespace(t *testing.T) {
	own := []string{string(PhasePullImage.Key()), string(LinkCausedBy.TraceIDKey()), string(LinkCausedBy.SpanIDKey())}
	for _, key := range declaredKeys(t) {
		own = append(own, key)
	}
	all := slices.Concat(own, slices.Collect(maps.Keys(conventions(t))))
	for _, key := range own {
		for _, other := range all {
			if strings.HasPrefix(other, key+".") {
				t.Errorf("%s is the namespace of %s", key, other)
			}
			if strings.HasPrefix(key, other+".") {
				t.Errorf("%s is the namespace of %s", other, key)
			}
		}
	}
}

func TestPhaseOf(t *testing.T) {
	if p, ok := PhaseOf(PhasePullImage.Key()); p != PhasePullImage || !ok {
		t.Errorf("%s has the sum of %q, %t", PhasePullImage.Key(), p, ok)
	}
	for _, key := range []attribute.Key{CriticalPathSegmentsKey, SlowerPhaseKey} {
		if p, ok := PhaseOf(key); ok {
			t.Errorf("%s has the sum of %q", key, p)
		}
	}
}

func TestLinkOf(t *testing.T) {
	for _, key := range []attribute.Key{LinkCausedBy.TraceIDKey(), LinkCausedBy.SpanIDKey()} {
		if l, ok := LinkOf(key); l != LinkCausedBy || !ok {
			t.Errorf("%s is of %q, %t", key, l, ok)
		}
	}
	for _, key := range []attribute.Key{LinkTypeKey, ChangeKey} {
		if l, ok := LinkOf(key); ok {
			t.Errorf("%s is of %q", key, l)
		}
	}
}
