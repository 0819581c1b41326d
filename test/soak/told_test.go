package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// listener is who is told of a row's Events by log records, and of its changes by webhooks. It
// notes what it is told, and how often.
type listener struct {
	collogspb.UnimplementedLogsServiceServer
	t   testing.TB
	url string

	mu       sync.Mutex
	requests int
	// records are by their log.record.uid, and changes by the ID of the CloudEvent.
	records, changes map[string]*told
}

// told is what was told under one ID.
type told struct {
	body  []byte
	name  string
	times int
	again map[int]bool // the requests that had it again
	other bool         // it was told in other bytes
	// trace and span are what a record names: they are empty where it names none.
	trace, span, event string
}

func newListener(t testing.TB) *listener {
	l := &listener{t: t, records: map[string]*told{}, changes: map[string]*told{}}
	s := httptest.NewServer(http.HandlerFunc(l.webhook))
	t.Cleanup(s.Close)
	l.url = s.URL
	return l
}

// flags have a rollspan tell.
func (l *listener) flags() []string { return []string{"--logs", "--webhook-url", l.url} }

func (l *listener) note(in map[string]*told, id string, of told) {
	old := in[id]
	if old == nil {
		old = &of
		old.again = map[int]bool{}
		in[id] = old
	} else {
		old.again[l.requests] = true
		old.other = old.other || !bytes.Equal(old.body, of.body)
	}
	old.times++
}

// Export takes log records.
func (l *listener) Export(_ context.Context, r *collogspb.ExportLogsServiceRequest) (*collogspb.ExportLogsServiceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	for _, of := range r.GetResourceLogs() {
		for _, scope := range of.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				l.record(of.GetResource(), record)
			}
		}
	}
	return &collogspb.ExportLogsServiceResponse{}, nil
}

func (l *listener) record(resource *resourcepb.Resource, r *logspb.LogRecord) {
	whole := &logspb.ResourceLogs{Resource: resource, ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{r}}}}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(whole)
	if err != nil {
		l.t.Error(err)
	}
	attrs := r.GetAttributes()
	l.note(l.records, value(attrs, "log.record.uid"), told{
		body: body, name: value(attrs, "k8s.event.reason") + " " + value(attrs, "k8s.event.name"),
		trace: string(r.GetTraceId()), span: string(r.GetSpanId()), event: value(attrs, "k8s.event.uid"),
	})
}

// webhook takes a CloudEvent. Alarms that are raised by states are dated by who sees these, so only
// changes are noted.
func (l *listener) webhook(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	var event struct{ ID, Type, Subject string }
	if err == nil {
		err = json.Unmarshal(content, &event)
	}
	if err != nil {
		l.t.Error(err)
	}
	w.WriteHeader(http.StatusNoContent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if event.Type == "io.rollspan.change.finished" {
		l.note(l.changes, event.ID, told{body: content, name: event.Subject})
	}
}

// has are copies of what was told so far.
func (l *listener) has() (records, changes map[string]told) {
	l.mu.Lock()
	defer l.mu.Unlock()
	records, changes = map[string]told{}, map[string]told{}
	for _, each := range []struct {
		from map[string]*told
		to   map[string]told
	}{{l.records, records}, {l.changes, changes}} {
		for id, of := range each.from {
			noted := *of
			noted.again = maps.Clone(of.again)
			each.to[id] = noted
		}
	}
	return records, changes
}

// heard are the figures of what a row told in one way.
type heard struct {
	what                           string
	all, expected, lost            int
	twice, requests, inOtherBytes  int // requests are those that had something again
	namesTrace, namesSpan, wrongly int
}

// checkTold holds what a row told to what docs/logs.md and docs/webhook.md promise of a process with
// a data directory that is killed: nothing is lost, and what comes twice is the same each time. Of log
// records one request comes twice after a death.
func (r *result) checkTold(t *testing.T, expected, beside *running) {
	t.Helper()
	if r.listener == nil {
		return
	}
	records, changes := r.listener.has()
	wantRecords, wantChanges := expected.listener.has()
	besideRecords, besideChanges := beside.listener.has()
	ofRecords, wrong := compareTold("log records", records, wantRecords, besideRecords)
	ofChanges, more := compareTold("webhook events", changes, wantChanges, besideChanges)
	wrong = append(append(wrong, more...), ofRecords.checkTraces(records, r.collector.has())...)
	if most := int(r.disturbed.Load()); ofRecords.requests > most {
		wrong = append(wrong, fmt.Sprintf("%d requests have log records again after %d times of death", ofRecords.requests, most))
	}
	r.heard = append(r.heard, ofRecords, ofChanges)
	if len(wrong) > 0 || ofRecords.expected == 0 || ofChanges.expected == 0 || ofRecords.namesTrace == 0 {
		t.Errorf("%s: %+v, %+v\n%s", r.name, ofRecords, ofChanges, strings.Join(wrong[:min(len(wrong), 40)], "\n"))
	}
}

// compareTold compares what was told with what is wanted. What two differ in whom nothing disturbs is
// not expected.
func compareTold(what string, got, want, beside map[string]told) (out heard, wrong []string) {
	out = heard{what: what, all: len(got)}
	for id, w := range want {
		if _, sure := beside[id]; !sure {
			continue
		}
		out.expected++
		if _, ok := got[id]; !ok {
			out.lost++
			wrong = append(wrong, "lost: "+w.name)
		}
	}
	again := map[int]bool{}
	for _, of := range got {
		if of.times > 1 {
			out.twice++
		}
		maps.Copy(again, of.again)
		if of.other {
			out.inOtherBytes++
			wrong = append(wrong, "twice, in other bytes: "+of.name)
		}
	}
	out.requests = len(again)
	return out, wrong
}

// checkTraces holds log records to their law: none names a trace, or a span, that does not have its
// Event in the end.
func (h *heard) checkTraces(records map[string]told, sent map[string]seen) (wrong []string) {
	has := map[string]bool{}
	for _, s := range sent {
		for _, e := range s.GetEvents() {
			uid := value(e.GetAttributes(), "k8s.event.uid")
			has[string(s.GetTraceId())+uid], has[string(s.GetTraceId())+string(s.GetSpanId())+uid] = true, true
		}
	}
	for _, of := range records {
		if of.trace == "" {
			continue
		}
		h.namesTrace++
		if of.span != "" {
			h.namesSpan++
		}
		if !has[of.trace+of.span+of.event] {
			h.wrongly++
			wrong = append(wrong, fmt.Sprintf("the record of %s names trace %x, span %x, which does not have it", of.name, of.trace, of.span))
		}
	}
	return wrong
}

// TestToldIsCompared has a listener be told less, again, in other bytes, and of a trace that does not
// have the Event.
func TestToldIsCompared(t *testing.T) {
	const trace, span = "0123456789abcdef", "01234567"
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	export := func(l *listener, uid, message, of string) {
		record := &logspb.LogRecord{
			Attributes: []*commonpb.KeyValue{text("log.record.uid", uid), text("k8s.event.uid", uid)}, TraceId: []byte(of),
			Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: message}},
		}
		request := &collogspb.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{record}}}}}}
		if _, err := l.Export(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	expected, disturbed := newListener(t), newListener(t)
	for _, uid := range []string{"lost", "again", "otherwise", "unsure"} {
		export(expected, uid, "", "")
	}
	beside, _ := expected.has()
	delete(beside, "unsure")
	export(disturbed, "again", "", trace)
	export(disturbed, "again", "", trace)
	export(disturbed, "otherwise", "", "")
	export(disturbed, "otherwise", "another", "")
	export(disturbed, "wrong", "", trace)
	want, _ := expected.has()
	got, _ := disturbed.has()
	figures, wrong := compareTold("log records", got, want, beside)
	sent := map[string]seen{"": {Span: &tracepb.Span{TraceId: []byte(trace), SpanId: []byte(span),
		Events: []*tracepb.Span_Event{{Attributes: []*commonpb.KeyValue{text("k8s.event.uid", "again")}}}}}}
	wrong = append(wrong, figures.checkTraces(got, sent)...)
	if want := (heard{what: "log records", all: 3, expected: 3, lost: 1, twice: 2, requests: 2, inOtherBytes: 1, namesTrace: 2, wrongly: 1}); figures != want || len(wrong) != 3 {
		t.Errorf("it is %+v, want %+v, and wrong is %q", figures, want, wrong)
	}
}

// heardTable are the figures as Markdown. Webhooks name no spans but those that they tell of.
func heardTable(results []*result) string {
	var b strings.Builder
	b.WriteString("| fault | times | what | expected | lost | twice the same | in requests | twice different | name a trace | and a span | wrong |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		for _, h := range r.heard {
			names := "| | | |"
			if h.namesTrace > 0 {
				names = fmt.Sprintf("| %d | %d | %d |", h.namesTrace, h.namesSpan, h.wrongly)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d %s\n",
				r.name, r.howOften(), h.what, h.expected, h.lost, h.twice, h.requests, h.inOtherBytes, names)
		}
	}
	return b.String()
}
