package otlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// eventName is the event name of all log records: what the Collector's receivers of Kubernetes
// Events have no name for, and the semantic conventions neither.
const eventName = "k8s.event"

// PackRecords encodes log records, keeping their order, as Pack does spans. It skips records that
// cannot be encoded (there should be none), and returns why.
//
// Requests, ResourceLogs and ScopeLogs have the fields of those of spans, by the same numbers, so
// that what is sent of records is put together by who does that for spans.
func (e *Encoder) PackRecords(records []*spans.Record) (items []Packed, err error) {
	resources := e.resources()
	for _, r := range records {
		it, failed := resources.pack(aboutRecord(r), e.encodeRecord(r))
		if failed != nil {
			err = failed
			continue
		}
		it.Namespace, it.Record = spans.CutTo(r.Namespace, maxNamespace), r.UID
		items = append(items, it)
	}
	return items, err
}

// aboutRecord is a span with the Resource of a record.
func aboutRecord(r *spans.Record) *spans.Span {
	return &spans.Span{Service: r.Service, App: r.App, Resource: r.Resource}
}

func (e *Encoder) encodeRecord(r *spans.Record) *logspb.LogRecord {
	out := &logspb.LogRecord{
		TimeUnixNano:         unixNano(r.Time),
		ObservedTimeUnixNano: unixNano(r.Observed),
		SeverityNumber:       logspb.SeverityNumber_SEVERITY_NUMBER_INFO,
		SeverityText:         clean(r.Type),
		Body:                 stringValue(r.Message),
		Attributes:           encodeAttributes(r.Attributes),
		EventName:            eventName,
	}
	if r.Warning {
		out.SeverityNumber = logspb.SeverityNumber_SEVERITY_NUMBER_WARN
	}
	out.Attributes = append(out.Attributes, encodeAttribute(semconv.LogRecordUID(r.UID.String())))
	if e.ofWorkloads {
		out.Attributes = append(out.Attributes, encodeAttribute(attr.ComponentKey.String(r.Service)))
	}
	if r.TraceID.IsValid() {
		out.TraceId, out.Flags = r.TraceID[:], uint32(trace.FlagsSampled)
	}
	if r.SpanID.IsValid() {
		out.SpanId = r.SpanID[:]
	}
	return out
}

// WriteRecords writes log records as lines of their own, with resourceLogs, as Write does traces.
// An error is that of where they are written to.
func (j *JSONWriter) WriteRecords(records []*spans.Record) error {
	items, err := j.encoder.PackRecords(records)
	if err != nil {
		return fmt.Errorf("encode log records: %w", err)
	}
	for i := range items {
		// The bytes of TracesData are those of LogsData: see PackRecords.
		wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: j.encoder.Request([]*Packed{&items[i]})})
		if err != nil {
			return fmt.Errorf("encode log records: %w", err)
		}
		logs, err := new(plog.ProtoUnmarshaler).UnmarshalLogs(wire)
		if err != nil {
			return fmt.Errorf("encode log records: %w", err)
		}
		line, err := new(plog.JSONMarshaler).MarshalLogs(logs)
		if err != nil {
			return fmt.Errorf("encode log records as JSON: %w", err)
		}
		if _, err := j.w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write log records: %w", err)
		}
	}
	return nil
}
