package cli

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// shown plays a terminal: it returns the lines that are seen after what was written to it.
func shown(written string) (lines []string) {
	row := 0
	for written != "" {
		switch {
		case strings.HasPrefix(written, "\x1b[?7"):
			written = written[len("\x1b[?7l"):]
		case strings.HasPrefix(written, "\x1b[J"):
			lines, written = lines[:min(row, len(lines))], written[len("\x1b[J"):]
		case strings.HasPrefix(written, "\x1b["):
			up, rest, _ := strings.Cut(written[2:], "A\r")
			n, _ := strconv.Atoi(up)
			row, written = row-n, rest
		default:
			line, rest, _ := strings.Cut(written, "\n")
			lines, written = append(lines[:row], line), rest
			row++
		}
	}
	return lines
}

// What is drawn comes in the place of what was, and what is logged stays above it. Nothing that
// others wrote moves the cursor.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&app{screen: &out})
	s.draw([]string{"a", "b", "c"})
	s.draw([]string{"d", "hostile \x1b[2J\ntext"})
	log := slog.New(slog.NewTextHandler(aboveScreen{s}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Warn("the API server is away")
	want := []string{`level=WARN msg="the API server is away"`, "d", `hostile \u001b[2J\ntext`}
	if got := shown(out.String()); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("it shows %q, want %q; that is\n%q", got, want, out.String())
	}
	s.draw(nil)
	if got := shown(out.String()); len(got) != 1 {
		t.Errorf("at the end it shows %q", got)
	}
	if columns, height := s.size(); columns != 0 || height != usualHeight {
		t.Errorf("what is no terminal has %d columns and %d lines", columns, height)
	}
}

// A sentence that is wider than the terminal is read in several lines, and what is wider than these
// is cut.
func TestFold(t *testing.T) {
	for _, test := range []struct {
		sentence string
		columns  int
		want     string
	}{
		{"", 10, ""},
		{"all of it", 0, "all of it"},
		{"all of it", 9, "all of it"},
		{"all of it", 8, "all of|  it"},
		{"it waits for a pod and another and one more and so on", 12, "it waits for|  a pod and|  another a…"},
		{"a-word-that-is-too-long", 10, "a-word-th…"},
		{"名前 名前 名前", 5, "名前 名前|  名前"},
		{"a \x1b[2J b", 20, `a \u001b[2J b`},
	} {
		var got []string
		for _, line := range fold(test.sentence, test.columns) {
			got = append(got, cut(line, test.columns))
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("%q in %d columns is %q, want %q", test.sentence, test.columns, got, test.want)
		}
	}
}

// The span of the command is below who asked for it, says how the rollout ended, and leads to it.
func TestStatusSpan(t *testing.T) {
	received := make(chan *collectorpb.ExportTraceServiceRequest, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		received <- &request
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	t.Setenv(envTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	t.Setenv(envServiceName, "pipeline")
	root := spans.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Attributes: []attribute.KeyValue{attr.ChangeKey.String(string(attr.ChangeRollout))}}
	end := progress.State{
		Target: progress.Target{Kind: "Deployment", Namespace: "shop", Name: "web"}, Outcome: progress.Failed, Reason: "ProgressDeadlineExceeded",
		Waits: "0 of 1 ready", Change: &spans.Trace{Spans: []spans.Span{root}}, TraceKnown: true,
	}
	f := &following{app: &app{log: slog.New(slog.DiscardHandler)}, asked: askable[0], name: "web"}
	began := time.Now().Add(-time.Minute)
	f.sendSpan(t.Context(), began, &end)
	select {
	case request := <-received:
		resource := request.ResourceSpans[0]
		span := resource.ScopeSpans[0].Spans[0]
		link := span.Links
		if trace.TraceID(span.TraceId).String() != "0af7651916cd43dd8448eb211c80319c" || trace.SpanID(span.ParentSpanId).String() != "b7ad6b7169203331" ||
			span.StartTimeUnixNano != uint64(began.UnixNano()) || span.Status.GetMessage() == "" || len(link) != 1 || link[0].TraceId[0] != 1 || link[0].SpanId[0] != 2 {
			t.Errorf("it is %v", span)
		}
		if text := resource.String(); !strings.Contains(text, `"pipeline"`) || !strings.Contains(text, `"k8s.deployment.name"`) || !strings.Contains(text, `"failed"`) {
			t.Errorf("it is %s", text)
		}
	default:
		t.Fatal("nothing was sent")
	}

	end.TraceKnown = false
	if s := f.span(progress.ParseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), began, began, &end); len(s.Links) != 0 || s.Status != codes.Error {
		t.Errorf("of a rollout whose trace is not known it has %v", s.Links)
	}
	for _, parent := range []string{"", "nonsense", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"} {
		t.Setenv(envTraceparent, parent)
		f.sendSpan(t.Context(), began, &end)
	}
	if len(received) > 0 {
		t.Error("a span is sent below none, or below one that is not sampled")
	}
}

// Who is interrupted has the time that the span may take, and then the exit code of the signal.
func TestStatusHasTimeToSend(t *testing.T) {
	life := newLife(Streams{Out: io.Discard, Err: io.Discard})
	args := []string{"status", "deployment/web", "--kubeconfig", "testdata/nonexistent"}
	execute(t.Context(), args, Streams{Out: io.Discard, Err: io.Discard}, life)
	if _, within, _ := life.state(); within <= sendWithin {
		t.Errorf("it has to end within %s, and sends for %s", within, sendWithin)
	}
}

// Wrong usage of status is not the exit code of a rollout that has failed.
func TestStatusUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"service/web", `"service" is not a kind that can be asked about`},
		{"pod/web", `"pod/web" has no rollouts that can be followed; those of [Deployment StatefulSet DaemonSet Job Rollout] have`},
		{"deployment/web --bogus", "unknown flag: --bogus"},
		{"deployment/web --timeout -5s", "--timeout: -5s is not a time to wait"},
		{"deployment/web --timeout soon", `--timeout: "soon" is not a duration`},
		{"deployment/web --server http://127.0.0.1:7655", "--server: a rollout is followed from the cluster itself"},
		{"deployment/web --as-group ci", "--as-group: a group is of no use without a user"},
		{"deployment/web --request-timeout soon", `--request-timeout: "soon" is not a duration`},
		{"deployment/web -o yaml", `--output: "yaml" is none`},
		{"deployment/web -n We_b", "We_b"},
		{"deployment/web --kubeconfig /nonexistent", "there is no such file"},
		{"--timeout 5s", "--timeout: it is of no use without a workload to follow"},
		{"--fail-fast", "--fail-fast: it is of no use without a workload to follow"},
	} {
		commandLine{args: append([]string{"status"}, strings.Fields(test.args)...), code: ExitError, errs: []string{test.says}}.runs(t)
	}
}

// A request is waited for as long as --request-timeout says, and a watch that is answered for as
// long as it goes on.
func TestRequestTimeout(t *testing.T) {
	for version, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(version, func(t *testing.T) { testRequestTimeout(t, http2) })
	}
}

func testRequestTimeout(t *testing.T, http2 bool) {
	t.Helper()
	over := make(chan struct{})
	defer close(over)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-over
			return
		}
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/endless" {
			<-over
		}
	}))
	server.EnableHTTP2 = http2
	server.StartTLS() // it is not closed: that would wait for the handlers
	transport := server.Client().Transport
	get := func(path string) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&bounded{transport, 50 * time.Millisecond}).RoundTrip(request)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		_, err = io.ReadAll(answer.Body)
		return err
	}
	if err := get("/slow"); !errors.Is(err, errLate) {
		t.Errorf("one that is not answered: %v", err)
	}
	if err := get("/endless"); !errors.Is(err, errLate) {
		t.Errorf("one that does not end: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- get("/endless?watch=true") }()
	if err := get("/endless"); !errors.Is(err, errLate) { // the same time later
		t.Errorf("one that does not end: %v", err)
	}
	select {
	case err := <-done:
		t.Errorf("a watch has ended: %v", err)
	default:
	}
}
