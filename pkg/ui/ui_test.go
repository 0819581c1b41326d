package ui

import (
	"net/http"
	"net/http/httptest"
	"slices"
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

// What an address asks for, and what is wrong with it.
func TestFilterOfAddress(t *testing.T) {
	h := NewHandler(Options{History: shop(t), Loopback: true, Now: now})
	for query, want := range map[string]string{
		"namespace=pay": "pay", "q=IMAGEPULL+web": "revision 2", "took=30s": "revision 2", "outcome=complete&namespace=shop": "revision 1",
		"from=2026-03-01+12:01:30": "api", "to=2026-03-01T12:00:30Z": "revision 1", "since=58m": "api", "from=1772366430": "revision 2",
	} {
		body := get(t, h, "/?"+query).Body.String()
		has(t, body, want)
		if n := strings.Count(body, "<tr data-change>") - 1; n != 1 && !strings.HasPrefix(query, "from") && !strings.HasPrefix(query, "since") {
			t.Errorf("%s: %d changes", query, n) // one row is the script's model
		}
		if code := get(t, h, "/changes.json?"+query).Code; code != http.StatusOK {
			t.Errorf("%s: %d", query, code)
		}
	}
	for query, want := range map[string]string{
		"took=long": "is not how long a change takes", "from=then": "is not a time", "to=31.12.": "is not a time", "since=-1h": "is not a time to look back",
	} {
		answer := get(t, h, "/?"+query)
		body := answer.Body.String()
		has(t, body, want, `<details class="filter-more" open>`, `<div class="empty" hidden>`) // what is wrong is in sight, and nobody has looked
		if code := get(t, h, "/changes.json?"+query).Code; code != http.StatusBadRequest {
			t.Errorf("%s: %d for the script", query, code)
		}
	}
	for _, path := range []string{"/?after=zzz", "/changes.json?after=zzz"} {
		if answer := get(t, h, path); answer.Code != http.StatusBadRequest {
			t.Errorf("a place that no page said gives a page: %d", answer.Code)
		}
	}
	if answer := get(t, h, "/overview?from=2026-03-02&to=2026-03-01"); answer.Code != http.StatusBadRequest {
		t.Errorf("a time that ends before it begins: %d", answer.Code)
	}
}

// Where nothing has happened the page says what to do.
func TestEmpty(t *testing.T) {
	h := NewHandler(Options{History: history.NewMemory(history.Options{Now: now}), Loopback: true, Now: now, Empty: "Roll something out."})
	for _, path := range []string{"/", "/overview"} {
		has(t, get(t, h, path).Body.String(), "Roll something out.")
	}
	has(t, get(t, h, "/?q=x").Body.String(), "No change matches.")
}

// The script gets an answer when it is another one.
func TestSameAnswer(t *testing.T) {
	store := shop(t)
	h := NewHandler(Options{History: store, Loopback: true, Now: now})
	tag := get(t, h, "/changes.json").Header().Get("ETag")
	again := func() int {
		return get(t, h, "/changes.json", func(r *http.Request) { r.Header.Set("If-None-Match", tag) }).Code
	}
	if code := again(); code != http.StatusNotModified {
		t.Errorf("the same: %d", code)
	}
	store.Add(rollout(4, "shop", "cart", 1, attr.OutcomeComplete, began.Add(3*time.Minute), time.Second))
	if code := again(); code != http.StatusOK {
		t.Errorf("another: %d", code)
	}
}

// A trace's ID leads to its change, or to those that share it.
func TestTraceID(t *testing.T) {
	store := shop(t)
	second := rollout(2, "shop", "cart", 1, attr.OutcomeComplete, began.Add(3*time.Minute), time.Second)
	for i := range second.Spans { // of the same deployer
		second.Spans[i].SpanID[1] += 100
		if second.Spans[i].ParentID.IsValid() {
			second.Spans[i].ParentID[1] += 100
		}
	}
	store.Add(second)
	h := NewHandler(Options{History: store, Loopback: true, Now: now})
	for path, want := range map[string]string{
		"/trace/" + trace.TraceID{1}.String(): ".." + changePath(1),
		"/trace/" + trace.TraceID{2}.String(): "../?q=" + trace.TraceID{2}.String(),
	} {
		answer := get(t, h, path)
		if got := answer.Header().Get("Location"); answer.Code != http.StatusSeeOther || got != want {
			t.Errorf("%s leads to %q (%d), want %q", path, got, answer.Code, want)
		}
	}
	for path, want := range map[string]int{
		"/trace/" + trace.TraceID{9}.String(): 404, "/trace/x": 400, "/change/x": 400, changePath(9): 404, changePath(1) + "/0000000000000001/span.json": 404, "/change": 404,
	} {
		if code := get(t, h, path).Code; code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// A deployer's span leads to the backend, which has it, and not to what he deployed before with it. Nor does a link
// to a change that is not here lead to another one of its trace.
func TestDeployer(t *testing.T) {
	deployer := trace.SpanID{77}
	for meaning, words := range map[attr.Link]string{attr.LinkContext: "deployed by", attr.LinkSupersedes: "cut short"} {
		store := history.NewMemory(history.Options{Now: now})
		deployed := rollout(2, "shop", "web", 2, attr.OutcomeComplete, began, time.Second)
		deployed.Spans[0].ParentID = deployer
		store.Add(deployed)
		scale := rollout(4, "shop", "cart", 2, attr.OutcomeComplete, began.Add(time.Minute), time.Second)
		scale.Spans[0].Links = []spans.Link{{TraceID: trace.TraceID{2}, SpanID: deployer, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(meaning))}}}
		store.Add(scale)
		h := NewHandler(Options{History: store, Loopback: true, Now: now, TraceURL: func(id trace.TraceID, span trace.SpanID, _, _ time.Time) string {
			return "https://jaeger.example/trace/" + id.String() + "/" + span.String()
		}})
		body := get(t, h, changePath(4)).Body.String()
		has(t, body, words, "https://jaeger.example/trace/"+trace.TraceID{2}.String()+"/"+deployer.String(), "trace "+trace.TraceID{2}.String())
		hasNot(t, body, words+" Deployment", changePath(2))
		scale.Spans[0].Links[0].SpanID = trace.SpanID{2, 1} // that of the rollout
		scale.Spans[0].TraceID, scale.Spans[0].SpanID = trace.TraceID{5}, trace.SpanID{5, 1}
		store.Add(spans.Trace{Spans: scale.Spans[:1]})
		has(t, get(t, h, changePath(5)).Body.String(), words, strings.TrimPrefix(changePath(2), "/"))
	}
}

// Two changes of one trace are two, though they are linked to for the same.
func TestRelatedOfOneTrace(t *testing.T) {
	store := history.NewMemory(history.Options{Now: now})
	second := rollout(2, "shop", "search", 2, attr.OutcomeComplete, began, time.Second)
	for i := range second.Spans { // below another span of the deployer's
		s := &second.Spans[i]
		s.SpanID[7]++
		if s.ParentID.IsValid() {
			s.ParentID[7]++
		} else {
			s.ParentID = trace.SpanID{77}
		}
	}
	store.Add(rollout(2, "shop", "web", 2, attr.OutcomeComplete, began, time.Second))
	store.Add(second)
	by := rollout(4, "shop", "cart", 2, attr.OutcomeComplete, began.Add(time.Minute), time.Second)
	for _, root := range []trace.SpanID{{2, 1}, second.Spans[0].SpanID} {
		by.Spans[0].Links = append(by.Spans[0].Links, spans.Link{
			TraceID: trace.TraceID{2}, SpanID: root, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(attr.LinkCausedBy))},
		})
	}
	store.Add(by)
	body := get(t, NewHandler(Options{History: store, Loopback: true, Now: now}), changePath(4)).Body.String()
	has(t, body, "caused by", strings.TrimPrefix(changePath(2), "/"), trace.TraceID{2}.String()+"-"+second.Spans[0].SpanID.String())
}

// A backend is led to where its address is one of the web, and nowhere else.
func TestBackend(t *testing.T) {
	for address, linked := range map[string]bool{
		"https://jaeger.example/trace/1": true, "http://localhost:16686/trace/1": true, "": false,
		"javascript:alert(1)": false, "JAVASCRIPT:alert(1)": false, "data:text/html,x": false, "//evil.example": false, "/trace/1": false, "https:": false, "\x00https://a": false,
	} {
		h := NewHandler(Options{History: shop(t), Loopback: true, Now: now, TraceURL: func(trace.TraceID, trace.SpanID, time.Time, time.Time) string { return address }})
		body := get(t, h, changePath(1)).Body.String()
		if got := strings.Contains(body, "In the trace backend"); got != linked {
			t.Errorf("%q is linked: %t", address, got)
		}
		hasNot(t, body, "javascript:", "JAVASCRIPT:", "data:text")
	}
}

func TestImages(t *testing.T) {
	for _, c := range []struct {
		was, is []string
		want    []imageChange
	}{
		{[]string{"app:1"}, []string{"app:2"}, []imageChange{{"app:1", "app:2"}}},
		{[]string{"r:5000/app:1", "side:1"}, []string{"side:1", "r:5000/app@sha256:ab"}, []imageChange{{"r:5000/app:1", "r:5000/app@sha256:ab"}}},
		{[]string{"a:1", "b:1"}, []string{"b:2", "a:2"}, []imageChange{{"b:1", "b:2"}, {"a:1", "a:2"}}},
		{nil, []string{"a:1"}, []imageChange{{"", "a:1"}}},
		{[]string{"a:1", "b:1"}, []string{"a:1"}, []imageChange{{"b:1", ""}}},
		{[]string{"old:1"}, []string{"new:1"}, []imageChange{{"old:1", "new:1"}}},
		{[]string{"a:1"}, []string{"a:1"}, nil},
	} {
		if got := images(c.was, c.is); !slices.Equal(got, c.want) {
			t.Errorf("%v to %v: %v, want %v", c.was, c.is, got, c.want)
		}
	}
}

// Whatever parents spans name, each is drawn once, and it ends.
func TestStrangeParents(t *testing.T) {
	list := rollout(1, "shop", "web", 1, attr.OutcomeComplete, began, time.Second).Spans
	list[1].ParentID, list[2].ParentID = list[2].SpanID, list[1].SpanID // each the other's
	if w := newWaterfall(list); len(w.Bars) != 1 || w.LeftOut != 2 {
		t.Errorf("%d bars, %d left out", len(w.Bars), w.LeftOut)
	}
	list[1].ParentID, list[2].ParentID = list[1].SpanID, trace.SpanID{99} // its own, and one that is not there
	if w := newWaterfall(list); len(w.Bars) != 3 || w.Bars[1].Depth != 1 || w.Bars[2].Depth != 1 {
		t.Errorf("%+v", w.Bars)
	}
	for i := range list { // no time has passed
		list[i].Start, list[i].End = began, began
	}
	if w := newWaterfall(list); w.Whole < 1 || w.X(0) != 0 || len(w.Ticks()) == 0 || len(w.Ticks()) > 10 {
		t.Errorf("%+v %v", w, w.Ticks())
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 1500 * time.Microsecond: "2 ms", 999 * time.Millisecond: "999 ms", time.Second: "1.0 s", 59 * time.Second: "59.0 s",
		time.Minute: "1 m 00 s", 3*time.Minute + 7*time.Second: "3 m 07 s", time.Hour: "1 h 00 m", 26 * time.Hour: "26 h 00 m", 75 * time.Hour: "3 d 03 h", -2 * time.Second: "−2.0 s",
	} {
		if got := took(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
