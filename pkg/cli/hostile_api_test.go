//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

// kubeconfigOf writes a kubeconfig whose context has a name, and is chosen or not.
func kubeconfigOf(t *testing.T, server, context string, chosen bool) string {
	t.Helper()
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": server}}},
		"contexts": []any{map[string]any{"name": context, "context": map[string]any{"cluster": "c", "user": "u"}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{}}},
	}
	if chosen {
		config["current-context"] = context
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	// YAML takes control characters as escapes only.
	if err := os.WriteFile(file, []byte(terminal.Text(string(b))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestHostileKubeconfig has the text in what a kubeconfig names.
func TestHostileKubeconfig(t *testing.T) {
	name := strings.ReplaceAll(hostile, "\U000e0041", "") // which YAML has no escape for that JSON has
	file := kubeconfigOf(t, "http://127.0.0.1:1", name, false)
	for _, args := range [][]string{{"run"}, {"record", "--log-format=json"}, {"record", "--context=x"}} {
		_, errs, code := harmless(t, "", append(args, "--kubeconfig", file)...)
		if code != ExitError || !strings.Contains(errs, "pwned") {
			t.Errorf("%q: exit %d, the context is not named:\n%s", args, code, errs)
		}
	}
}

// TestHostileAPIServer has an API server say the text in all its answers.
func TestHostileAPIServer(t *testing.T) {
	text, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Warning", `299 - "`+"pwned\u202e\u009b"+`"`)
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":500,"reason":"InternalError","message":%s,
			"details":{"name":%s,"kind":%s,"causes":[{"reason":"UnexpectedServerResponse","message":%s}]}}`, text, text, text, text)
		_, _ = io.WriteString(w, "\n")
	}))
	defer api.Close()
	file := kubeconfigOf(t, api.URL, "c", true)
	for _, command := range []string{"run", "record"} {
		for _, format := range []string{"text", "json"} {
			c := start(t, command, "--kubeconfig", file, "--log-level=debug", "--log-format", format, "--qps=1000", "--burst=1000")
			until(t, "what the API server says", func() bool { return strings.Contains(c.errs.String(), "pwned") })
			c.send(t, syscall.SIGTERM)
			_ = c.cmd.Wait() // how it ends is not what is tested here
			for name, said := range map[string]string{"stdout": c.out.String(), "stderr": c.errs.String()} {
				if err := inert(said); err != nil {
					t.Errorf("%s, %s, %s: %v", command, format, name, err)
				}
			}
			if format != "json" {
				continue
			}
			for line := range strings.Lines(c.errs.String()) {
				if !json.Valid([]byte(line)) && !strings.HasPrefix(line, "recorded ") {
					t.Errorf("%s: this is no JSON: %q", command, line)
				}
			}
		}
	}
}
