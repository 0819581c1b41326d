package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

const (
	// envTraceparent is where who starts a program leaves its span (OpenTelemetry's specification,
	// context/env-carriers.md).
	envTraceparent = "TRACEPARENT"
	// envServiceName is the service that the program is, as OpenTelemetry's SDKs read it.
	envServiceName = "OTEL_SERVICE_NAME"
	ownService     = "rollspan"
	// sendWithin is how long the span may take: whoever waits waits for the rollout.
	sendWithin = 5 * time.Second
)

// sendSpan sends a span of the time that was waited, below that of who asked for it, where that
// one is sampled and there is a collector. That it cannot be sent changes nothing of how the
// rollout ended.
func (f *following) sendSpan(ctx context.Context, began time.Time, end *progress.State) {
	parent := progress.ParseTraceparent(os.Getenv(envTraceparent))
	if !parent.IsSampled() || !f.exporter.Configured() {
		return
	}
	encoder, err := otlp.NewEncoder(otlp.Options{Version: buildVersion(), SpanNames: otlp.SpanNamesKind})
	if err != nil {
		f.log.Warn("the span of this command is not sent", "error", err)
		return
	}
	c := conversion{exporter: f.exporter}
	exporter, err := c.export(f.log, encoder, nil)
	if err != nil {
		f.log.Warn("the span of this command is not sent", "error", err)
		return
	}
	span := f.span(parent, began, time.Now(), end)
	exporter.Enqueue([]spans.Trace{{Spans: []spans.Span{span}, Late: true}})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	if _, err := exporter.Shutdown(closing); err != nil {
		f.log.Warn("the span of this command is not sent", "error", err)
	}
}

// span is of the time that was waited, with a link to the rollout's trace.
func (f *following) span(parent trace.SpanContext, began, ended time.Time, end *progress.State) spans.Span {
	s := spans.Span{
		TraceID: parent.TraceID(), ParentID: parent.SpanID(),
		Name: "rollspan status", Service: cmp.Or(os.Getenv(envServiceName), ownService), Subject: f.names[0] + "/" + f.name,
		SpanKind: trace.SpanKindInternal, Start: began, End: ended,
		Resource:   end.Target.Attributes(),
		Attributes: []attribute.KeyValue{attr.OutcomeKey.String(string(end.Outcome))},
	}
	_, _ = rand.Read(s.SpanID[:]) // it never fails
	if end.Waits != "" {
		s.Attributes = append(s.Attributes, attr.WaitingForKey.String(end.Waits))
	}
	if end.Outcome != progress.Complete {
		s.Status, s.Message = codes.Error, f.result(end)
	}
	if end.Change != nil && end.TraceKnown {
		root := end.Change.Root()
		s.Links = []spans.Link{{TraceID: root.TraceID, SpanID: root.SpanID, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(attr.LinkRollout))}}}
		s.Attributes = append(s.Attributes,
			attr.LinkRollout.TraceIDKey().String(root.TraceID.String()), attr.LinkRollout.SpanIDKey().String(root.SpanID.String()))
	}
	return s
}
