package otlp_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

func backOff() *spans.Record {
	at := time.Date(2026, 1, 2, 10, 0, 7, 123, time.UTC)
	trace := spans.NewTraceID("rollout")
	return &spans.Record{
		UID: spans.NewTraceID("event"), TraceID: trace, SpanID: spans.NewSpanID(trace, "back off"),
		Service: "kubelet", Subject: "pod/web-1", Namespace: "shop", Kind: "Pod", Reason: "BackOff",
		Resource: []attribute.KeyValue{attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.pod.name", "web-1")},
		Time:     at, Observed: at.Add(time.Second), Warning: true, Type: "Warning",
		Message:    "Back-off restarting failed container \xff" + strings.Repeat("x", 2*spans.MaxText),
		Attributes: []attribute.KeyValue{attribute.String("k8s.event.reason", "BackOff"), attribute.Int("k8s.event.count", 3)},
	}
}

// A request for log records has the bytes of one for spans: what a collector reads of it is
// all that the record says.
func TestRecordsAreSentAsSpansAre(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "east"})
	if err != nil {
		t.Fatal(err)
	}
	record := backOff()
	items, err := encoder.PackRecords([]*spans.Record{record, record})
	if err != nil || len(items) != 2 {
		t.Fatal(items, err)
	}
	if !bytes.Equal(items[0].Wire, items[1].Wire) {
		t.Error("it is not the same in every byte")
	}
	in, id := items[0].IDs()
	if wantIn, wantID := record.Key(); in != wantIn || id != wantID || items[0].Namespace != "shop" {
		t.Error(in, id, items[0].Namespace)
	}
	wire, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: encoder.Request([]*otlp.Packed{&items[0]})})
	if err != nil {
		t.Fatal(err)
	}
	var got collogspb.ExportLogsServiceRequest
	if err := proto.Unmarshal(wire, &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.GetResourceLogs()); n != 1 || len(got.ResourceLogs[0].GetScopeLogs()) != 1 || len(got.ResourceLogs[0].ScopeLogs[0].GetLogRecords()) != 1 {
		t.Fatalf("%v", &got)
	}
	resource := map[string]string{}
	for _, kv := range got.ResourceLogs[0].GetResource().GetAttributes() {
		resource[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	for key, want := range map[string]string{
		"service.name": "kubelet", "k8s.pod.name": "web-1", "k8s.cluster.name": "east", "deployment.environment.name": "prod",
	} {
		if resource[key] != want {
			t.Errorf("%s is %q", key, resource[key])
		}
	}
	r := got.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	body := r.GetBody().GetStringValue()
	if r.GetSeverityNumber() != 13 || r.GetSeverityText() != "Warning" || r.GetEventName() != "k8s.event" ||
		!bytes.Equal(r.GetTraceId(), record.TraceID[:]) || !bytes.Equal(r.GetSpanId(), record.SpanID[:]) || r.GetFlags() != 1 ||
		int64(r.GetTimeUnixNano()) != record.Time.UnixNano() || int64(r.GetObservedTimeUnixNano()) != record.Observed.UnixNano() { //nolint:gosec // They are of our time.
		t.Errorf("%v", r)
	}
	if !strings.HasPrefix(body, "Back-off restarting failed container \uFFFD") || len(body) > spans.MaxText {
		t.Errorf("the body has %d bytes: %.60s", len(body), body)
	}
	last := r.GetAttributes()[len(r.GetAttributes())-1]
	if last.GetKey() != "log.record.uid" || last.GetValue().GetStringValue() != record.UID.String() {
		t.Errorf("%v", last)
	}
}

// Where nothing is certain, nothing is named.
func TestARecordWithoutASpanHasNoIDs(t *testing.T) {
	encoder, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	record := backOff()
	record.TraceID, record.SpanID, record.Warning, record.Type = [16]byte{}, [8]byte{}, false, "Normal"
	var out bytes.Buffer
	if err := otlp.NewJSONWriter(&out, encoder).WriteRecords([]*spans.Record{record}); err != nil {
		t.Fatal(err)
	}
	logs, err := new(plog.JSONUnmarshaler).UnmarshalLogs(out.Bytes())
	if err != nil || logs.LogRecordCount() != 1 {
		t.Fatal(logs.LogRecordCount(), err)
	}
	r := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	if !r.TraceID().IsEmpty() || !r.SpanID().IsEmpty() || r.SeverityNumber() != plog.SeverityNumberInfo {
		t.Error(r.TraceID(), r.SpanID(), r.SeverityNumber())
	}
}
