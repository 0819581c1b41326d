//go:build unix

package cli

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// pageOf waits until a command says where its page is.
func pageOf(t *testing.T, c *command) string {
	t.Helper()
	address := ""
	until(t, "the page's address", func() bool {
		if m := pageLine.FindStringSubmatch(c.errs.String()); m != nil {
			address = m[1]
		}
		return address != ""
	})
	return address
}

var pageLine = regexp.MustCompile(`The page: (http://\S+)\n`)

// fetch asks for a page; the answer is empty if there is none.
func fetch(t *testing.T, url string, header ...string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = answer.Body.Close() }() // it is read
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(content)
}

// TestUI looks at a recording and a dump on one page, until the command is asked to end.
func TestUI(t *testing.T) {
	ui := start(t, "ui", "--ui-address", "127.0.0.1:0", recordings+"slow-image-pull.jsonl", recordings+"crash-loop.jsonl")
	page := pageOf(t, ui)
	until(t, "both recordings", func() bool {
		_, body := fetch(t, page)
		return strings.Contains(body, ">big<") && strings.Contains(body, ">worker<")
	})
	if status, body := fetch(t, page+"overview"); status != http.StatusOK || !strings.Contains(body, "node-a") {
		t.Errorf("the overview: %d\n%s", status, body)
	}
	if _, body := fetch(t, page+"api/v1/status"); !strings.Contains(body, "showing 2 files") {
		t.Errorf("its status is that of a run: %s", body)
	}
	ui.send(t, os.Interrupt)
	ui.ends(t, ExitOK)
	if out := ui.out.String(); out != "" {
		t.Errorf("it prints traces: %s", out)
	}
}

// TestUIOfDamaged shows what can be read, and says at the end that not all could.
func TestUIOfDamaged(t *testing.T) {
	whole, err := os.ReadFile(recordings + "slow-image-pull.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged.jsonl")
	if err := os.WriteFile(path, append([]byte("{not JSON\n"), whole...), 0o600); err != nil {
		t.Fatal(err)
	}
	ui := start(t, "ui", "--ui-address", "127.0.0.1:0", path)
	page := pageOf(t, ui)
	until(t, "all is read", func() bool { return strings.Contains(ui.errs.String(), "Press Ctrl-C to end.") })
	if _, body := fetch(t, page); !strings.Contains(body, ">big<") {
		t.Errorf("the page has no rollout of big:\n%s", body)
	}
	ui.send(t, os.Interrupt)
	ui.ends(t, ExitError)
	if errs := ui.errs.String(); !strings.Contains(errs, "1 broken line; the rest was converted") {
		t.Errorf("it says\n%s", errs)
	}
	none := filepath.Join(t.TempDir(), "none.jsonl")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "ui", "--ui-address", "127.0.0.1:0", none).ends(t, ExitError)
}

// TestRunWithPage shows a rollout of a cluster, to those who know the token.
func TestRunWithPage(t *testing.T) {
	const token = "9f1c0f6bb9f65bb7f7d1"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api, kubeconfig := serveRollout(t, "missing-configmap-then-created.jsonl")
	args := []string{"run", "--kubeconfig", kubeconfig, "-o", "tree", "--settle=1s", "--ui-address", "127.0.0.1:0", "--ui-token-file", file, "--data-dir", filepath.Join(t.TempDir(), "data")}
	run := start(t, args...)
	run.hasSeen(t, api)
	page := pageOf(t, run)
	if status, body := fetch(t, page); status != http.StatusUnauthorized || strings.Contains(body, "cfg") {
		t.Errorf("without the token: %d\n%s", status, body)
	}
	until(t, "the rollout", func() bool {
		_, body := fetch(t, page, "Authorization", "Bearer "+token)
		return strings.Contains(body, ">cfg<") && strings.Contains(body, "prepare sandbox")
	})
	if out, errs, code := rollspan(t, "", "status", "--server", strings.TrimSuffix(page, "/"), "--server-token-file", file); code != ExitOK || !strings.Contains(out, "History:") {
		t.Errorf("its status: exit %d\n%s%s", code, out, errs)
	}
	until(t, "the tree, as without a page", func() bool { return strings.Contains(run.out.String(), "Deployment rollout  deployment/cfg") })
	run.send(t, syscall.SIGTERM)
	run.ends(t, ExitOK)

	// The next run with the data directory shows it still.
	next := start(t, args...)
	page = pageOf(t, next)
	if _, body := fetch(t, page, "Authorization", "Bearer "+token); !strings.Contains(body, ">cfg<") {
		t.Errorf("it is forgotten: %s", body)
	}
	next.send(t, syscall.SIGTERM)
	next.ends(t, ExitOK)
}

// TestDemoPage has what is played on a page, which is there until somebody has looked at it.
func TestDemoPage(t *testing.T) {
	demo := start(t, "demo", "--speed", "100", "--ui-address", "127.0.0.1:0")
	page := pageOf(t, demo)
	until(t, "the end of what is played", func() bool { return strings.Contains(demo.errs.String(), "Press Ctrl-C to end.") })
	_, body := fetch(t, page+"?q=big")
	if !strings.Contains(body, ">big<") || !strings.Contains(body, "10.7 s") {
		t.Errorf("the page has no rollout of big:\n%s", body)
	}
	demo.send(t, os.Interrupt)
	demo.ends(t, ExitOK)
}

// TestPageTaken says what to do where something else has the address that was asked for.
func TestPageTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nobody was served
	_, errs, code := rollspan(t, "", "ui", "--ui-address", taken.Addr().String(), recordings+"slow-image-pull.jsonl")
	if want := "--ui-address: something else listens on " + taken.Addr().String() + "; name another port"; code != ExitError || !strings.Contains(errs, want) {
		t.Errorf("exit code %d, %q; want %d and %q", code, errs, ExitError, want)
	}
}

// TestPageInJSONLog has the page's address where all else is that a machine reads.
func TestPageInJSONLog(t *testing.T) {
	_, kubeconfig := serveRollout(t, "slow-image-pull.jsonl")
	run := start(t, "run", "--kubeconfig", kubeconfig, "-o", "otlp-json", "--log-format=json", "--ui-address", "127.0.0.1:0")
	until(t, "the page's address", func() bool {
		return strings.Contains(run.errs.String(), `"msg":"the page is served","at":"http://127.0.0.1:`)
	})
	run.send(t, syscall.SIGTERM)
	run.ends(t, ExitOK)
	if errs := run.errs.String(); strings.Contains(errs, "The page:") {
		t.Errorf("a line is no JSON:\n%s", errs)
	}
}

// TestPageFlags finds what would let others look, or nobody.
func TestPageFlags(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"rollspan: --otlp-endpoint: not a URL; write http://host:port, or https://host:port for TLS\nRun ":                             {"run", "--otlp-metrics", "--otlp-endpoint=http://x:y"},
		"--otlp-metrics: no collector is named to push metrics to; name one with --otlp-endpoint or OTEL_EXPORTER_OTLP_ENDPOINT\nRun ": {"run", "--otlp-metrics"},
		"--events-exclude are of no use without --logs":                                                                                {"run", "--events-include=type=Warning"},
		"--ui-address: 0.0.0.0:80 can be reached from other machines; name a file with a token (--ui-token-file)":                      {"run", "--ui-address=0.0.0.0:80"},
		"--ui-address: :8080 can be reached from other machines":                                                                       {"demo", "--ui-address=:8080"},
		"--ui-address: 10.1.2.3:80 can be reached":                                                                                     {"ui", "--ui-address=10.1.2.3:80", "x"},
		`--ui-address: "localhost" is not HOST:PORT`:                                                                                   {"run", "--ui-address=localhost"},
		"--ui-token-file: it is of no use without --ui-address":                                                                        {"run", "--ui-token-file=" + short},
		"the token has 6 bytes; it must have 16 to":                                                                                    {"run", "--ui-address=:80", "--ui-token-file=" + short},
		"--ui-token-file: open /nope":                                                                                                  {"run", "--ui-address=:80", "--ui-token-file=/nope"},
		"--ui-address: it is empty, so there would be no page":                                                                         {"ui", "--ui-address=", "x"},
		"no recording or dump named":                                                                                                   {"ui"},
	} {
		if _, errs, code := rollspan(t, "", args...); code != ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d\n%s\nwant %s", args, code, errs, want)
		}
	}
}
