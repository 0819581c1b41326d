package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/watcher"
)

var rewriteJSON = flag.Bool("rewrite-json", false, "write the golden files of -o json anew")

var historyBytes = regexp.MustCompile(`"bytes": \d+`)

// golden holds text against a file of testdata/json. After a change that is meant to show:
//
//	go test ./pkg/cli -run JSON -rewrite-json
//
// and read the diff. docs/json.md says what may change.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = historyBytes.ReplaceAllString(got, `"bytes": 0`) // which depends on how it is compressed
	path := filepath.Join("testdata", "json", name)
	if *rewriteJSON {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: it is\n%s\nand not\n%s", path, got, want)
	}
}

// TestJSON holds what programs read.
func TestJSON(t *testing.T) {
	const ever, all = "100000h", 1000
	bigpull := asLeft(t, "slow-image-pull", all, "bigpull")
	superseded := asLeft(t, "superseded-rollouts", all, "supersede")
	running := aServer(t, "", nil)
	for file, args := range map[string][]string{
		"why.json":            {"why", "deployment/big", "-o", "json", "--kubeconfig", bigpull, "--since", ever},
		"history.json":        {"history", "deployment/fast", "-o", "json", "--kubeconfig", superseded, "--since", ever},
		"none.json":           {"history", "deployment/big", "-o", "json", "--kubeconfig", bigpull, "--since", "1ns"},
		"server-history.json": {"history", "deployment/fast", "-n", "supersede", "-o", "json", "--server", running, "--since", ever},
		"server-none.json":    {"history", "deployment/none", "-n", "supersede", "-o", "json", "--server", running, "--since", ever},
		"status.json":         {"status", "-o", "json", "--server", running},
	} {
		t.Run(file, func(t *testing.T) {
			out, errs, code := rollspan(t, "", args...)
			if code != ExitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			golden(t, file, out)
		})
	}
}

// aServer is a rollspan that has told a recording, and has a rollout in progress. It asks for a
// token, if that is not empty.
func aServer(t *testing.T, token string, change func(*history.StatusJSON)) string {
	t.Helper()
	told := toldBy(t, "superseded-rollouts")
	engine := causality.New(causality.Options{})
	for _, o := range observationsOf(t, "slow-image-pull")[:16] {
		engine.Observe(o)
	}
	open := engine.Preview()
	store := history.NewMemory(history.Options{MaxAge: -1, InProgress: func(context.Context) ([]spans.Trace, error) {
		for i := range open {
			root := open[i].Root()
			root.Start = time.Date(2126, 1, 2, 3, 4, 5, 0, time.UTC) // it is in progress whenever the test runs
			root.End = root.Start.Add(4 * time.Second)
		}
		return open, nil
	}})
	t.Cleanup(func() { _ = store.Close(context.WithoutCancel(t.Context())) })
	for _, trace := range told {
		store.Add(trace)
	}
	api := &history.API{Reader: store, Status: func() history.StatusJSON {
		s := history.StatusJSON{
			Version: "v0.9.0", Cluster: "6f0e", Server: "10.0.0.1:443", Ready: true, Watched: []string{"deployments", "replicasets", "pods"}, Without: []string{"nodes"},
			At:        "waiting for news",
			Collector: &history.CollectorJSON{Endpoint: "http://collector:4317", Sent: 42, Queued: 1, QueuedBytes: 900},
		}
		if change != nil {
			change(&s)
		}
		return s
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "A token is needed: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func observationsOf(t *testing.T, recording string) (list []causality.Observation) {
	t.Helper()
	file, err := os.Open(recordings + recording + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	for r := watcher.NewRecordingReader(file, recording); ; {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
}

func toldBy(t *testing.T, recording string) (told []spans.Trace) {
	t.Helper()
	engine := causality.New(causality.Options{})
	for _, o := range observationsOf(t, recording) {
		told = append(told, engine.Observe(o)...)
	}
	return append(told, engine.Flush()...)
}

// TestServer asks a rollspan that runs.
func TestServer(t *testing.T) {
	const ever = "100000h"
	running, guarded := aServer(t, "", nil), aServer(t, "secret", nil)
	hostile := aServer(t, "", func(s *history.StatusJSON) {
		s.Collector.Down, s.Collector.LastError = true, "\x1b[2Jgone\nVersion: 7"
		s.History.Trouble = "it is overwritten"
	})
	gone := httptest.NewServer(http.NotFoundHandler())
	nowhere := gone.URL
	gone.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	token, wrongToken := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrongToken, []byte("guessed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]commandLine{
		"status": {
			args: []string{"status", "--server", running},
			out: []string{
				"Version:      v0.9.0\n", "Watched:      deployments, replicasets, pods\n", "Without:      nodes\n",
				"Collector:    http://collector:4317: takes what is sent\n", "Spans:        42 sent, 1 wait in memory",
				"NAMESPACE   OBJECT           CHANGE                  FOR   WAITS FOR\nbigpull     deployment/big   rollout of revision 1   4s    0 of 1 ready",
			},
		},
		"history": {
			args: []string{"history", "deploy", "fast", "-n", "supersede", "--server", running, "--since", ever},
			out:  []string{"BEGAN ", "rollout of revision 2 ", "rollout of revision 3 ", " superseded ", " complete "},
		},
		"nothing is known": {
			args: []string{"history", "deployment/none", "-n", "supersede", "--server", running},
			errs: []string{"deployment/none in namespace supersede: " + running + " knows of no change in the last 168h0m0s"},
		},
		"a token": {
			args: []string{"status", "--server", guarded + "/", "--server-token-file", token},
			out:  []string{"Version:      v0.9.0\n"},
		},
		"no token": {
			args: []string{"status", "--server", guarded}, code: ExitError,
			errs: []string{"--server: it asks for a token; name a file that has it with --server-token-file: " + guarded + "/api/v1/status: 401 Unauthorized"},
		},
		"a wrong token": {
			args: []string{"status", "--server", guarded, "--server-token-file", wrongToken}, code: ExitError,
			errs: []string{"--server-token-file: the token in " + wrongToken + " is not the one that " + guarded + " asks for"},
		},
		"nobody is there": {
			args: []string{"history", "deployment/web", "-n", "shop", "--server", nowhere}, code: ExitError,
			errs: []string{"nobody listens at " + nowhere + ": start rollspan with --ui-address, or bring it here with 'kubectl port-forward"},
		},
		"something else is there": {
			args: []string{"status", "--server", other.URL}, code: ExitError,
			errs: []string{"--server: that is not the page of a rollspan"},
		},
		"what a collector says": {
			args: []string{"status", "--server", hostile},
			out:  []string{`does not take what is sent: \u001b[2Jgone\nVersion: 7` + "\n"},
		},
		"no address": {
			args: []string{"status", "--server", "localhost:7655"}, code: ExitError,
			errs: []string{`--server: "localhost:7655" is not the address of a page; write it as http://127.0.0.1:7655`},
		},
		"empty": {args: []string{"status", "--server="}, code: ExitError, errs: []string{"--server: it is empty"}},
		"a token for nobody": {
			args: []string{"history", "deployment/web", "--server-token-file", token}, code: ExitUsage,
			errs: []string{"--server-token-file: it is of no use without --server"},
		},
		"no token file": {
			args: []string{"status", "--server-token-file", token + "x"}, code: ExitError,
			errs: []string{"--server-token-file: stat "},
		},
		"no format": {
			args: []string{"status", "-o", "xml"}, code: ExitError,
			errs: []string{`--output: "xml" is none; there is json`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
			test.runs(t)
		})
	}
}

// TestServerOfPods has a server asked for a pod, of which the changes are its workload's there.
func TestServerOfPods(t *testing.T) {
	store := history.NewMemory(history.Options{MaxAge: -1})
	t.Cleanup(func() { _ = store.Close(context.WithoutCancel(t.Context())) })
	server := httptest.NewServer(&history.API{Reader: store})
	t.Cleanup(server.Close)
	began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	told := 0
	tell := func(change attr.Change, subject string, of ...attribute.KeyValue) {
		told++
		id := binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(told))
		store.Add(spans.Trace{Spans: []spans.Span{{
			TraceID: [16]byte(id), SpanID: [8]byte{1}, Subject: subject,
			Start: began.Add(time.Duration(told) * time.Second), End: began.Add(time.Duration(told)*time.Second + 5*time.Second),
			Attributes: []attribute.KeyValue{attr.ChangeKey.String(string(change)), attr.OutcomeKey.String("complete")},
			Resource:   append(of, semconv.K8SNamespaceName("shop")),
		}}})
	}
	tell(attr.ChangeRestart, "pod/db-0 container/db", semconv.K8SStatefulSetName("db"), semconv.K8SPodName("db-0"))
	tell(attr.ChangeReplacement, "pod/db-0", semconv.K8SStatefulSetName("db"), semconv.K8SPodName("db-0"))
	tell(attr.ChangeDelete, "pod/alone", semconv.K8SPodName("alone"))
	for i := range mostOfServer + 1 { // more than a page of what only begins with the same
		if i == mostOfServer/2 { // what it has of its own is not on one page
			tell(attr.ChangeRestart, "pod/db-0 container/log", semconv.K8SStatefulSetName("db"), semconv.K8SPodName("db-0"))
		}
		tell(attr.ChangeRestart, "pod/db-01 container/db", semconv.K8SStatefulSetName("db"), semconv.K8SPodName("db-01"))
	}
	const none, ofAnother = "knows of no change", "a ReplicaSet of another workload"
	for object, want := range map[string]struct {
		changes string // that it lists
		says    []string
	}{
		"pod/db-0": {"restart replacement restart", nil}, "pod/alone": {"delete", nil}, "pod/db": {"", []string{none}},
		"statefulset/db": {strings.TrimSpace(strings.Repeat("restart ", mostOfServer)), []string{"These are the last 500"}},
		"replicaset/web": {"", []string{none, ofAnother}},
	} {
		out, errs, code := rollspan(t, "", "history", object, "-n", "shop", "--server", server.URL, "--since", "100000h")
		var changes []string
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			changes = append(changes, strings.Fields(line)[2])
		}
		if code != ExitOK || strings.Join(changes, " ") != want.changes {
			t.Errorf("%s: exit code %d, changes %q, want %q\n%s", object, code, changes, want.changes, errs)
		}
		for _, sentence := range []string{none, ofAnother, "These are the last 500"} {
			if strings.Contains(errs, sentence) != slices.Contains(want.says, sentence) {
				t.Errorf("%s: it says %q, want %q", object, errs, want.says)
			}
		}
		var list history.ChangesJSON
		out, _, _ = rollspan(t, "", "history", object, "-n", "shop", "--server", server.URL, "--since", "100000h", "-o", "json")
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Changes) != len(changes) || list.Changes == nil {
			t.Errorf("%s: %d changes as JSON, %v", object, len(list.Changes), err)
		}
	}
}

// A run with a data directory keeps what it tells there; one whose data directory does not do
// keeps it in memory, and says so.
func TestHistoryOfRun(t *testing.T) {
	told := toldBy(t, "slow-image-pull")
	id := history.ID{Trace: told[0].Root().TraceID, Root: told[0].Root().SpanID}
	dir := t.TempDir()
	blocked := filepath.Join(dir, "blocked")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := func(dataDir string) (*run, history.Store, *bytes.Buffer) {
		var log bytes.Buffer
		r := &run{app: &app{log: slog.New(slog.NewTextHandler(&log, nil))}, dataDir: dataDir, dataDirMost: 1 << 30}
		r.conversion.format, r.page.address = outputOTLP, pageAddress
		return r, r.openHistory(), &log
	}
	for _, dataDir := range []string{"", filepath.Join(dir, "data"), blocked} {
		r, first, log := begin(dataDir)
		for _, trace := range told {
			trace.Spans[0].End = time.Now() // it is kept for two weeks
			first.Add(trace)
		}
		if _, err := first.Change(t.Context(), id); err != nil {
			t.Errorf("%q: %v", dataDir, err)
		}
		if err := closeHistory(t.Context(), first); err != nil {
			t.Errorf("%q: %v", dataDir, err)
		}
		if said := strings.Contains(log.String(), "is kept in memory alone"); said != (dataDir == blocked) {
			t.Errorf("%q: it says %s", dataDir, log)
		}
		_, second, _ := begin(dataDir)
		if _, err := second.Change(t.Context(), id); (err == nil) != (dataDir == filepath.Join(dir, "data")) {
			t.Errorf("%q: of the run before there is %v", dataDir, err)
		}
		if err := closeHistory(t.Context(), second); err != nil {
			t.Errorf("%q: %v", dataDir, err)
		}
		journal, queue := r.shareDataDir()
		if all := journal + queue + r.historyBytes(); all != 1<<30 || (r.historyBytes() > 0) != (dataDir != "") {
			t.Errorf("%q: the journal has %d, the queue %d, the history %d", dataDir, journal, queue, r.historyBytes())
		}
		if s := r.fares(); s.Version == "" || s.Collector != nil || s.Ready {
			t.Errorf("it says that it is %+v", s)
		}
	}
}

// What is long ago is said so.
func TestPrintStatus(t *testing.T) {
	var out bytes.Buffer
	safe := terminal.NewWriter(&out)
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	then := now.Add(-90 * time.Second)
	a := &app{Streams: Streams{Out: safe}}
	if err := errors.Join(a.printStatus(&history.StatusJSON{LastObserved: &then, History: history.KeptJSON{Oldest: &then, Changes: 1, Trouble: "no space"}}, now), safe.Flush()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Last news:    1m30s ago\n", "History:      1 change since 2026-11-26T11:58:30Z in 0.0 MiB\n", "Trouble:      the history is not kept: no space\n", "Ready:        no: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, &out)
		}
	}
}
