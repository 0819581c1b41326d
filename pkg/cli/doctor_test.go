package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
)

// TestDoctor has a report for people and one for programs, and an exit code that tells.
func TestDoctor(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	out, errs, code := rollspan(t, "", "doctor")
	if code != ExitError || !strings.Contains(out, "failed   server       no cluster to talk to") || !strings.Contains(errs, "see what failed in the report") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	out, _, code = rollspan(t, "", "doctor", "-o", "json")
	var report struct {
		Status   string
		Findings []struct{ Check, Reason string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != ExitError || report.Status != "failed" || report.Findings[0].Reason != "kubeconfig" {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}

// TestDoctorTakesTheFlagsOfRun has the command line of a run be one for the doctor, and the
// help show those flags that it looks at.
func TestDoctorTakesTheFlagsOfRun(t *testing.T) {
	a := &app{}
	doctor := a.doctorCommand().Flags()
	a.runCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if own := doctor.Lookup(f.Name); own == nil || own.Shorthand != f.Shorthand {
			t.Errorf("doctor does not take --%s", f.Name)
		}
	})
	for _, name := range examined {
		if f := doctor.Lookup(name); f == nil || f.Hidden {
			t.Errorf("--%s is examined, and is no flag that the help shows", name)
		}
	}
}

// TestDoctorAsksAsWhomItSays has a kubeconfig that impersonates somebody, as a run would, and --as name
// another, who is in no group of theirs.
func TestDoctorAsksAsWhomItSays(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[fmt.Sprint(r.Header.Values("Impersonate-User"), r.Header.Values("Impersonate-Group"))] = true
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	const asAdmin = ", user: {as: admin, as-groups: [system:masters]}"
	for _, test := range []struct{ user, as, want string }{
		{"", "", "[] []"},
		{"", "ci", "[ci] []"},
		{asAdmin, "", "[admin] [system:masters]"},
		{asAdmin, "ci", "[ci] []"},
	} {
		kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
		content := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c,
  contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: %q}}], users: [{name: u%s}]}`, server.URL, test.user)
		if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		clear(asked)
		_, errs, _ := rollspan(t, "", "doctor", "--kubeconfig", kubeconfig, "--as", test.as)
		if len(asked) != 1 || !asked[test.want] {
			t.Errorf("%q, --as %q: it asks as %v, want %s\n%s", test.user, test.as, asked, test.want, errs)
		}
	}
}

// TestDoctorTakesTheFileOfARun has the output of a file be how the run prints, and that of the command
// line how the doctor does.
func TestDoctorTakesTheFileOfARun(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	const endpoint = "otlp-endpoint: http://127.0.0.1:1\n"
	for _, test := range []struct{ content, collector string }{
		{"output: otlp\n" + endpoint, "failed"},
		{"output: tree\n" + endpoint, "skipped"},
		{endpoint, "failed"},
	} {
		for _, args := range [][]string{nil, {"-o", "text"}, {"-o", "json"}} {
			out, errs, code := rollspan(t, "", append([]string{"doctor", "--config", configured(t, test.content)}, args...)...)
			want := test.collector + strings.Repeat(" ", len("skipped")-len(test.collector)) + "  collector"
			if slices.Contains(args, "json") {
				want = fmt.Sprintf("\"check\": \"collector\",\n      \"status\": %q", test.collector)
			}
			if code != ExitError || !strings.Contains(out, want) {
				t.Errorf("%q %q: exit code %d, want %s:\n%s%s", test.content, args, code, want, out, errs)
			}
		}
	}
	for content, want := range map[string]string{
		"output: loud": `"loud" is not one of tree, otlp-json, otlp`, "output: [otlp]": "output is a list, and takes one value",
	} {
		_, errs, code := rollspan(t, "", "doctor", "--config", configured(t, content))
		if code != ExitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d, %s", content, code, errs)
		}
	}
}
