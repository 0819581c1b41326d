// Package otlptest has what the tests of the encoding and of the delivery share.
package otlptest

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Start is when the trace of Rollout begins.
var Start = time.Date(2026, 3, 1, 8, 31, 17, 749506812, time.UTC)

// Rollout is a small trace with everything a span can have.
func Rollout() spans.Trace {
	id := spans.NewTraceID("deployment", "uid", "2")
	root := spans.Span{
		TraceID: id, SpanID: spans.NewSpanID(id, "root"),
		Name: "Deployment rollout", Service: "deployment-controller", Subject: "deployment/web",
		SpanKind: trace.SpanKindServer,
		Start:    Start, End: Start.Add(9 * time.Second),
		Resource: []attribute.KeyValue{attribute.String("k8s.deployment.name", "web")},
		Attributes: []attribute.KeyValue{
			attribute.String("rollspan.change", "rollout"),
			attribute.Int("rollspan.revision", 2),
			attribute.Float64("rollspan.critical_path.pull_image", 6.945),
			attribute.StringSlice("rollspan.images.after", []string{"web:2", "proxy:1"}),
		},
		Links: []spans.Link{{
			TraceID: spans.NewTraceID("deployment", "uid", "1"), SpanID: spans.NewSpanID(spans.NewTraceID("deployment", "uid", "1"), "root"),
			Attributes: []attribute.KeyValue{attribute.String("rollspan.link.type", "supersedes")},
		}},
		Status: codes.Error, Message: "1 of 1 new pods: ImagePullBackOff: web:2: not found",
	}
	pod := spans.Span{
		TraceID: id, SpanID: spans.NewSpanID(id, "pod"), ParentID: root.SpanID,
		Name: "Pod start", Service: "kubelet", Subject: "pod/web-6757-x2x",
		Start: Start.Add(time.Second), End: Start.Add(8 * time.Second),
		Resource: []attribute.KeyValue{
			attribute.String("k8s.deployment.name", "web"), attribute.String("k8s.pod.name", "web-6757-x2x"),
			attribute.StringSlice("container.image.tags", []string{"2"}),
		},
		Attributes: []attribute.KeyValue{attribute.Bool("rollspan.critical", true)},
		Events: []spans.Event{{
			Name: "Failed", Time: Start.Add(2 * time.Second),
			Attributes: []attribute.KeyValue{attribute.String("k8s.event.reason", "Failed")},
		}},
		Links: []spans.Link{{TraceID: id, SpanID: root.SpanID}},
	}
	return spans.Trace{Spans: []spans.Span{root, pod}}
}
