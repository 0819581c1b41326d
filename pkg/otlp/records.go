package otlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// eventName is the event name of all log records: what the Collector's receivers of Kubernetes
// Events have no name for, and the semantic conventions neither.
const eventName = "k8s.event"

// recordsField is the field of ScopeLogs that has the records. Requests, ResourceLogs and
// ScopeLogs have the fields of those of spans, by the same numbers, so that what is sent of
// records is put together by who does that for spans.
const recordsField = spansField

// PackRecords encodes log records, keeping their order, as Pack does spans. It skips records that
// cannot be encoded (there should be none), and returns why.
func (e *Encoder) PackRecords(records []*spans.Record) (items []Packed, err error) {
	resources := e.resources()
	for _, r := range records {
		resource, failed := resources.wire(aboutRecord(r))
		if failed != nil {
			err = failed
			continue
		}
		message, failed := proto.MarshalOptions{Deterministic: true}.Marshal(e.encodeRecord(r))
		if failed != nil {
			err = failed
			continue
		}
		wire := make([]byte, 0, len(resource)+protowire.SizeTag(recordsField)+protowire.SizeBytes(len(message)))
		wire = append(wire, resource...)
		wire = protowire.AppendTag(wire, recordsField, protowire.BytesType)
		wire = protowire.AppendBytes(wire, message)
		items = append(items, Packed{
			Namespace: spans.CutTo(r.Namespace, maxNamespace), Wire: wire, Resource: len(resource), Record: r.UID,
		})
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

// DecodeRecord returns the log record as it is sent, if the item is one.
func (it *Packed) DecodeRecord() (*logspb.LogRecord, *resourcepb.Resource) {
	var record logspb.LogRecord
	var resource resourcepb.Resource
	if proto.Unmarshal(it.spanWire(), &record) != nil || proto.Unmarshal(it.ResourceWire(), &resource) != nil {
		return nil, nil // PackRecords has made it, so it can be read.
	}
	return &record, &resource
}

// WriteRecords writes log records as lines of their own, with resourceLogs, as Write does traces.
// An error is that of where they are written to.
func (j *JSONWriter) WriteRecords(records []*spans.Record) error {
	items, err := j.encoder.PackRecords(records)
	if err != nil {
		return fmt.Errorf("encode log records: %w", err)
	}
	for i := range items {
		var request logspb.LogsData
		around := j.encoder.Request([]*Packed{&items[i]})[0]
		wire, err := proto.Marshal(around)
		if err != nil {
			return fmt.Errorf("encode log records: %w", err)
		}
		of := &logspb.ResourceLogs{}
		if err := proto.Unmarshal(wire, of); err != nil {
			return fmt.Errorf("encode log records: %w", err)
		}
		request.ResourceLogs = append(request.ResourceLogs, of)
		if wire, err = proto.Marshal(&request); err != nil {
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
