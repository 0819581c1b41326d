package harness

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/test/controlplane"
)

// WriteTree writes a trace that Jaeger has, as rollspan prints traces itself.
func WriteTree(w io.Writer, t *controlplane.Trace) error {
	var out spans.Trace
	seen := map[string]bool{}
	var walk func(s *controlplane.Span) error
	walk = func(s *controlplane.Span) error {
		if seen[s.ID] {
			return fmt.Errorf("span %s is there twice", s.ID)
		}
		seen[s.ID] = true
		converted, err := convert(s)
		if err != nil {
			return fmt.Errorf("span %s: %w", s.ID, err)
		}
		out.Spans = append(out.Spans, converted)
		for _, child := range t.Children(s.ID) {
			if err := walk(child); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range t.Spans {
		if t.Span(t.Spans[i].ParentID) != nil {
			continue
		}
		if err := walk(&t.Spans[i]); err != nil {
			return err
		}
	}
	return text.WriteTree(w, out)
}

// NameOfKind is what all spans of the span's kind are called: "Deployment rollout" of
// "Deployment rollout shop/web". No other name ends in a word with a slash.
func NameOfKind(s *controlplane.Span) string {
	if i := strings.LastIndexByte(s.Name, ' '); i >= 0 && strings.Contains(s.Name[i:], "/") {
		return s.Name[:i]
	}
	return s.Name
}

// convert returns the span as rollspan had it before it was sent, but for the
// order of attributes.
func convert(s *controlplane.Span) (out spans.Span, err error) {
	if out.TraceID, err = trace.TraceIDFromHex(s.TraceID); err != nil {
		return out, err
	}
	if out.SpanID, err = trace.SpanIDFromHex(s.ID); err != nil {
		return out, err
	}
	if s.ParentID != "" {
		if out.ParentID, err = trace.SpanIDFromHex(s.ParentID); err != nil {
			return out, err
		}
	}
	out.Name, out.Service, out.Subject = NameOfKind(s), s.Service, subject(s)
	out.Start, out.End = s.Start, s.End
	out.Resource, out.Attributes = keyValues(object(s)), keyValues(s.Attributes)
	out.SpanKind = trace.SpanKind(s.Kind)
	for _, e := range s.Events {
		out.Events = append(out.Events, spans.Event{Name: e.Name, Time: e.Time, Attributes: keyValues(e.Attributes)})
	}
	for _, l := range s.Links {
		link := spans.Link{Attributes: keyValues(l.Attributes)}
		if link.TraceID, err = trace.TraceIDFromHex(l.TraceID); err != nil {
			return out, err
		}
		if link.SpanID, err = trace.SpanIDFromHex(l.SpanID); err != nil {
			return out, err
		}
		out.Links = append(out.Links, link)
	}
	if s.Status.Code == statusError {
		out.Status, out.Message = codes.Error, s.Status.Message
	}
	return out, nil
}

// statusError is OTLP's code, which is not that of OpenTelemetry's Go API.
const statusError = 2

// object is what the resource says of the object that a span is about.
func object(s *controlplane.Span) map[string]any {
	out := map[string]any{}
	for key, value := range s.Resource {
		if attr.OfObject(attribute.Key(key)) {
			out[key] = value
		}
	}
	return out
}

// subject is the object that a span is about: the one whose name is the most
// special of its resource's attributes.
func subject(s *controlplane.Span) string {
	var parts []string
	for _, of := range []struct {
		kind string
		key  attribute.Key
	}{
		{"pod", semconv.K8SPodNameKey},
		{"container", semconv.K8SContainerNameKey},
	} {
		if name, ok := s.Resource[string(of.key)]; ok {
			parts = append(parts, fmt.Sprintf("%s/%v", of.kind, name))
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, " ")
	}
	for _, of := range []struct {
		kind string
		key  attribute.Key
	}{
		{"job", semconv.K8SJobNameKey},
		{"replicaset", semconv.K8SReplicaSetNameKey},
		{"deployment", semconv.K8SDeploymentNameKey},
		{"statefulset", semconv.K8SStatefulSetNameKey},
		{"daemonset", semconv.K8SDaemonSetNameKey},
		{"cronjob", semconv.K8SCronJobNameKey},
		{"replicationcontroller", semconv.K8SReplicationControllerNameKey},
		{"node", semconv.K8SNodeNameKey},
	} {
		if name, ok := s.Resource[string(of.key)]; ok {
			return fmt.Sprintf("%s/%v", of.kind, name)
		}
	}
	return fmt.Sprint(s.Resource["rollspan.object.name"])
}

func keyValues(attrs map[string]any) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(attrs))
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		key := attribute.Key(k)
		switch v := attrs[k].(type) {
		case string:
			out = append(out, key.String(v))
		case bool:
			out = append(out, key.Bool(v))
		case int64:
			out = append(out, key.Int64(v))
		case float64:
			out = append(out, key.Float64(v))
		case []any:
			list := make([]string, len(v))
			for i, e := range v {
				list[i] = fmt.Sprint(e)
			}
			out = append(out, key.StringSlice(list))
		default:
			out = append(out, key.String(fmt.Sprint(v)))
		}
	}
	return out
}
