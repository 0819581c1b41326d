package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestMessagesSayWhatToDo tries what goes wrong for who is new: each message says what is wrong, and
// what to do.
func TestMessagesSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kubeconfig := func(name, server string) string {
		config := clientcmdapi.NewConfig()
		config.Clusters["c"] = &clientcmdapi.Cluster{Server: server}
		config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", Namespace: "shop"}
		config.CurrentContext = "c"
		path := filepath.Join(dir, name)
		if err := clientcmd.WriteToFile(*config, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401,"message":"Unauthorized"}`)
	}))
	t.Cleanup(stranger.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	nobody, unknown := kubeconfig("nobody", gone.URL), kubeconfig("unknown", stranger.URL)
	there := file("there.jsonl", "")
	empty := `{"apiVersion":"v1","kind":"List","items":[]}`
	for name, test := range map[string]struct {
		args []string
		want []string
		not  string
	}{
		"nobody listens":          {[]string{"why", "deployment/web", "--kubeconfig", nobody}, []string{"connection refused", "\n  nothing listens there: check that the API server runs"}, ""},
		"nobody listens, history": {[]string{"history", "deployment/web", "--kubeconfig", nobody}, []string{"\n  nothing listens there"}, ""},
		"nobody listens, status":  {[]string{"status", "deployment/web", "--kubeconfig", nobody}, []string{"\n  nothing listens there"}, ""},
		"not known":               {[]string{"why", "deployment/web", "--kubeconfig", unknown}, []string{"\n  renew the credentials"}, ""},
		"a recording is there":    {[]string{"record", "-o", there, "--kubeconfig", nobody}, []string{"-o: " + there + " is there already", "name another file"}, ""},
		"no folder for it":        {[]string{"record", "-o", filepath.Join(dir, "no", "r.jsonl"), "--kubeconfig", nobody}, []string{"-o: open ", "check that the folder is there"}, ""},
		"an argument too many":    {[]string{"demo", "rollout.jsonl"}, []string{`"rollout.jsonl": rollspan demo takes no arguments, only flags`}, ""},
		"a list of nothing":       {[]string{"replay", file("empty.json", empty)}, []string{"the dump holds no objects of a cluster: empty lists", "'rollspan replay --help' shows how"}, ""},
		"half a gzip":             {[]string{"replay", file("half.gz", "\x1f\x8bgarb")}, []string{"half.gz: the gzip stream is damaged or cut short"}, ""},
		"no file for a page":      {[]string{"ui", filepath.Join(dir, "nothing"), "--ui-address", "127.0.0.1:0"}, []string{"nothing: no such file"}, "The page:"},
	} {
		out, errs, code := rollspan(t, "", test.args...)
		if code == ExitOK {
			t.Errorf("%s: the exit code is %d", name, code)
		}
		for _, want := range test.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: it does not say %q:\n%s", name, want, errs)
			}
		}
		if test.not != "" && strings.Contains(out+errs, test.not) {
			t.Errorf("%s: it says %q", name, test.not)
		}
	}
}
