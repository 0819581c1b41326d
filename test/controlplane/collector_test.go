package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// collectorFile is a Collector's configuration that writes what it gets to spans.jsonl.
const collectorFile = `
receivers:
  otlp:
    protocols:
      grpc:
exporters:
  file:
    path: spans.jsonl
    flush_interval: 100ms
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
`

// TestCollectorHandsOnWhatItWasSent sends a span with OpenTelemetry's own SDK, so that
// ReadSpans is checked against something that is not rollspan's.
func TestCollectorHandsOnWhatItWasSent(t *testing.T) {
	collector := StartCollectorForTest(t, Options{}, "", writeFile(t, collectorFile))
	ctx := t.Context()
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(collector.OTLPGRPC()), otlptracegrpc.WithTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "kubelet"))))
	begin := time.Now().Add(-time.Minute).UTC()
	_, sent := provider.Tracer("rollspan-test").Start(ctx, "Pod start", trace.WithTimestamp(begin), trace.WithAttributes(attribute.Int64("rollspan.revision", 1<<60+1)))
	sent.End(trace.WithTimestamp(begin.Add(3)))
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	var got []Span
	eventually(t, "the span in the file", func() (bool, string) {
		file, err := os.Open(filepath.Join(collector.Dir(), "spans.jsonl"))
		if err != nil {
			return false, err.Error()
		}
		defer func() { _ = file.Close() }() // it was only read
		if got, err = ReadSpans(file); err != nil {
			t.Fatal(err)
		}
		return len(got) > 0, "no spans"
	})
	want := []Span{{
		TraceID: sent.SpanContext().TraceID().String(), ID: sent.SpanContext().SpanID().String(), Name: "Pod start", Kind: 1,
		Start: begin, End: begin.Add(3), Attributes: map[string]any{"rollspan.revision": int64(1<<60 + 1)},
		Service: "kubelet", Resource: map[string]any{"service.name": "kubelet"}, Scope: Scope{Name: "rollspan-test"},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestReadSpansLeavesOutWhatIsUnfinished has a file of which the last line is still
// being written, and one with a line that is no OTLP.
func TestReadSpansLeavesOutWhatIsUnfinished(t *testing.T) {
	const whole = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"0102030405060708","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}` + "\n"
	for _, c := range []struct {
		content string
		spans   int
		fails   string
	}{
		{"", 0, ""},
		{whole + whole, 2, ""},
		{whole + whole[:len(whole)/2], 1, ""},
		{whole + "{]\n" + whole, 0, "line 2"},
	} {
		spans, err := ReadSpans(strings.NewReader(c.content))
		if len(spans) != c.spans || !strings.Contains(fmt.Sprint(err), c.fails) || (err == nil) != (c.fails == "") {
			t.Errorf("%q: %d spans, %v; want %d, %q", c.content, len(spans), err, c.spans, c.fails)
		}
	}
}

// TestWrongCollectorConfigIsRefused has the Collector say what is wrong, when it is
// asked and when it is started.
func TestWrongCollectorConfigIsRefused(t *testing.T) {
	right, wrong := writeFile(t, collectorFile), writeFile(t, "exporters:\n  file:\n    paths: spans.jsonl\n")
	if err := ValidateCollectorConfig(t.Context(), Options{}, right); err != nil {
		t.Error(err)
	}
	_, startErr := StartCollector(t.Context(), Options{Dir: t.TempDir()}, "", right, wrong)
	for what, err := range map[string]error{"validate": ValidateCollectorConfig(t.Context(), Options{}, right, wrong), "start": startErr} {
		if !strings.Contains(fmt.Sprint(err), "invalid keys: paths") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
