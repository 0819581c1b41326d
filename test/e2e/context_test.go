package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/test/controlplane"
)

// TestJoinsTheDeployersTrace deploys as a pipeline does that is traced: it starts
// a span, leaves its context on a Deployment, updates that, creates a Job, and
// ends the span. Both changes are in the pipeline's trace, below its span. What
// somebody does by hand later is not.
func TestJoinsTheDeployersTrace(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.create(app{})
	s.complete(1)
	created := s.rollout(1)
	if len(created.Root().Links) != 0 {
		t.Errorf("before anybody left a context there are links: %v", created.Root().Links)
	}

	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpointURL(s.collector.OTLPGRPC()))
	if err != nil {
		t.Fatal(err)
	}
	pipeline := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("pipeline"))))
	ctx, deploy := pipeline.Tracer("e2e").Start(t.Context(), "deploy")
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	traceparent := carrier["traceparent"]

	s.kubectlRun("annotate", "deployment/"+appName, "traceparent="+traceparent)
	s.update("2")
	migration := s.job(app{annotations: map[string]string{"tracing.k8s.io/traceparent": traceparent}}, nil)
	s.complete(2)
	s.waits(job, "condition=Complete")
	deploy.End()
	if err := pipeline.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	joined := s.below("pipeline", "deploy", deploy.SpanContext().TraceID().String(), "Deployment rollout", jobRun)
	rollout, run := joined["Deployment rollout"], joined[jobRun]
	s.law(rollout)
	s.has(rollout.Root(), map[string]any{"rollspan.revision": 2, "rollspan.outcome": "complete", "rollspan.cause": "template"})
	s.under(rollout, "ReplicaSet scale up 0-1", "ReplicaSet scale down 1-0")
	s.law(run)
	s.has(run.Root(), map[string]any{"k8s.job.uid": migration.UID, "rollspan.outcome": "complete"})

	s.kubectlRun("scale", "deployment/"+appName, "--replicas=2")
	scale := s.trace("Deployment scale", "rollspan.scale.to", int64(2))
	s.linked(scale.Root(), "context", &controlplane.Span{
		TraceID: deploy.SpanContext().TraceID().String(), ID: deploy.SpanContext().SpanID().String(),
	})

	s.kubectlRun("rollout", "undo", "deployment/"+appName)
	s.complete(3)
	undone := s.rollout(3)
	s.links(undone, "rolls_back", created)
}

// below waits until a trace has, right below the one span of a service's, one
// span of each name with all that belongs below it, and returns these as traces.
func (s *space) below(service, name, traceID string, names ...string) map[string]*trace {
	s.t.Helper()
	var found map[string]*trace
	s.eventually(fmt.Sprintf("trace %s with %q below %s", traceID, names, name), func() error {
		whole, err := s.whole(s.t.Context(), traceID)
		if err != nil {
			return err
		}
		root := whole.Root()
		if root.Service != service || root.Name != name {
			return fmt.Errorf("the root is %s of %s", root.Name, root.Service)
		}
		found = map[string]*trace{}
		for _, child := range whole.Children(root.ID) {
			if !slices.Contains(names, child.Name) || found[child.Name] != nil {
				return final{errors.New("it should not have, or not twice, " + child.Name)}
			}
			found[child.Name] = part(&whole, child)
		}
		if len(found) != len(names) {
			return fmt.Errorf("it has %d of them", len(found))
		}
		return nil
	})
	return found
}

// part is a span of a trace, and what is below it, as a trace of its own.
func part(whole *trace, root *controlplane.Span) *trace {
	top := *root
	top.ParentID = ""
	out := &trace{ID: whole.ID, Spans: []controlplane.Span{top}}
	for i := 0; i < len(out.Spans); i++ {
		for _, child := range whole.Children(out.Spans[i].ID) {
			out.Spans = append(out.Spans, *child)
		}
	}
	return out
}
