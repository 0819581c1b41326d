package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

var (
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now   = func() time.Time { return began.Add(time.Hour) }
)

// rollout is a rollout of a Deployment whose image takes long to pull.
func rollout(id byte, namespace, name string, revision int, outcome attr.Outcome, at time.Time, pull time.Duration) spans.Trace {
	traceID := trace.TraceID{id}
	span := func(n byte, k kind.Kind, title, subject string, parent byte, from, to time.Duration, attributes ...attribute.KeyValue) spans.Span {
		s := spans.Span{
			TraceID: traceID, SpanID: trace.SpanID{id, n}, Kind: k, Name: title, Subject: subject, Service: "kubelet",
			Start: at.Add(from), End: at.Add(to), Attributes: attributes,
			Resource: []attribute.KeyValue{semconv.K8SNamespaceName(namespace), semconv.K8SDeploymentName(name)},
		}
		if parent > 0 {
			s.ParentID = trace.SpanID{id, parent}
		}
		return s
	}
	end := pull + 2*time.Second
	root := span(1, kind.Rollout, "Deployment rollout", "deployment/"+name, 0, 0, end,
		attr.ChangeKey.String(string(attr.ChangeRollout)), attr.OutcomeKey.String(string(outcome)), attr.RevisionKey.Int(revision),
		attr.CauseKey.String("template"), attr.PhasePullImage.Key().Float64(pull.Seconds()), attr.PhaseController.Key().Float64(2),
		attr.CriticalPathSegmentsKey.StringSlice([]string{"2.000s controller deployment/" + name, pull.String() + " pull image pod/" + name + "-0 container/app"}),
		attr.ChangedFieldsKey.StringSlice([]string{"container/app image"}),
		attr.ImagesBeforeKey.StringSlice([]string{"registry:5000/app:1"}), attr.ImagesAfterKey.StringSlice([]string{"registry:5000/app:2"}))
	if outcome == attr.OutcomeFailed {
		root.Status, root.Message = codes.Error, "1 of 1 new pods: ImagePullBackOff"
	}
	start := span(2, kind.PodStart, "Pod start", "pod/"+name+"-0", 1, time.Second, end)
	start.Resource = append(start.Resource, semconv.K8SPodName(name+"-0"), semconv.K8SPodUID(name), semconv.K8SNodeName("node-a"))
	image := span(3, kind.PullImage, "pull image", "pod/"+name+"-0 container/app", 2, 2*time.Second, end,
		attr.CriticalKey.Bool(true), attr.StartPrecisionKey.Float64(1.5), attr.StartSourceKey.String(string(attr.SourceArrival)))
	image.Events = []spans.Event{{Name: "Pulling", Time: at.Add(2 * time.Second), Attributes: []attribute.KeyValue{
		attr.K8SEventReasonKey.String("Pulling"), attr.K8SEventMessageKey.String("Pulling image"), attr.K8SEventTypeKey.String("Normal"),
	}}}
	return spans.Trace{Spans: []spans.Span{root, start, image}}
}

func shop(t *testing.T) history.Store {
	t.Helper()
	store := history.NewMemory(history.Options{Now: now})
	store.Add(rollout(1, "shop", "web", 1, attr.OutcomeComplete, began, 3*time.Second))
	store.Add(rollout(2, "shop", "web", 2, attr.OutcomeFailed, began.Add(time.Minute), 30*time.Second))
	store.Add(rollout(3, "pay", "api", 7, attr.OutcomeComplete, began.Add(2*time.Minute), 4*time.Second))
	return store
}

// get asks for a page.
func get(t *testing.T, h http.Handler, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:7443"+path, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func has(t *testing.T, body string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in:\n%s", want, body)
		}
	}
}

func hasNot(t *testing.T, body string, unwanted ...string) {
	t.Helper()
	for _, not := range unwanted {
		if strings.Contains(body, not) {
			t.Errorf("%q is in:\n%s", not, body)
		}
	}
}

// changePath is the path of a change of shop.
func changePath(id byte) string {
	return "/change/" + history.ID{Trace: trace.TraceID{id}, Root: trace.SpanID{id, 1}}.String()
}

func TestPages(t *testing.T) {
	h := NewHandler(Options{History: shop(t), Loopback: true, Now: now, About: "a test"})
	list := get(t, h, "/").Body.String()
	has(t, list, "rollout of revision 2", "shop", "api", "pull image 30.0 s")
	page := get(t, h, changePath(2)).Body.String()
	has(t, page, "The reason: 1 of 1 new pods: ImagePullBackOff.", "27.0 s", "container/app image", "registry:5000/app:1", "pull image")
	overview := get(t, h, "/overview").Body.String()
	has(t, overview, "node-a", "web", "api")
}
