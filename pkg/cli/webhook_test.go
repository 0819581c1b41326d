package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// TestWebhook watches the rollouts of the demonstration by a program of its own, which tells of
// each that is over: what is told has the form that CloudEvents' SDK wants, and leads to the trace
// that is printed. A rollout that failed says why, and what took longest.
func TestWebhook(t *testing.T) {
	var mu sync.Mutex
	told := map[string]map[string]any{}   // by trace
	raised := map[string]map[string]any{} // alarms, by ID
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e cloudevents.Event
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, e.UnmarshalJSON(body)); err != nil || e.Validate() != nil || r.Header.Get("Authorization") != "Bearer secret-of-the-test" {
			t.Errorf("%v, %v, %v\n%s", err, e.Validate(), r.Header, body)
		}
		var data map[string]any
		if err := e.DataAs(&data); err != nil {
			t.Errorf("%v\n%s", err, body)
		}
		mu.Lock()
		defer mu.Unlock()
		by, id := told, data["traceId"]
		if e.Type() == "io.rollspan.alarm.begun" {
			by, id = raised, e.ID()
		}
		if by[id.(string)] != nil {
			t.Errorf("it is told twice:\n%s", body)
		}
		by[id.(string)] = data
		w.WriteHeader(http.StatusAccepted)
	}))
	defer receiver.Close()
	headers := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(headers, []byte("authorization=Bearer%20secret-of-the-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := start(t, "demo", "--speed", "100", "--webhook-url", receiver.URL, "--webhook-headers-file", headers,
		"--webhook-exclude", "change=delete", "--trace-url", "https://jaeger.example/trace/{trace_id}")
	program.ends(t, ExitOK)
	out := program.out.String()

	mu.Lock()
	defer mu.Unlock()
	printed := 0
	for _, tree := range treeHeader.FindAllStringSubmatchIndex(out, -1) {
		id := out[tree[2]:tree[3]]
		lines := strings.SplitN(out[tree[0]:], "\n", 4)
		if url := "@ https://jaeger.example/trace/" + id; !strings.HasSuffix(lines[2], url) {
			t.Errorf("the tree has no line with %s:\n%s", url, strings.Join(lines, "\n"))
		}
		if root := lines[1]; strings.Contains(root, " activity ") || strings.Contains(root, " delete ") {
			if told[id] != nil {
				t.Errorf("it is told of %s", root)
			}
			continue
		}
		printed++
		if told[id] == nil || told[id]["traceUrl"] != "https://jaeger.example/trace/"+id {
			t.Errorf("what is told of the tree is %v:\n%s", told[id], lines[1])
		}
	}
	if printed == 0 || printed != len(told) {
		t.Errorf("%d changes are printed, and %d told:\n%s", printed, len(told), out)
	}
	failed := map[any]bool{}
	for _, data := range raised {
		if of, ok := data["traceId"].(string); ok && data["alarm"] == "RollspanRolloutFailed" {
			failed[data["reason"]] = told[of] != nil
		}
	}
	if !failed["ImagePullBackOff"] || len(raised) < 5 {
		t.Errorf("%d alarms are told, of rollouts that failed with %v", len(raised), failed)
	}
	reasons := map[string]bool{}
	for _, data := range told {
		if data["failed"] == true && data["change"] == "rollout" {
			reason, _ := data["reason"].(string)
			path, _ := data["criticalPath"].(map[string]any)
			reasons[reason] = path["phase"] != nil
		}
	}
	if !reasons["ImagePullBackOff"] {
		t.Errorf("the rollouts that failed are told with %v", reasons)
	}
}

// TestWebhookThatNeverAnswers prints all the same, ends in its time, and says what is lost.
func TestWebhookThatNeverAnswers(t *testing.T) {
	end := make(chan bool)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer receiver.Close()
	defer close(end)
	program := start(t, "demo", "--speed", "100", "--webhook-url", receiver.URL, "--drain-timeout", "100ms")
	program.ends(t, ExitError)
	if out, errs := program.out.String(), program.errs.String(); len(treeHeader.FindAllString(out, -1)) < 10 ||
		!regexp.MustCompile(`rollspan: \d+ events were not delivered to the webhook at `+receiver.URL).MatchString(errs) {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out, errs)
	}
}
