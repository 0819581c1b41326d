package text

import (
	"fmt"
	"io"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans"
)

// WriteRecord writes a log record as one line, with the trace and the span that have its Event,
// or will:
//
//	2026-01-02T10:00:07.123Z  Warning  pod/web-1 container/app  BackOff: Back-off restarting failed container  trace 46e1… span ab12…
func WriteRecord(w io.Writer, r *spans.Record) error {
	line := fmt.Sprintf("%s  %s  %s  %s: %s", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Type, r.Subject, r.Reason, oneLine(r.Message))
	if r.TraceID.IsValid() {
		line += "  trace " + r.TraceID.String()
	}
	if r.SpanID.IsValid() {
		line += " span " + r.SpanID.String()
	}
	_, err := fmt.Fprintln(w, terminal.Line(line))
	return err
}
