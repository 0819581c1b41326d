package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const recordings = "../../test/recordings/"

// rollspan runs a command line and returns what it printed and its exit code.
func rollspan(t *testing.T, in string, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(t.Context(), args, Streams{In: strings.NewReader(in), Out: &stdout, Err: &stderr})
	return stdout.String(), stderr.String(), code
}

// commandLine is one with the exit code that it has, and what it prints among other things.
type commandLine struct {
	args      []string
	code      int
	out, errs []string
}

// runs runs it, and holds what it does against that.
func (c commandLine) runs(t *testing.T) {
	t.Helper()
	out, errs, code := rollspan(t, "", c.args...)
	if code != c.code {
		t.Errorf("exit code %d, want %d", code, c.code)
	}
	for _, want := range c.out {
		if !strings.Contains(out, want) {
			t.Errorf("stdout lacks %q", want)
		}
	}
	for _, want := range c.errs {
		if !strings.Contains(errs, want) {
			t.Errorf("stderr lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", out, errs)
	}
}

func TestUsage(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	for name, test := range map[string]struct {
		args []string
		code int
		want string // on stderr
	}{
		"unknown command":   {[]string{"rpelay"}, ExitUsage, "Did you mean this?\n\treplay"},
		"misspelled flag":   {[]string{"replay", "--setle=3s", "x"}, ExitUsage, "unknown flag: --setle; did you mean --settle?"},
		"unknown flag":      {[]string{"run", "--frobnicate"}, ExitUsage, "unknown flag: --frobnicate\n"},
		"no file":           {[]string{"replay"}, ExitUsage, "for example: rollspan replay rollout.jsonl"},
		"argument to run":   {[]string{"run", "x"}, ExitUsage, "Run 'rollspan run --help' for usage."},
		"log level":         {[]string{"version", "--log-level=loud"}, ExitUsage, `--log-level: "loud" is not one of debug, info, warn, error`},
		"below debug":       {[]string{"version", "--log-level=debug-4"}, ExitUsage, "--log-level"},
		"log format":        {[]string{"version", "--log-format=xml"}, ExitUsage, "--log-format"},
		"memory":            {[]string{"replay", "--max-memory=lots", "x"}, ExitUsage, `--max-memory: "lots" is not an amount of memory, such as 2Gi`},
		"little memory":     {[]string{"replay", "--max-memory=63Mi", "x"}, ExitUsage, "--max-memory: 63Mi is too little; it must be 64Mi or more"},
		"much memory":       {[]string{"replay", "--max-memory=8Ei", "x"}, ExitUsage, "--max-memory: 8Ei is more than there can be"},
		"size of a trace":   {[]string{"replay", "--max-trace-bytes=5MB", "x"}, ExitUsage, `--max-trace-bytes: "5MB" is not a number of bytes, such as 4M`},
		"little trace":      {[]string{"replay", "--max-trace-bytes=49k", "x"}, ExitUsage, "--max-trace-bytes: 49k is not a size that a trace can be held to; it must be 50k or more"},
		"few spans":         {[]string{"run", "--max-trace-spans=19"}, ExitUsage, "--max-trace-spans: 19 is too few; it must be 20 or more, or 0 for any number"},
		"output":            {[]string{"replay", "-o", "svg", "x"}, ExitUsage, `-o: "svg" is not one of tree, otlp-json, otlp`},
		"trace context":     {[]string{"replay", "--trace-context=join", "x"}, ExitUsage, `--trace-context: "join" is not one of parent, link, ignore`},
		"service of nobody": {[]string{"replay", "--service-name-from=pod", "x"}, ExitUsage, `--service-name-from: "pod" is not one of component, workload`},
		"two services":      {[]string{"replay", "--service-name-from=workload", "--service-name=a", "x"}, ExitUsage, "leave one of them out"},
		"context key":       {[]string{"replay", "--trace-context-keys=a b", "x"}, ExitUsage, `--trace-context-keys: "a b" is not the key of an annotation`},
		"context namespace": {[]string{"replay", "--trace-context-namespaces=Shop", "x"}, ExitUsage, `--trace-context-namespaces: "Shop" is not the name of a namespace`},
		"condition":         {[]string{"replay", "--node-problem-conditions=GPU hung", "x"}, ExitUsage, `--node-problem-conditions: "GPU hung" cannot be a problem's`},
		"label":             {[]string{"replay", "--workload-labels=a b", "x"}, ExitUsage, `--workload-labels: "a b" is not the key of a label`},
		"annotation":        {[]string{"replay", "--workload-annotations=a b", "x"}, ExitUsage, `--workload-annotations: "a b" is not the key of an annotation`},
		"copy":              {[]string{"replay", "--workload-annotations=kubectl.kubernetes.io/last-applied-configuration", "x"}, ExitUsage, `--workload-annotations: kubectl.kubernetes.io/last-applied-configuration is a copy of the object`},
		"span names":        {[]string{"replay", "--span-names=workload", "x"}, ExitUsage, `--span-names: "workload" is not one of object, kind`},
		"no context key":    {[]string{"replay", "--trace-context-keys=", "x"}, ExitUsage, "--trace-context-keys: no key is given"},
		"in-progress":       {[]string{"replay", "--in-progress-after=-1s", "x"}, ExitUsage, "--in-progress-after: -1s is too short; it must be 1s or more, or 0 for never"},
		"too often":         {[]string{"run", "--in-progress-every=0"}, ExitUsage, "--in-progress-every: 0s is too short"},
		"settle":            {[]string{"replay", "--settle=-1s", "x"}, ExitUsage, "--settle: -1s is not a time to wait"},
		"endpoint":          {[]string{"replay", "-o", "otlp", "--otlp-endpoint=ftp://x", "x"}, ExitUsage, "--otlp-endpoint"},
		"missing file":      {[]string{"replay", "nope.jsonl"}, ExitError, "nope.jsonl: no such file"},
		"missing second":    {[]string{"replay", recordings + "unowned-pod.jsonl", "nope.jsonl"}, ExitError, "nope.jsonl: no such file"},
		"no cluster":        {[]string{"run"}, ExitError, "no cluster to talk to"},
		"no cluster json":   {[]string{"run", "--log-format=json"}, ExitError, `"error":"no cluster to talk to`},
		"record kinds":      {[]string{"record", "--kinds", "secrets"}, ExitUsage, "--kinds: secrets objects are never recorded"},
		"no such kind":      {[]string{"record", "--kinds", "Foo"}, ExitUsage, `--kinds: kind "Foo" cannot be recorded; the kinds are Event,`},
		"keep":              {[]string{"record", "--keep", "args,labels"}, ExitUsage, `--keep: "labels" is nothing that can be kept; that is args, commands, headers,`},
		"keep secrets":      {[]string{"record", "--keep=env"}, ExitUsage, "--keep: the values of environment variables are never recorded"},
		"record nowhere":    {[]string{"record", "-n", "Foo Bar"}, ExitUsage, `--namespace: "Foo Bar" is not the name of a namespace`},
		"namespace":         {[]string{"run", "-n", "shop,Pay_ments"}, ExitUsage, `--namespace: "Pay_ments" is not the name of a namespace`},
		"qps":               {[]string{"run", "--qps=-1"}, ExitUsage, "--qps: -1 is not a rate"},
		"burst":             {[]string{"record", "--burst=-3"}, ExitUsage, "--burst: -3 is not a number of requests"},
		"no port":           {[]string{"run", "--metrics-address=localhost"}, ExitUsage, `--metrics-address: "localhost" is not HOST:PORT, such as :8080`},
		"name, no election": {[]string{"run", "--leader-elect-name=blue"}, ExitUsage, `--leader-elect-name: "blue" is of no use without --leader-elect; give that, too`},
		"port too high":     {[]string{"run", "--health-address=:99999"}, ExitUsage, `--health-address: ":99999" is not HOST:PORT`},
		"doctor's form":     {[]string{"doctor", "-o", "yaml"}, ExitUsage, `-o: "yaml" is not one of text, json`},
		"doctor's flags":    {[]string{"doctor", "-n", "Shop"}, ExitUsage, `--namespace: "Shop" is not the name of a namespace`},
		"help for what":     {[]string{"help", "rpelay"}, ExitUsage, `unknown command "rpelay"`},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := rollspan(t, "", test.args...)
			if code != test.code || !strings.Contains(errs, test.want) || out != "" {
				t.Errorf("exit %d, stdout %q, stderr:\n%s\nwant exit %d and %s", code, out, errs, test.code, test.want)
			}
		})
	}
}

func TestHelpShowsExamplesFirst(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"doctor", "--help"}, {"replay", "--help"}, {"record", "--help"}} {
		out, _, code := rollspan(t, "", args...)
		examples, usage := strings.Index(out, "\nExamples:\n"), strings.Index(out, "\nUsage:\n")
		if code != ExitOK || examples < 0 || usage < examples || !strings.Contains(out, "Exit codes:") {
			t.Errorf("%v: exit %d\n%s", args, code, out)
		}
	}
}

func TestVersion(t *testing.T) {
	out, _, code := rollspan(t, "", "version")
	if code != ExitOK || !strings.HasPrefix(out, "rollspan ") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestReplayTree(t *testing.T) {
	out, errs, code := rollspan(t, "", "replay", recordings+"rolling-update-undo-scale-restart.jsonl")
	if code != ExitOK || strings.Count(out, "| Deployment rollout  ") < 4 || !strings.Contains(out, "cause rollback") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if !strings.Contains(errs, "observations, ") || !strings.Contains(errs, ", 0 broken lines") {
		t.Errorf("%s", errs)
	}
}

// Each file is a recording of its own: two together give what each gives.
func TestReplaySeveral(t *testing.T) {
	one, _, _ := rollspan(t, "", "replay", recordings+"crash-loop.jsonl")
	two, _, _ := rollspan(t, "", "replay", recordings+"slow-image-pull.jsonl")
	both, _, code := rollspan(t, "", "replay", recordings+"crash-loop.jsonl", recordings+"slow-image-pull.jsonl")
	if code != ExitOK || one == "" || two == "" || both != one+two {
		t.Errorf("exit %d, %d bytes of %d and %d", code, len(both), len(one), len(two))
	}
	content, err := os.ReadFile(recordings + "crash-loop.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if stdin, _, _ := rollspan(t, string(content), "replay", "-"); stdin != one {
		t.Error("standard input gives something else")
	}
}

// TestReplayInProgress asks for what a live run says of changes that are open, which
// does not count as changes.
func TestReplayInProgress(t *testing.T) {
	const name = recordings + "image-pull-backoff-deadline-then-fixed.jsonl"
	finished, summary, _ := rollspan(t, "", "replay", name)
	out, summaryToo, code := rollspan(t, "", "replay", "--in-progress-after=10s", "--in-progress-every=1h", name)
	if code != ExitOK || summaryToo != summary {
		t.Errorf("exit %d, stderr %q, want %q", code, summaryToo, summary)
	}
	const stuck = "  in progress  deployment/api  0 of 2 ready; pod api-"
	if strings.Contains(finished, "in progress") || strings.Count(out, stuck) != 1 || !strings.Contains(out, ": ImagePullBackOff: ") {
		t.Errorf("want one line with %q in\n%s\nand none in\n%s", stuck, out, finished)
	}
}

func TestReplayJSON(t *testing.T) {
	namespace := `{"time":"2026-11-21T08:31:10Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system","uid":"the-cluster"}}}` + "\n"
	content, err := os.ReadFile(recordings + "slow-image-pull.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	out, _, code := rollspan(t, namespace+string(content), "replay", "-o", "otlp-json", "--cluster-name", "demo", "-")
	if code != ExitOK || out == "" {
		t.Fatalf("exit %d: %q", code, out)
	}
	for line := range strings.Lines(out) {
		var request struct {
			ResourceSpans []json.RawMessage `json:"resourceSpans"`
		}
		if err := json.Unmarshal([]byte(line), &request); err != nil || len(request.ResourceSpans) == 0 {
			t.Errorf("%v: %.200s", err, line)
		}
	}
	for _, want := range []string{`"the-cluster"`, `"demo"`, `"traceId"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %.300s", want, out)
		}
	}
}

func TestReplayBrokenLines(t *testing.T) {
	content, err := os.ReadFile(recordings + "slow-image-pull.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	whole, _, _ := rollspan(t, string(content), "replay", "-")
	damaged := "rubbish\n" + string(content) + `{"time":"2026-11-21T08:`
	out, errs, code := rollspan(t, damaged, "replay", "-")
	if code != ExitError || out != whole {
		t.Errorf("exit %d, %d bytes, want %d", code, len(out), len(whole))
	}
	for _, want := range []string{"stdin:1: not a watch event", "the recording ends within this line", "2 broken lines"} {
		if !strings.Contains(errs, want) {
			t.Errorf("no %q in\n%s", want, errs)
		}
	}
	if _, _, code := rollspan(t, damaged, "replay", "--lenient", "-"); code != ExitOK {
		t.Errorf("lenient: exit %d", code)
	}
}

// TestReplayOfSomethingElse names a file that is no recording and no dump, and goes
// on with the others.
func TestReplayOfSomethingElse(t *testing.T) {
	other := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(other, bytes.Repeat([]byte("\xff\xd8\xff rubbish\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, _, _ := rollspan(t, "", "replay", recordings+"crash-loop.jsonl")
	out, errs, code := rollspan(t, "", "replay", "--lenient", other, "-", recordings+"crash-loop.jsonl")
	if code != ExitError || out != whole {
		t.Errorf("exit %d, %d bytes, want %d", code, len(out), len(whole))
	}
	want := "rollspan: neither a recording nor a dump: " + other + " (no line of it is a watch event), stdin (it is empty)\n"
	if !strings.HasSuffix(errs, want) || strings.Count(errs, "\n") > 2*maxComplaints {
		t.Errorf("%d lines on stderr, the last is not %q:\n%s", strings.Count(errs, "\n"), want, errs)
	}
}

// TestReplayWithoutTimes gives watch events as kubectl prints them, without when they came.
func TestReplayWithoutTimes(t *testing.T) {
	in := `{"type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","uid":"p1"}}}` + "\n"
	want := "rollspan: neither a recording nor a dump: stdin (no watch event of it says when it came, as those of rollspan record do)\n"
	for _, more := range []string{"", in, "rubbish\n"} {
		if _, errs, code := rollspan(t, in+more, "replay", "-"); code != ExitError || !strings.HasSuffix(errs, want) {
			t.Errorf("%q: exit %d, the last is not %q:\n%s", more, code, want, errs)
		}
	}
}

func TestReplayToNobody(t *testing.T) {
	_, errs, code := rollspan(t, "", "replay", "--otlp-endpoint", "http://127.0.0.1:1", "--drain-timeout", "1ms",
		recordings+"slow-image-pull.jsonl")
	if code != ExitError || !strings.Contains(errs, "spans were not delivered to http://127.0.0.1:1") {
		t.Errorf("exit %d\n%s", code, errs)
	}
}

func TestReplayStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := Main(ctx, []string{"replay", recordings + "crash-loop.jsonl"}, Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	if code != ExitError || !strings.Contains(stderr.String(), "canceled") {
		t.Errorf("exit %d\n%s", code, stderr.String())
	}
}

func TestRecordKeepsOtherRecordings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "there.jsonl")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := rollspan(t, "", "record", "--kubeconfig", "testdata/kubeconfig", "-o", file)
	if content, _ := os.ReadFile(file); code != ExitError || string(content) != "precious" || !strings.Contains(errs, "is there already") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestRecordOfNothingLeavesNoFile has the same command do once what may be read is there.
func TestRecordOfNothingLeavesNoFile(t *testing.T) {
	var granted atomic.Bool
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !granted.Load() {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`)
			return
		}
		if r.URL.Query().Get("watch") != "" {
			http.Error(w, "lists only", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[
			{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"u","resourceVersion":"3","creationTimestamp":"2026-11-28T12:00:00Z"}}]}`)
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "r.jsonl")
	args := []string{"record", "--kinds", "pods", "-n", "shop", "-o", file, "--kubeconfig", kubeconfigOf(t, api.URL, "c", true)}
	_, errs, code := rollspan(t, "", args...)
	if _, err := os.Stat(file); code != ExitError || !strings.Contains(errs, "there is nothing to record") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("exit code %d, %v\n%s", code, err, errs)
	}
	granted.Store(true)
	c := start(t, args...)
	until(t, "the recording of a pod", func() bool {
		content, _ := os.ReadFile(file) // it may not be there yet
		return bytes.Contains(content, []byte(`"web"`))
	})
	c.send(t, syscall.SIGTERM)
	c.ends(t, ExitOK)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestWrongValues says what a flag takes, and not how Go failed to parse what was given, on the
// command line and in a file.
func TestWrongValues(t *testing.T) {
	for flag, want := range map[string]string{
		"qps": `--qps: "x" is not a number, such as 20`, "burst": `--burst: "x" is not a whole number, such as 100`,
		"settle": `--settle: "x" is not a duration, such as 30s or 5m`, "leader-elect": `--leader-elect: "x" is not true or false`,
	} {
		config := filepath.Join(t.TempDir(), "rollspan.yaml")
		if err := os.WriteFile(config, []byte(flag+": x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"run", "--" + flag + "=x"}, {"run", "--config", config}} {
			_, errs, code := rollspan(t, "", args...)
			if code != ExitUsage || !strings.Contains(errs, want+"\n") {
				t.Errorf("%q: exit code %d, %q; want %d and %q", args, code, errs, ExitUsage, want)
			}
		}
	}
}
