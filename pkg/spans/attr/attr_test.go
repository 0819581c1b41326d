package attr

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
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

// What the semantic conventions have is taken from there: no key of theirs is spelled
// here.
func TestKeysAreNoConventions(t *testing.T) {
	const conventions = "go.opentelemetry.io/otel/semconv/v1.43.0"
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", conventions).Output()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "attribute_group.go"))
	if err != nil {
		t.Fatal(err)
	}
	has := func(key string) bool {
		return strings.Contains(string(content), "attribute.Key("+strconv.Quote(key)+")")
	}
	if !has("k8s.pod.name") {
		t.Fatal("not even k8s.pod.name is found in the conventions")
	}
	for _, key := range declaredKeys(t) {
		if has(key) {
			t.Errorf("%s is a semantic convention: take it from %s", key, conventions)
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
