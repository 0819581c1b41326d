package causality_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// deliveries are packages that deliver spans, or encode them for that, by the beginnings of
// their paths.
var deliveries = []string{
	"google.golang.org/grpc",
	"go.opentelemetry.io/otel/exporters",
	"go.opentelemetry.io/proto/otlp",
	"github.com/rollspan/rollspan/pkg/otlp",
}

// The engine can be embedded by who delivers traces in another way, or not at all:
// neither gRPC nor an OTLP client comes with it.
func TestEngineBringsNoDelivery(t *testing.T) {
	const own = "github.com/rollspan/rollspan/pkg/"
	engine := dependencies(t, own+"causality/...")
	if !engine[own+"spans"] || !engine["k8s.io/api/core/v1"] {
		t.Fatalf("these are not all that the engine depends on: %d packages", len(engine))
	}
	delivery := dependencies(t, own+"otlp/export")
	for _, beginning := range deliveries {
		if got := startingWith(engine, beginning); len(got) > 0 {
			t.Errorf("the engine brings %d packages of %s, such as %s", len(got), beginning, slices.Min(got))
		}
		// What is forbidden by a name that nothing has any more is not forbidden.
		if len(startingWith(delivery, beginning)) == 0 {
			t.Errorf("not even the delivery depends on %s: what is forbidden has another name now", beginning)
		}
	}
	for _, user := range []string{"watcher", "cli", "metrics", "spans/text"} {
		if engine[own+user] {
			t.Errorf("the engine imports %s", user)
		}
	}
}

// dependencies lists what a package imports, directly or not, and itself.
func dependencies(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pkg, err, &said)
	}
	list := map[string]bool{}
	for p := range strings.Lines(string(out)) {
		list[strings.TrimSpace(p)] = true
	}
	return list
}

func startingWith(list map[string]bool, beginning string) (found []string) {
	for p := range list {
		if p == beginning || strings.HasPrefix(p, beginning+"/") {
			found = append(found, p)
		}
	}
	return found
}
