package text

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// TestTreeOfHostileTexts has every text of a trace end its line, turn the direction
// of writing around and color the rest. The tree has the lines it would have, and
// shows all of that.
func TestTreeOfHostileTexts(t *testing.T) {
	tree := func(text string) string {
		t.Helper()
		at := time.Unix(1_700_000_000, 0)
		one := []attribute.KeyValue{
			attribute.String("k8s.namespace.name", text), attribute.Float64("rollspan.previous.duration", 1), attribute.String("rollspan.slower.phase", text),
			attribute.StringSlice("rollspan.critical_path.segments", []string{text, "1s " + text}), attribute.StringSlice("rollspan.changed.fields", []string{text}),
		}
		for _, k := range shown {
			one = append(one, attribute.StringSlice(string(k.key), []string{text}))
		}
		other := []attribute.KeyValue{attribute.String("rollspan.waiting_for", text)}
		link := spans.Link{TraceID: trace.TraceID{2}, Attributes: []attribute.KeyValue{attribute.String("rollspan.link.type", text)}}
		inner := spans.Link{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}
		event := spans.Event{Name: text, Time: at, Attributes: []attribute.KeyValue{attribute.String("k8s.event.message", text)}}
		span := spans.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: text, Subject: text, Start: at, End: at,
			Attributes: one, Links: []spans.Link{link, inner}, Events: []spans.Event{event}, Status: codes.Error, Message: text}
		child := span
		child.SpanID, child.ParentID, child.Attributes = trace.SpanID{2}, trace.SpanID{1}, other
		var b strings.Builder
		if err := WriteTree(&b, spans.Trace{Spans: []spans.Span{span, child}}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	plain, got := tree("@"), tree("@\n\r\x1b[31m\u202e\u2028\u0085\x9by")
	if n, want := strings.Count(got, "\n"), strings.Count(plain, "\n"); n != want {
		t.Errorf("%d lines, want %d:\n%s", n, want, got)
	}
	if shown, want := strings.Count(got, `\u001b[31m\u202e`), strings.Count(plain, "@"); shown != want || want < 45 {
		t.Errorf("%d of %d texts are shown:\n%s", shown, want, got)
	}
	for _, r := range got {
		if r != '\n' && (!unicode.IsGraphic(r) || r == unicode.ReplacementChar) {
			t.Errorf("the tree has %U", r)
		}
	}
}

// TestTreeSaysAnExitCodeOnce has the exit code in the error, if that names it, and else before it.
func TestTreeSaysAnExitCodeOnce(t *testing.T) {
	for message, want := range map[string]string{
		"exit code 3":               "  ERROR: exit code 3\n",
		"OOMKilled (exit code 3)":   "  ERROR: OOMKilled (exit code 3)\n",
		"exit code 31":              "  exit code 3  ERROR: exit code 31\n",
		"exit code 31, exit code 3": "  ERROR: exit code 31, exit code 3\n",
		"no such file":              "  exit code 3  ERROR: no such file\n",
	} {
		at := time.Unix(1_700_000_000, 0)
		span := spans.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: "container", Subject: "pod/a", Start: at, End: at,
			Attributes: []attribute.KeyValue{attribute.Int("process.exit.code", 3)}, Status: codes.Error, Message: message}
		var b strings.Builder
		if err := WriteTree(&b, spans.Trace{Spans: []spans.Span{span}}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.HasSuffix(got, "container  pod/a"+want) {
			t.Errorf("an error of %q is shown as\n%s", message, got)
		}
	}
	span := spans.Span{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: "stop container", Subject: "pod/a",
		Attributes: []attribute.KeyValue{attribute.Int("process.exit.code", 0)}}
	var b strings.Builder
	if err := WriteTree(&b, spans.Trace{Spans: []spans.Span{span}}); err != nil || !strings.HasSuffix(b.String(), "pod/a  exit code 0\n") {
		t.Errorf("without an error it is shown as\n%s, %v", b.String(), err)
	}
}
