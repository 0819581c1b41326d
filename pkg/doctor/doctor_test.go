package doctor

import (
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp/export"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out to testdata")

// api is an API server that answers what the doctor asks.
type api struct {
	t *testing.T
	*httptest.Server
	minor string
	// clock is what the server takes for now.
	clock time.Time
	// denied is what is not granted: verb and resource, and the namespace if there is one.
	denied []string
	// absent are groups that are not served.
	absent []string
	// namespaces are there.
	namespaces []string
	// leases are as JSON.
	leases []string
	pods   int64
	// code is the answer to each request; 0 for the right one.
	code int
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, minor: "36", clock: moment, namespaces: []string{"shop"}, absent: []string{"argoproj.io"}, pods: 812}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

var moment = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func (a *api) config() *rest.Config { return &rest.Config{Host: a.URL, QPS: 1000, Burst: 1000} }

// served are the kinds of each group and version.
var served = map[string]map[string]string{
	"v1": {"Pod": "pods", "Event": "events", "ReplicationController": "replicationcontrollers", "Node": "nodes", "PersistentVolumeClaim": "persistentvolumeclaims"},
	"apps/v1": {
		"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets",
		"DaemonSet": "daemonsets", "ControllerRevision": "controllerrevisions",
	},
	"batch/v1":             {"Job": "jobs", "CronJob": "cronjobs"},
	"autoscaling/v2":       {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
	"argoproj.io/v1alpha1": {"Rollout": "rollouts"},
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	if !a.clock.IsZero() {
		w.Header().Set("Date", a.clock.Format(http.TimeFormat))
	}
	w.Header().Set("Content-Type", "application/json")
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis/"), "/api/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	answer := func(code int, format string, args ...any) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, format, args...)
	}
	kinds, group := served[path]
	switch {
	case a.code != 0:
		answer(a.code, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":%d}`, a.code)
	case r.URL.Path == "/version":
		answer(http.StatusOK, `{"major":"1","minor":%q,"gitVersion":"v1.%s.3"}`, a.minor, strings.TrimSuffix(a.minor, "+"))
	case name == "selfsubjectreviews":
		answer(http.StatusCreated, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"somebody"}}}`)
	case name == "selfsubjectaccessreviews":
		a.review(w, r)
	case group && !slices.ContainsFunc(a.absent, func(g string) bool { return strings.HasPrefix(path, g) }):
		var list []string
		for kind, resource := range kinds {
			list = append(list, fmt.Sprintf(`{"name":%q,"kind":%q,"namespaced":true,"verbs":["list","watch"]}`, resource, kind))
		}
		answer(http.StatusOK, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":%q,"resources":[%s]}`, path, strings.Join(list, ","))
	case name == "leases":
		answer(http.StatusOK, `{"kind":"LeaseList","apiVersion":"coordination.k8s.io/v1","items":[%s]}`, strings.Join(a.leases, ","))
	case name == "events":
		answer(http.StatusOK, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[{"metadata":{"name":"e","creationTimestamp":"2026-11-26T11:13:00Z"}}]}`)
	case name == "pods":
		answer(http.StatusOK, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"continue":"x","remainingItemCount":%d},"items":[{"metadata":{"name":"p"}}]}`, a.pods-1)
	case strings.HasPrefix(path, "v1/namespaces/") && slices.Contains(a.namespaces, name):
		answer(http.StatusOK, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":%q}}`, name)
	default:
		answer(http.StatusNotFound, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"not found","code":404}`)
	}
}

func (a *api) review(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SelfSubjectAccessReview
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review)
	}
	if err != nil || review.Spec.ResourceAttributes == nil {
		a.t.Errorf("%q: %v", body, err)
		return
	}
	of := review.Spec.ResourceAttributes
	what := strings.TrimSpace(of.Verb + " " + of.Resource + " " + of.Namespace)
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`, !slices.Contains(a.denied, what))
}

// TestReports shows what is said of clusters that have what is needed, and of others.
func TestReports(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	lease := func(name, holder, renewed string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"holderIdentity":%q,"renewTime":%q}}`, name, holder, renewed)
	}
	for name, prepare := range map[string]func(t *testing.T, a *api, o *Options){
		"well": func(_ *testing.T, a *api, o *Options) {
			o.LeaseNamespace = "rollspan"
			a.leases = []string{
				lease("rollspan", "rollspan-a", "2026-11-26T11:59:57.000000Z"),
				lease("rollspan-gone", "rollspan-b", "2026-11-26T11:00:00.000000Z"),
			}
		},
		"permissions": func(_ *testing.T, a *api, o *Options) {
			o.LeaseNamespace, o.Elect = "rollspan", true
			a.denied = []string{"watch pods", "list nodes", "watch nodes", "get namespaces", "update leases rollspan", "list events", "watch events"}
		},
		"namespaces": func(_ *testing.T, a *api, o *Options) {
			o.Namespaces = []string{"shop", "shpo"}
			a.denied = []string{"list nodes", "watch nodes", "watch jobs shop", "list replicasets shpo", "watch replicasets shpo"}
		},
		"expected": func(_ *testing.T, a *api, _ *Options) { a.minor = "35" },
		"old-and-ahead": func(_ *testing.T, a *api, _ *Options) {
			a.minor, a.clock = "29+", moment.Add(-40*time.Second)
		},
		"new-and-behind": func(_ *testing.T, a *api, _ *Options) {
			a.minor, a.clock, a.pods = "99", moment.Add(5*time.Second), 400_000
		},
		"credentials": func(_ *testing.T, a *api, _ *Options) { a.code = http.StatusUnauthorized },
		"refused": func(_ *testing.T, _ *api, o *Options) {
			o.Config = &rest.Config{Host: closed.URL}
			o.Collector = &export.Config{Endpoint: closed.URL, Protocol: export.ProtocolHTTP}
		},
		"no-kubeconfig": func(_ *testing.T, _ *api, o *Options) {
			o.Config, o.ConfigError = nil, errors.New("kubeconfig x: there is no such file")
		},
		"data-dir": func(t *testing.T, _ *api, o *Options) {
			o.DataDir, o.DataDirMaxBytes = filepath.Join(t.TempDir(), "journal"), math.MaxInt64
			if err := os.Mkdir(o.DataDir, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			o := Options{Version: "v1", Config: a.config(), Now: func() time.Time { return moment }}
			prepare(t, a, &o)
			report := Examine(t.Context(), o)
			for _, f := range report.Findings {
				if (f.Status == Warning || f.Status == Failed) != (f.Reason != "") {
					t.Errorf("%+v has no reason, or no need of one", f)
				}
			}
			report.Go, report.Platform, report.Client = "go", "platform", "v0"
			var b strings.Builder
			if err := report.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(a.URL, "https://api", closed.URL, "https://closed", strings.TrimPrefix(closed.URL, "http://"), "closed").Replace(b.String())
			if o.DataDir != "" {
				text = numbers(strings.ReplaceAll(text, o.DataDir, "/data"))
			}
			file := filepath.Join("testdata", name+".txt")
			if *rewrite {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("it is not as %s, which -rewrite writes anew:\n%s", file, text)
			}
		})
	}
}

// numbers leaves out how much of this machine's disk is free.
func numbers(text string) string {
	words := strings.Split(text, " ")
	for i := range words {
		if i+1 < len(words) && strings.HasPrefix(words[i+1], "MiB") {
			words[i] = "N"
		}
	}
	return strings.Join(words, " ")
}

// TestTrouble has each reason why an API server does not answer told from the others.
func TestTrouble(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	// What is in the certificate of httptest, and what is not.
	trusted := rest.TLSClientConfig{CAData: certificateOf(encrypted)}
	otherName := trusted
	otherName.ServerName = "kubernetes.default.svc"
	for _, c := range []struct {
		want   string
		config *rest.Config
	}{
		{"failed", &rest.Config{Host: plain.URL}},
		{"protocol", &rest.Config{Host: strings.Replace(plain.URL, "http://", "https://", 1)}},
		{"tls", &rest.Config{Host: encrypted.URL}},
		{"tls", &rest.Config{Host: encrypted.URL, TLSClientConfig: otherName}},
		{"name", &rest.Config{Host: "https://api..example"}},
	} {
		report := Examine(t.Context(), Options{Config: c.config})
		f := report.Findings[0]
		if f.Check != "server" || f.Status != Failed || f.Reason != c.want || f.Do == "" {
			t.Errorf("%s: %+v", c.want, f)
		}
	}
	// A server that answers, but is another.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	t.Cleanup(other.Close)
	if f := Examine(t.Context(), Options{Config: &rest.Config{Host: other.URL}}).Findings[0]; !strings.Contains(f.Found, "no API server") {
		t.Errorf("%+v", f)
	}
}

// TestAlerts tells what a server says of the client's certificate from all else for which it ends TLS.
func TestAlerts(t *testing.T) {
	for alert, want := range map[string]string{
		"certificate required":           "client certificate",
		"bad certificate":                "client certificate",
		"unknown certificate authority":  "client certificate",
		"expired certificate":            "client certificate",
		"handshake failure":              "ends the TLS handshake",
		"protocol version not supported": "ends the TLS handshake",
		"unrecognized name":              "ends the TLS handshake",
		"internal error":                 "ends the TLS handshake",
	} {
		err := &url.Error{Op: "Get", URL: "https://api/version", Err: &net.OpError{Op: "remote error", Err: errors.New("tls: " + alert)}}
		if reason, do := trouble(err); reason != "tls" || !strings.Contains(do, want) {
			t.Errorf("%s: %s: %s", alert, reason, do)
		}
	}
}

// TestDataDir has what cannot be a journal's directory told.
func TestDataDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "missing", file: "file", dir: ""} {
		e := &examination{Options: Options{DataDir: path}}
		e.dataDir()
		if f := e.report.Findings; len(f) != 1 || f[0].Reason != want {
			t.Errorf("%s: %+v", path, f)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "file" {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// TestLockOfDataDir has the doctor say whether a run has the directory, or could have it.
func TestLockOfDataDir(t *testing.T) {
	dir := t.TempDir()
	is := func(reason, found string) {
		t.Helper()
		e := &examination{Options: Options{DataDir: dir}}
		e.dataDir()
		if f := e.report.Findings; len(f) != 1 || f[0].Reason != reason || f[0].Found != found {
			t.Errorf("%+v, want %q, %q", f, reason, found)
		}
	}
	lock, err := journal.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	is("", dir+" can be written, and a rollspan uses it")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	is("", dir+" can be written")
	path := filepath.Join(dir, "lock")
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	is("lock", "open "+path+": is a directory") // as it is where another user's is, which a test of root cannot have
}

// TestRoomInDataDir has the doctor compare what is free with what may yet be taken. What the journal
// has already is not free any more; what is set aside takes room, and nothing of the bound.
func TestRoomInDataDir(t *testing.T) {
	const some = 64 << 30 // more than others take or free meanwhile
	for _, test := range []struct{ file, want string }{
		{"", "full"},
		{"queue/waiting-0000000001.journal", ""},
		{"history/changes.db", ""},
		{"observed-0000000001.journal.corrupt", "full"},
		{"observed-0000000001.journal.corrupt2", "full"},
		{"observed-0000000001.journal.other", "full"},
		{"queue/done-0000000001.journal.foreign", "full"},
	} {
		dir := t.TempDir()
		free, known := freeBytes(dir)
		if !known {
			t.Skip("nobody knows what is free here")
		}
		if test.file != "" {
			sparse(t, filepath.Join(dir, test.file), 2*some)
		}
		e := &examination{Options: Options{DataDir: dir, DataDirMaxBytes: free + some}}
		e.dataDir()
		f := e.report.Findings[0]
		if f.Reason != test.want {
			t.Errorf("with %q: %+v", test.file, f)
		}
		if f.Reason == "full" && !strings.Contains(f.Found, fmt.Sprintf("may take %d MiB more", (free+some)>>20)) {
			t.Errorf("with %q it says %s", test.file, f.Found)
		}
	}
}

// sparse makes a file that is large, and takes nothing.
func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMemory holds what is said of memory to docs/memory.md.
func TestMemory(t *testing.T) {
	doc, err := os.ReadFile("../../docs/memory.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range limits {
		digits := fmt.Sprintf("%d,%03d", l.pods/1000, l.pods%1000)
		if !strings.Contains(string(doc), fmt.Sprintf("| %s | %s | ", digits, l.limit)) {
			t.Errorf("docs/memory.md has no row of %s pods and %s", digits, l.limit)
		}
	}
	if f := memoryFor(9_000, 340<<20); f.Status != OK {
		t.Errorf("%+v", f)
	}
	if f := memoryFor(11_000, 340<<20); f.Status != Warning || !strings.Contains(f.Do, "1Gi") {
		t.Errorf("%+v", f)
	}
}

func certificateOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
