package controlplane

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TestJaegerGivesBackWhatItWasSent sends spans with OpenTelemetry's own SDK, so
// that the query client is checked against something that is not rollspan's.
func TestJaegerGivesBackWhatItWasSent(t *testing.T) {
	jaeger := StartJaegerForTest(t, Options{})
	ctx := t.Context()
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(jaeger.OTLPGRPC()), otlptracegrpc.WithTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "deployment-controller"), attribute.String("k8s.cluster.name", "test"))),
	)
	tracer := provider.Tracer("rollspan-test", trace.WithInstrumentationVersion("v9"))

	begin := time.Now().Add(-time.Minute).UTC()
	linked := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}})
	rootCtx, root := tracer.Start(ctx, "Deployment rollout", trace.WithTimestamp(begin),
		trace.WithLinks(trace.Link{SpanContext: linked, Attributes: []attribute.KeyValue{attribute.String("rollspan.link.type", "supersedes")}}),
		trace.WithAttributes(
			attribute.String("k8s.deployment.name", "web"), attribute.Int64("rollspan.revision", 1<<60+1), attribute.Float64("seconds", 6.945),
			attribute.Bool("rollspan.critical", true), attribute.StringSlice("rollspan.critical_path.segments", []string{"a", "b"}),
		))
	_, child := tracer.Start(rootCtx, "Pod start", trace.WithTimestamp(begin.Add(time.Second)))
	child.AddEvent("Pulling", trace.WithTimestamp(begin.Add(1500*time.Millisecond+7)), trace.WithAttributes(attribute.Int64("k8s.event.count", 2)))
	child.SetStatus(codes.Error, "ImagePullBackOff")
	child.End(trace.WithTimestamp(begin.Add(2 * time.Second)))
	root.End(trace.WithTimestamp(begin.Add(3 * time.Second)))
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}

	traces, err := jaeger.FindTraces(ctx, "deployment-controller", "Deployment rollout", map[string]string{"k8s.deployment.name": "web"}, time.Hour)
	if err != nil || len(traces) != 1 {
		t.Fatalf("%d traces, %v", len(traces), err)
	}
	got := traces[0]
	id, rootID := root.SpanContext().TraceID().String(), root.SpanContext().SpanID().String()
	resourceAttributes := map[string]any{"service.name": "deployment-controller", "k8s.cluster.name": "test"}
	want := Trace{ID: id, Spans: []Span{{
		TraceID: id, ID: rootID, Name: "Deployment rollout", Kind: 1,
		Start: begin, End: begin.Add(3 * time.Second),
		Attributes: map[string]any{
			"k8s.deployment.name": "web", "rollspan.revision": int64(1<<60 + 1), "seconds": 6.945,
			"rollspan.critical": true, "rollspan.critical_path.segments": []any{"a", "b"},
		},
		Links: []Link{{
			TraceID: linked.TraceID().String(), SpanID: linked.SpanID().String(), Attributes: map[string]any{"rollspan.link.type": "supersedes"},
		}},
		Service: "deployment-controller", Resource: resourceAttributes, Scope: Scope{"rollspan-test", "v9"},
	}, {
		TraceID: id, ID: child.SpanContext().SpanID().String(), ParentID: rootID, Name: "Pod start", Kind: 1,
		Start: begin.Add(time.Second), End: begin.Add(2 * time.Second),
		Attributes: map[string]any{},
		Events: []Event{{
			Name: "Pulling", Time: begin.Add(1500*time.Millisecond + 7), Attributes: map[string]any{"k8s.event.count": int64(2)},
		}},
		Status:  Status{Code: 2, Message: "ImagePullBackOff"},
		Service: "deployment-controller", Resource: resourceAttributes, Scope: Scope{"rollspan-test", "v9"},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Root() == nil || got.Root().ID != rootID {
		t.Errorf("root is %+v", got.Root())
	}
	if children := got.Children(rootID); len(children) != 1 || children[0].Name != "Pod start" {
		t.Errorf("children are %+v", children)
	}

	// A search must leave out what it was not asked for.
	for name, tags := range map[string]map[string]string{"other value": {"k8s.deployment.name": "api"}, "other key": {"k8s.job.name": "web"}} {
		if found, err := jaeger.FindTraces(ctx, "deployment-controller", "", tags, time.Hour); err != nil || len(found) != 0 {
			t.Errorf("%s: %d traces, %v", name, len(found), err)
		}
	}
	if _, err := jaeger.Trace(ctx, "00000000000000000000000000000abc"); !errors.Is(err, ErrNoTrace) {
		t.Errorf("a trace that was never sent: %v", err)
	}
	if services, err := jaeger.Services(ctx); err != nil || !reflect.DeepEqual(services, []string{"deployment-controller"}) {
		t.Errorf("services are %v, %v", services, err)
	}
}
