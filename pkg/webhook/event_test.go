package webhook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/traceurl"
)

func newTeller(t testing.TB) *Teller {
	t.Helper()
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "staging", ClusterUID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	url, err := traceurl.Parse("https://jaeger.example/trace/{trace_id}?uiFind={span_id}")
	if err != nil {
		t.Fatal(err)
	}
	return &Teller{Encoder: encoder, ClusterUID: "c1", ClusterName: "staging", TraceURL: url}
}

// TestEventsOfRecordings tells of all that was ever recorded, as if it were live. There is one
// event for each change that is over, CloudEvents' own SDK finds nothing wrong with any, and what
// it says is what the trace says.
func TestEventsOfRecordings(t *testing.T) {
	teller := newTeller(t)
	files, err := filepath.Glob("../../test/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	ids := map[string]bool{}
	for _, file := range files {
		for _, tr := range replay(t, file) {
			e, facts, ok := teller.finished(&tr)
			root := tr.Root()
			outcome, over := root.Attribute(attr.OutcomeKey)
			change, _ := root.Attribute(attr.ChangeKey)
			if want := over && !tr.Late && outcome.AsString() != "open" && change.AsString() != "activity"; ok != want {
				t.Errorf("%s: %s has an event: %t, want %t", file, root.Name, ok, want)
			}
			if !ok {
				continue
			}
			if ids[e.ID] {
				t.Errorf("%s: %s has an ID that another event has: %s", file, root.Name, e.ID)
			}
			ids[e.ID] = true
			if c, _ := metrics.ReadChange(root); facts[fieldKind] != c.Kind {
				t.Errorf("%s: %s is filtered as of a %s, and counted as of a %s", file, root.Name, facts[fieldKind], c.Kind)
			}
			received, data := receive(t, e)
			if want := root.TraceID.String() + "-" + root.SpanID.String(); received.ID() != want {
				t.Errorf("the ID of %s is %s, want %s", root.Name, received.ID(), want)
			}
			if received.Type() != TypeChange || received.Source() != "/rollspan/clusters/c1" || !received.Time().Equal(root.End) || received.Subject() == "" {
				t.Errorf("%s: %v", root.Name, received)
			}
			if got := data["failed"]; got != (root.Status == codes.Error) {
				t.Errorf("%s has failed: %v, and its status is %v", root.Name, got, root.Status)
			}
			if objects, _ := data["objects"].([]any); !slices.ContainsFunc(objects, func(o any) bool {
				return strings.Contains(received.Subject(), "/"+o.(map[string]any)["name"].(string))
			}) {
				t.Errorf("%s of %s is about %v", root.Name, received.Subject(), data["objects"])
			}
		}
	}
	if len(ids) < 50 {
		t.Errorf("there are %d changes in all recordings", len(ids))
	}
}

// receive sends an event as CloudEvents' SDK receives it, and checks what holds of each.
func receive(t *testing.T, e cloudEvent) (*cloudevents.Event, map[string]any) {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var received cloudevents.Event
	if err := json.Unmarshal(body, &received); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	if err := received.Validate(); err != nil {
		t.Errorf("%v\n%s", err, body)
	}
	var data map[string]any
	if err := received.DataAs(&data); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	id, hasTrace := data["traceId"].(string)
	parent, _ := received.Extensions()["traceparent"].(string)
	if span, _ := data["spanId"].(string); hasTrace && parent != "00-"+id+"-"+span+"-01" {
		t.Errorf("traceparent is %q of\n%s", parent, body)
	}
	if url, _ := data["traceUrl"].(string); hasTrace != strings.HasPrefix(url, "https://jaeger.example/trace/"+id) || !hasTrace && url != "" {
		t.Errorf("traceUrl is %q of\n%s", url, body)
	}
	// A program that has the environment has the Resource.
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", data["environment"].(map[string]any)["OTEL_RESOURCE_ATTRIBUTES"].(string))
	read, err := resource.New(t.Context(), resource.WithFromEnv())
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	got := map[string]any{}
	for _, kv := range read.Attributes() {
		got[string(kv.Key)] = kv.Value.AsString()
	}
	want := data["resource"].(map[string]any)
	if want["k8s.cluster.uid"] != "c1" || want["service.name"] == "" {
		t.Errorf("the Resource is %v", want)
	}
	for key, value := range want {
		if _, ok := value.(string); ok {
			continue
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		want[key] = string(encoded)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the environment has\n%v\nand the Resource\n%v", got, want)
	}
	return &received, data
}

// TestHostileTexts has texts in a Resource that mean something where it is written, and are not
// UTF-8, or huge. An event says the same and has a bound.
func TestHostileTexts(t *testing.T) {
	teller := newTeller(t)
	at := time.Unix(1_700_000_000, 0)
	root := spans.Span{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Name: "Deployment rollout", Subject: "deployment/web", Start: at, End: at.Add(time.Second),
		Service: "deployment-controller", Status: codes.Error, Message: strings.Repeat("x", 1<<20),
		Resource: []attribute.KeyValue{
			attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.deployment.name", "web"),
			attribute.String("k8s.deployment.label.team", "a=b,c;d\\e \"f\"\n% + é\xff"), attribute.StringSlice("list", []string{"a,b", "c"}), attribute.Int64("count", 3),
		},
		Attributes: []attribute.KeyValue{attribute.String("rollspan.change", "rollout"), attribute.String("rollspan.outcome", "failed")},
	}
	e, _, ok := teller.finished(&spans.Trace{Spans: []spans.Span{root}})
	if !ok {
		t.Fatal("there is no event")
	}
	_, data := receive(t, e)
	if message := data["message"].(string); len(message) > spans.MaxText {
		t.Errorf("the message has %d bytes", len(message))
	}
}

// TestEventsOfAlarms tells of alarms: of a pod whose rollout is open, and of a node, of which no
// trace is known.
func TestEventsOfAlarms(t *testing.T) {
	teller := newTeller(t)
	since := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	pod := alarms.Alarm{
		Name: "RollspanPodBackOff", Severity: alarms.Warning, Object: alarms.Object{Kind: "Pod", Namespace: "shop", Name: "web-1", UID: "p1"},
		Workload: alarms.Object{Kind: "Deployment", Namespace: "shop", Name: "web", UID: "d1"}, Node: "n1", Reason: "BackOff", Message: "Back-off pulling image",
		Since: since, Count: 2, TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
		Resource: []attribute.KeyValue{attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.pod.name", "web-1")},
	}
	e, of := teller.begun(&pod)
	received, data := receive(t, e)
	if received.Type() != TypeAlarm || received.Subject() != "shop/pod/web-1" || !received.Time().Equal(since) {
		t.Errorf("it is %v", received)
	}
	want := []any{
		map[string]any{"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "p1"},
		map[string]any{"kind": "Deployment", "namespace": "shop", "name": "web", "uid": "d1"},
	}
	if !reflect.DeepEqual(data["objects"], want) || data["alarm"] != pod.Name || data["reason"] != "BackOff" || data["severity"] != "warning" {
		t.Errorf("the data is %v", data)
	}
	if of[fieldType] != "alarm" || of[fieldAlarm] != pod.Name || of[fieldNamespace] != "shop" || of[fieldOutcome] != "" {
		t.Errorf("filters know %v", of)
	}

	again, _ := teller.begun(&pod)
	pod.Since = since.Add(time.Hour)
	later, _ := teller.begun(&pod)
	if again.ID != e.ID || later.ID == e.ID {
		t.Errorf("the IDs are %s, %s told again, %s an hour later", e.ID, again.ID, later.ID)
	}

	node := alarms.Alarm{Name: "RollspanNodeNotReady", Severity: alarms.Critical, Object: alarms.Object{Kind: "Node", Name: "n1"}, Since: since}
	node.Workload = node.Object
	e, _ = teller.begun(&node)
	received, data = receive(t, e)
	if received.Subject() != "node/n1" || len(data["objects"].([]any)) != 1 || e.TraceParent != "" {
		t.Errorf("it is %v", received)
	}
}

// replay returns what the engine makes of a recording.
func replay(t *testing.T, file string) []spans.Trace {
	t.Helper()
	return slices.Collect(replaytest.Traces(t, file, causality.Options{}))
}

// TestDocumentedEvent holds the event in docs/webhook.md to what is told of that recording.
func TestDocumentedEvent(t *testing.T) {
	teller := newTeller(t)
	doc, err := os.ReadFile("../../docs/webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range replay(t, "../../test/recordings/image-pull-backoff-deadline-then-fixed.jsonl") {
		e, of, ok := teller.finished(&tr)
		if !ok || of[fieldOutcome] != "failed" {
			continue
		}
		want, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), "```json\n"+string(want)+"\n```") {
			t.Errorf("docs/webhook.md does not have\n%s", want)
		}
		return
	}
	t.Error("nothing has failed")
}
