package cli

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/traceurl"
)

// treeHeader begins a tree with a root.
var treeHeader = regexp.MustCompile(`(?m)^\S+Z  trace ([0-9a-f]{32}) .*[^)\n]$`)

// TestFailedChangesAreLogged has more rollouts fail in a minute than anybody reads of.
func TestFailedChangesAreLogged(t *testing.T) {
	template, err := traceurl.Parse("https://jaeger.example/trace/{trace_id}")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	out := &loggedOutput{output: treeOutput{w: io.Discard}, log: slog.New(slog.NewTextHandler(&log, nil)), at: template, now: func() time.Time { return now }}
	rollout := func(n byte, status codes.Code) spans.Trace {
		return spans.Trace{Spans: []spans.Span{{
			TraceID: trace.TraceID{n}, SpanID: trace.SpanID{1}, Subject: "deployment/web", Status: status, Message: "ImagePullBackOff",
			Attributes: []attribute.KeyValue{attribute.String("rollspan.change", "rollout"), attribute.String("k8s.namespace.name", "shop")},
		}}}
	}
	for n := range byte(30) {
		for _, trace := range []spans.Trace{rollout(n, codes.Error), rollout(n, codes.Unset)} {
			if err := out.Deliver(trace); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := `level=WARN msg="a change failed" change=rollout object=deployment/web namespace=shop reason=ImagePullBackOff traceID=03000000000000000000000000000000 url=https://jaeger.example/trace/03000000000000000000000000000000`
	if !strings.Contains(log.String(), want) || strings.Count(log.String(), "a change failed") != loggedAtMost {
		t.Errorf("it logs, want %s\n%s", want, log.String())
	}
	now = now.Add(loggedEvery)
	if err := out.Deliver(rollout(40, codes.Error)); err != nil {
		t.Fatal(err)
	}
	if want := `msg="more changes failed than are logged" changes=10`; strings.Count(log.String(), want) != 1 || strings.Count(log.String(), "a change failed") != loggedAtMost+1 {
		t.Errorf("it logs, want %s\n%s", want, log.String())
	}
}

// TestTraceURL has trees lead to a UI, and refuses what leads nowhere.
func TestTraceURL(t *testing.T) {
	out, errs, code := rollspan(t, "", "replay", "--trace-url", "https://jaeger.example/trace/{trace_id}?uiFind={span_id}", recordings+"unowned-pod.jsonl")
	header := treeHeader.FindStringSubmatch(out)
	if code != ExitOK || header == nil || strings.Count(out, "  @ https://jaeger.example/trace/"+header[1]+"?uiFind=") != 1 {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", code, errs, out)
	}
	for _, args := range [][]string{{"run"}, {"replay", "x"}, {"why", "deployment/web"}, {"history", "deployment/web"}, {"demo"}} {
		_, errs, code := rollspan(t, "", append(args, "--trace-url", "https://jaeger.example/{traceid}")...)
		if code != ExitUsage || !strings.Contains(errs, "--trace-url: {traceid} stands for nothing; there are {trace_id}") {
			t.Errorf("%v: exit code %d, stderr %q", args, code, errs)
		}
	}
}
