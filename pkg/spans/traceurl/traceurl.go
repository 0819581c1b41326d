// Package traceurl makes the links that lead from a log, a tree or a message to a trace in the
// UI of a tracing backend. Each backend has URLs of its own, so people say how theirs are.
package traceurl

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// What a Template replaces.
const (
	traceID = "{trace_id}"
	spanID  = "{span_id}"
	start   = "{start_ms}"
	end     = "{end_ms}"
)

// Margin is how much earlier than a change the range of {start_ms} begins, and how much later
// that of {end_ms} ends: spans of a trace may begin before its root and end after it, and
// backends round.
const Margin = 5 * time.Minute

// Template is a URL with places for what tells traces apart, such as
// "https://jaeger.example/trace/{trace_id}". The zero value makes no links.
type Template struct{ text string }

var brace = regexp.MustCompile(`\{[^{}]*\}|[{}]`)

// Parse reads a template, empty for none. Its error says what is wrong.
func Parse(text string) (Template, error) {
	if text = strings.TrimSpace(text); text == "" {
		return Template{}, nil
	}
	for _, found := range brace.FindAllString(text, -1) {
		switch found {
		case traceID, spanID, start, end:
			continue
		case "{", "}":
			return Template{}, fmt.Errorf("a single %s stands for nothing; write %%7B for { and %%7D for }, but in %s, %s, %s and %s", found, traceID, spanID, start, end)
		}
		return Template{}, fmt.Errorf("%s stands for nothing; there are %s, %s, %s and %s, and { elsewhere is written %%7B, and } %%7D", found, traceID, spanID, start, end)
	}
	if !strings.Contains(text, traceID) {
		return Template{}, fmt.Errorf("there is no %s in it, so all links would lead to one place; write as in https://jaeger.example/trace/%s", traceID, traceID)
	}
	t := Template{text}
	u, err := url.Parse(t.of(trace.TraceID{1}, trace.SpanID{1}, time.Unix(1, 0), time.Unix(2, 0)))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return Template{}, fmt.Errorf("it is no URL; write as in https://jaeger.example/trace/%s", traceID)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`|", r) }) {
		return Template{}, fmt.Errorf("it has a character that URLs have percent-encoded, such as a space (%%20)")
	}
	return t, nil
}

// Set says whether t makes links.
func (t Template) Set() bool { return t.text != "" }

// Of is the link to a span in its trace; empty for the zero Template.
func (t Template) Of(s *spans.Span) string {
	if s == nil {
		return ""
	}
	return t.To(s.TraceID, s.SpanID, s.Start, s.End)
}

// To is the link to a span that began and ended at these times; empty for the zero Template,
// and without a trace.
func (t Template) To(of trace.TraceID, span trace.SpanID, began, ended time.Time) string {
	if !t.Set() || !of.IsValid() {
		return ""
	}
	return t.of(of, span, began, ended)
}

func (t Template) of(of trace.TraceID, span trace.SpanID, began, ended time.Time) string {
	ms := func(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }
	return strings.NewReplacer(traceID, of.String(), spanID, span.String(),
		start, ms(began.Add(-Margin)), end, ms(ended.Add(Margin))).Replace(t.text)
}
