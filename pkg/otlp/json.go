package otlp

import (
	"fmt"
	"io"

	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Limits of one line of OTLP JSON. The Collector's otlpjsonfile receiver cuts
// lines at 1 MiB.
const (
	lineSpans = 512
	lineBytes = 1<<20 - 1
)

// JSONWriter writes spans in the format of the OpenTelemetry Collector's file
// exporter: one JSON object with resourceSpans a line, IDs in hex, enums as
// numbers. The Collector's otlpjsonfile receiver and Jaeger's UI read it.
type JSONWriter struct {
	w       io.Writer
	encoder *Encoder
}

// NewJSONWriter returns a JSONWriter that writes to w. It does not buffer.
func NewJSONWriter(w io.Writer, encoder *Encoder) *JSONWriter {
	return &JSONWriter{w: w, encoder: encoder}
}

// Write writes traces as one line, or as several if one would be too long for
// a Collector to read back; nothing if there is no span. An error is w's.
func (j *JSONWriter) Write(traces []spans.Trace) error {
	items := flatten(traces)
	for len(items) > 0 {
		n := min(len(items), lineSpans)
		if err := j.writeLines(items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// writeLines writes spans as one line, or if that is too long, as two, and so
// on. One span is a line however long it is.
func (j *JSONWriter) writeLines(items []outgoing) error {
	// By way of the bytes of the wire, because the Collector has structs of
	// its own for the same messages, and its JSON is the one that it reads.
	wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: j.encoder.encode(items)})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	traces, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(wire)
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(traces)
	if err != nil {
		return fmt.Errorf("encode spans as JSON: %w", err)
	}
	if len(line) > lineBytes && len(items) > 1 {
		half := len(items) / 2
		if err := j.writeLines(items[:half]); err != nil {
			return err
		}
		return j.writeLines(items[half:])
	}
	if _, err := j.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write spans: %w", err)
	}
	return nil
}
