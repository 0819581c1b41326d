package traceurl

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// TestLinks makes links for the backends that people have.
func TestLinks(t *testing.T) {
	began := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	span := spans.Span{TraceID: trace.TraceID{0xab, 15: 1}, SpanID: trace.SpanID{0xcd, 7: 2}, Start: began, End: began.Add(time.Minute)}
	const traceHex, spanHex = "ab000000000000000000000000000001", "cd00000000000002"
	for template, want := range map[string]string{
		"": "",
		"https://jaeger.example/trace/{trace_id}":                                        "https://jaeger.example/trace/" + traceHex,
		"https://jaeger.example:16686/trace/{trace_id}?uiFind={span_id}":                 "https://jaeger.example:16686/trace/" + traceHex + "?uiFind=" + spanHex,
		"https://grafana.example/explore?from={start_ms}&q=%7B{trace_id}%7D&to={end_ms}": "https://grafana.example/explore?from=1772353500000&q=%7B" + traceHex + "%7D&to=1772354160000",
	} {
		got, err := Parse(template)
		if err != nil {
			t.Fatalf("%s: %v", template, err)
		}
		if url := got.Of(&span); url != want {
			t.Errorf("%s leads to %s, want %s", template, url, want)
		}
		if url := got.Of(&spans.Span{}); url != "" {
			t.Errorf("%s leads to %s without a trace", template, url)
		}
	}
}

// TestWrongTemplates are refused at the start, with what to write instead.
func TestWrongTemplates(t *testing.T) {
	for template, want := range map[string]string{
		"https://jaeger.example/":                                     "no {trace_id} in it",
		"https://jaeger.example/trace/{traceID}":                      "{traceID} stands for nothing",
		"https://grafana.example/explore?left={\"q\":\"{trace_id}\"}": "a single { stands for nothing; write %7B",
		"jaeger.example/trace/{trace_id}":                             "no URL",
		"javascript:alert({trace_id})":                                "no URL",
		"https://jaeger.example/my trace/{trace_id}":                  "%20",
		"https://jaeger.example/{trace_id}\x1b[31m":                   "no URL",
	} {
		_, err := Parse(template)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", template, err, want)
		}
	}
}
