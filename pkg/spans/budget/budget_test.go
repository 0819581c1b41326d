package budget_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/budget"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

var day = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func sizes(t testing.TB) *otlp.Sizes {
	t.Helper()
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "prod-eu-1", Version: "v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	return encoder.Sizes()
}

// teller makes up spans.
type teller struct {
	trace     trace.TraceID
	n         int
	resources map[string][]attribute.KeyValue
}

func newTeller(name string) *teller {
	return &teller{trace: spans.NewTraceID(name), resources: map[string][]attribute.KeyValue{}}
}

// span is a span of an object from and to so many seconds.
func (t *teller) span(k kind.Kind, parent trace.SpanID, object string, from, to float64) spans.Span {
	t.n++
	if t.resources[object] == nil {
		t.resources[object] = []attribute.KeyValue{
			semconv.K8SNamespaceName("shop"), semconv.K8SDeploymentName("web"), semconv.K8SPodName(object), semconv.K8SPodUID(object),
		}
	}
	at := func(seconds float64) time.Time { return day.Add(time.Duration(seconds * float64(time.Second))) }
	return spans.Span{
		TraceID: t.trace, SpanID: spans.NewSpanID(t.trace, fmt.Sprint(t.n)), ParentID: parent,
		Kind: k, Name: k.Name("Deployment"), Service: "kubelet", Start: at(from), End: at(to), Resource: t.resources[object],
	}
}

// rollout is a rollout of n pods, of which each takes a tenth of a second to schedule, and
// some to pull its image.
func (t *teller) rollout(n int, pull func(pod int) float64) spans.Trace {
	root := t.span(kind.Rollout, trace.SpanID{}, "web", 0, float64(n))
	step := t.span(kind.ScaleUp, root.SpanID, "web-1", 0, float64(n))
	list := []spans.Span{root, step}
	for i := range n {
		list = append(list, t.pod(step.SpanID, i, pull(i))...)
	}
	return spans.Trace{Spans: list}
}

func (t *teller) pod(step trace.SpanID, i int, pull float64) []spans.Span {
	name, at := fmt.Sprintf("web-1-%05d", i), float64(i)
	start := t.span(kind.PodStart, step, name, at, at+.1+pull)
	start.Events = []spans.Event{{Name: "Scheduled", Time: start.Start}}
	container := t.span(kind.Container, start.SpanID, name, at+.1, at+.1+pull)
	return []spans.Span{
		start,
		t.span(kind.Schedule, start.SpanID, name, at, at+.1),
		container,
		t.span(kind.PullImage, container.SpanID, name, at+.1, at+.1+pull),
	}
}

func number(t testing.TB, s *spans.Span, key attribute.Key) float64 {
	t.Helper()
	v, _ := s.Attribute(key)
	if v.Type() == attribute.INT64 {
		return float64(v.AsInt64())
	}
	return v.AsFloat64()
}

// sent are the names of what is sent of a trace's spans, with their objects.
func sent(tr spans.Trace) (out []string) {
	tr = tr.Sent()
	for i := range tr.Spans {
		pod, _ := tr.Spans[i].Attribute(semconv.K8SPodNameKey)
		out = append(out, tr.Spans[i].Name+" "+pod.AsString())
	}
	return out
}

// TestSmallTraceIsNotTouched: what is within the budget is sent as it is, without a copy.
func TestSmallTraceIsNotTouched(t *testing.T) {
	tr := newTeller("small").rollout(20, func(int) float64 { return 1 })
	out := budget.New(budget.Options{MaxBytes: budget.DefaultMaxBytes, MaxSpans: budget.DefaultMaxSpans}, sizes(t)).Apply(day, []spans.Trace{tr})
	if len(out) != 1 || out[0].Selection != nil || len(out[0].Spans) != 82 {
		t.Errorf("of a trace of %d spans %d are sent, selected: %t", len(tr.Spans), len(out[0].Sent().Spans), out[0].Selection != nil)
	}
}

// TestWhatIsKept: of a rollout of a thousand pods, of which some failed and one was slow.
func TestWhatIsKept(t *testing.T) {
	tl := newTeller("big")
	tr := tl.rollout(1000, func(pod int) float64 {
		if pod == 500 {
			return 60
		}
		return 1 + float64(pod)/1000
	})
	for i := range tr.Spans {
		pod, _ := tr.Spans[i].Attribute(semconv.K8SPodNameKey)
		s := &tr.Spans[i]
		switch name := pod.AsString(); {
		case s.Kind == kind.PodStart && name == "web-1-00700":
			s.Attributes = append(s.Attributes, attr.CriticalKey.Bool(true))
		case s.Kind == kind.PullImage && (name == "web-1-00100" || name == "web-1-00200" || name == "web-1-00300"):
			s.Status, s.Attributes = codes.Error, append(s.Attributes, semconv.ErrorTypeKey.String("ErrImagePull"))
		}
	}
	out := budget.New(budget.Options{MaxSpans: 200}, sizes(t)).Apply(day, []spans.Trace{tr})
	got := sent(out[0])
	for _, pod := range []string{
		"web-1-00100", "web-1-00300", // the first failure and the last
		"web-1-00700",                // the path
		"web-1-00500",                // the slowest pull
		"web-1-00000", "web-1-00999", // the first and the last
	} {
		for _, name := range []string{"Pod start ", "schedule ", "container ", "pull image "} {
			if !slices.Contains(got, name+pod) {
				t.Errorf("%s%s is not kept", name, pod)
			}
		}
	}
	if slices.Contains(got, "Pod start web-1-00200") {
		t.Error("a failure between the first and the last is kept")
	}
	kept := len(got)
	for i, s := range out[0].Sent().Spans[:2] { // the root and the step say the same
		for key, want := range map[attribute.Key]float64{
			attr.LeftOutSpansKey: float64(4002 - kept), attr.LeftOutStartsKey: float64(4002-kept) / 4, attr.LeftOutErrorsKey: 1,
			"rollspan.left_out.schedule.count": float64(4002-kept) / 4, "rollspan.left_out.schedule.p50": .1,
		} {
			if got := number(t, &s, key); math.Abs(got-want) > 1e-6 {
				t.Errorf("span %d: %s is %g, want %g", i, key, got, want)
			}
		}
		if p50 := number(t, &s, "rollspan.left_out.pull_image.p50"); p50 < 1.4 || p50 > 1.6 {
			t.Errorf("the median pull took %g s", p50)
		}
		if most := number(t, &s, "rollspan.left_out.pull_image.max"); most < 1.99 || most > 2 {
			t.Errorf("the longest pull that is left out took %g s", most)
		}
	}
	step := out[0].Sent().Spans[1]
	if len(step.Events) != 128 || number(t, &step, attr.LeftOutEventsKey) != float64(4002-kept)/4-128 {
		t.Errorf("the step took up %d events, and %g are left out", len(step.Events), number(t, &step, attr.LeftOutEventsKey))
	}
}

// TestPodThatIsTooLarge: of a pod that there is no room for the failure is kept, with what is
// above it, and the pod says how much is not there.
func TestPodThatIsTooLarge(t *testing.T) {
	tl := newTeller("crash")
	root := tl.span(kind.PodRun, trace.SpanID{}, "job", 0, 5000)
	container := tl.span(kind.Container, root.SpanID, "job", 0, 5000)
	list := []spans.Span{root, container}
	for i := range 4000 {
		list = append(list, tl.span(kind.RunContainer, container.SpanID, "job", float64(i), float64(i)+1))
	}
	list[1234].Status, list[1234].Attributes = codes.Error, []attribute.KeyValue{semconv.ErrorTypeKey.String("OOMKilled")}
	out := budget.New(budget.Options{MaxSpans: 100}, sizes(t)).Apply(day, []spans.Trace{{Spans: list}})
	sent := out[0].Sent().Spans
	if !slices.ContainsFunc(sent, func(s spans.Span) bool { return s.SpanID == list[1234].SpanID }) || len(sent) > 10 {
		t.Errorf("%d spans are sent, the failure among them or not", len(sent))
	}
	for i := range sent[:2] {
		if got := number(t, &sent[i], attr.LeftOutSpansKey); int(got) != 4002-len(sent) {
			t.Errorf("%s says that %g spans are left out, and %d are", sent[i].Name, got, 4002-len(sent))
		}
	}
}

// TestWhatComesLater: pods of which a trace that is over its budget tells later are summed up
// on a span of their own, below the step.
func TestWhatComesLater(t *testing.T) {
	tl := newTeller("late")
	b := budget.New(budget.Options{MaxSpans: 200}, sizes(t))
	tr := b.Apply(day, []spans.Trace{tl.rollout(1000, func(int) float64 { return 1 })})[0]
	step := tr.Spans[1].SpanID
	elsewhere := spans.Link{TraceID: spans.NewTraceID("node"), SpanID: spans.NewSpanID(spans.NewTraceID("node"), "root"), Attributes: []attribute.KeyValue{attr.LinkTypeKey.String("caused_by")}}
	for i := range 500 {
		stop := tl.span(kind.PodStop, step, fmt.Sprint("old-", i), 10, 20+float64(i))
		stop.Links = []spans.Link{elsewhere}
		out := b.Apply(day.Add(time.Duration(i)*10*time.Millisecond), []spans.Trace{{Late: true, Spans: []spans.Span{stop}}})
		if len(out) != 1 || len(out[0].Sent().Spans) != 0 || out[0].Selection.LeftOut != 1 {
			t.Fatalf("stop %d: %d traces", i, len(out))
		}
	}
	if !slices.Equal(b.Unsettled(), []string{"old-0"}) {
		t.Errorf("of %q something is still to be told", b.Unsettled())
	}
	if out := b.Apply(day.Add(50*time.Second), nil); len(out) != 0 {
		t.Error("it is summed up before more could come")
	}
	out := b.Apply(day.Add(70*time.Second), nil)
	if len(out) != 1 || !out[0].Late || len(out[0].Spans) != 0 || len(out[0].Sent().Spans) != 1 {
		t.Fatalf("it is not summed up: %d traces", len(out))
	}
	s := out[0].Sent().Spans[0]
	if s.Kind != kind.LeftOut || s.ParentID != step || s.TraceID != tl.trace || !s.Start.Equal(day.Add(10*time.Second)) || !s.End.Equal(day.Add(519*time.Second)) {
		t.Errorf("it is summed up as %s below %s, from %s to %s", s.Name, s.ParentID, s.Start, s.End)
	}
	for key, want := range map[attribute.Key]float64{attr.LeftOutStopsKey: 500, "rollspan.left_out.pod_stop.count": 500, "rollspan.left_out.pod_stop.max": 509} {
		if got := number(t, &s, key); got != want {
			t.Errorf("%s is %g, want %g", key, got, want)
		}
	}
	if _, has := s.Attribute(semconv.K8SPodNameKey); has || len(s.Links) != 1 {
		t.Errorf("it has the Resource %v and %d links", s.Resource, len(s.Links))
	}
	if out := b.Flush(); len(out) != 0 || len(b.Unsettled()) != 0 {
		t.Errorf("%d traces are left", len(out))
	}
}

// TestWhatIsCollectedIsBounded: what comes later is summed up early where it is too much to
// keep, and nothing of it is counted twice or not at all.
func TestWhatIsCollectedIsBounded(t *testing.T) {
	tl := newTeller("flood")
	b := budget.New(budget.Options{MaxSpans: 200}, sizes(t))
	step := b.Apply(day, []spans.Trace{tl.rollout(1000, func(int) float64 { return 1 })})[0].Spans[1].SpanID
	const stops = 20_000
	told, early := 0, 0
	take := func(out []spans.Trace) (n int) {
		for _, tr := range out {
			if len(tr.Spans) == 0 {
				told += int(number(t, &tr.Sent().Spans[0], attr.LeftOutStopsKey))
				n++
			}
		}
		return n
	}
	for i := range stops {
		early += take(b.Apply(day, []spans.Trace{{Late: true, Spans: []spans.Span{tl.span(kind.PodStop, step, fmt.Sprint("old-", i), 10, 20)}}}))
	}
	if take(b.Flush()); early != 2 || told != stops {
		t.Errorf("%d spans summed up before it was time, and all of them %d stops", early, told)
	}
}

// TestChangesShareATrace: of ten rollouts in one trace, each of which is over the budget by
// itself, each has its root and its step, the first ones many of their pods, and together they
// keep to it, though pods stop for long after each.
func TestChangesShareATrace(t *testing.T) {
	tl := newTeller("deployer")
	z := sizes(t)
	most := budget.Options{MaxSpans: budget.DefaultMaxSpans, MaxBytes: budget.DefaultMaxBytes}
	b := budget.New(most, z)
	spansOf, bytes, now := 0, 0, day
	take := func(traces []spans.Trace) {
		for _, tr := range traces {
			spansOf += len(tr.Sent().Spans)
			bytes += budget.Size(z, tr.Sent().Spans)
		}
	}
	for i := range 10 {
		out := b.Apply(now, []spans.Trace{tl.rollout(1500, func(int) float64 { return 1 })})
		if got := out[0].Sent(); len(got.Spans) < []int{1000, 500, 200, 100, 50, 2, 2, 2, 2, 2}[i] || got.Spans[0].Kind != kind.Rollout || got.Spans[1].Kind != kind.ScaleUp || number(t, got.Root(), attr.LeftOutStartsKey) < 1000 {
			t.Errorf("of rollout %d only %d spans are sent", i, len(got.Spans))
		}
		take(out)
		for j := range 1500 {
			now = now.Add(time.Second)
			take(b.Apply(now, []spans.Trace{{Late: true, Spans: []spans.Span{tl.span(kind.PodStop, out[0].Spans[1].SpanID, fmt.Sprint("old-", i, "-", j), 0, 1)}}}))
		}
	}
	take(b.Flush())
	if spansOf > most.MaxSpans || bytes > most.MaxBytes {
		t.Errorf("%d spans of %d bytes are sent", spansOf, bytes)
	}
}

// TestRootWithoutRoom: a trace that many changes share has no room for a large root any more. Of its change, whose
// pods are below the root itself, nothing is sent, and each of its spans is counted once.
func TestRootWithoutRoom(t *testing.T) {
	tl := newTeller("platform")
	z := sizes(t)
	b := budget.New(budget.Options{MaxBytes: budget.MinBytes}, z)
	for bytes := 0; bytes < budget.MinBytes*12/16; {
		root := tl.span(kind.Rollout, trace.SpanID{}, fmt.Sprint("web-", tl.n), 0, 1)
		bytes += budget.Size(z, b.Apply(day, []spans.Trace{{Spans: []spans.Span{root}}})[0].Sent().Spans)
	}
	root := tl.span(kind.Rollout, trace.SpanID{}, "db", 0, 100)
	for i := range 8 {
		root.Attributes = append(root.Attributes, attribute.String(fmt.Sprint("rollspan.note.", i), strings.Repeat("x", budget.MinBytes/16)))
	}
	list := []spans.Span{root}
	for i := range 50 {
		list = append(list, tl.pod(root.SpanID, i, 1)...)
	}
	out := b.Apply(day, []spans.Trace{{Spans: list}})
	if n := len(out[0].Sent().Spans); n != 0 || out[0].Selection.LeftOut != len(list) {
		t.Errorf("%d spans of the change are sent, and %d left out of %d", n, out[0].Selection.LeftOut, len(list))
	}
	starts, all := 0.0, 0.0
	for _, tr := range b.Flush() {
		for _, s := range tr.Sent().Spans {
			starts += number(t, &s, attr.LeftOutStartsKey)
			all += number(t, &s, attr.LeftOutSpansKey)
		}
	}
	if starts != 50 || int(all) != len(list) {
		t.Errorf("%g starts of 50 and %g spans of %d are summed up", starts, all, len(list))
	}
}

// TestLaterFailureIsKept: the first of a reason that the trace has none of yet.
func TestLaterFailureIsKept(t *testing.T) {
	tl := newTeller("late failure")
	b := budget.New(budget.Options{MaxSpans: 200}, sizes(t))
	tr := b.Apply(day, []spans.Trace{tl.rollout(1000, func(int) float64 { return 1 })})[0]
	for i, want := range []int{1, 0, 0} {
		pod := tl.span(kind.PodStart, tr.Spans[1].SpanID, fmt.Sprint("new-", i), 10, 20)
		pod.Status, pod.Attributes = codes.Error, []attribute.KeyValue{semconv.ErrorTypeKey.String("OOMKilled")}
		out := b.Apply(day, []spans.Trace{{Late: true, Spans: []spans.Span{pod}}})
		if got := len(out[0].Sent().Spans); got != want {
			t.Errorf("of failure %d %d spans are sent, want %d", i, got, want)
		}
	}
	if out := b.Flush(); len(out) != 1 || number(t, &out[0].Sent().Spans[0], attr.LeftOutErrorsKey) != 2 {
		t.Error("the other failures are not summed up")
	}
}

// TestLinksLeadToWhatIsThere: a link to a pod that was left out leads to its step, and says so;
// the span that has it does, too.
func TestLinksLeadToWhatIsThere(t *testing.T) {
	tl := newTeller("preemptor")
	b := budget.New(budget.Options{MaxSpans: 200}, sizes(t))
	tr := b.Apply(day, []spans.Trace{tl.rollout(1000, func(int) float64 { return 1 })})[0]
	left := tr.Spans[2+4*600]
	victim := newTeller("victim").span(kind.PodReplacement, trace.SpanID{}, "victim", 1, 2)
	victim.Links = []spans.Link{{TraceID: left.TraceID, SpanID: left.SpanID, Attributes: []attribute.KeyValue{attr.LinkTypeKey.String("caused_by")}}}
	victim.Attributes = []attribute.KeyValue{attr.LinkCausedBy.TraceIDKey().String(left.TraceID.String()), attr.LinkCausedBy.SpanIDKey().String(left.SpanID.String())}
	told := spans.Trace{Spans: []spans.Span{victim}}
	got := b.Apply(day, []spans.Trace{told})[0].Sent().Spans[0]
	step := tr.Spans[1].SpanID
	if v, _ := got.Attribute(attr.LinkCausedBy.SpanIDKey()); got.Links[0].SpanID != step || v.AsString() != step.String() {
		t.Errorf("the link leads to %s, and is said to lead to %s, want %s", got.Links[0].SpanID, v.AsString(), step)
	}
	if !slices.ContainsFunc(got.Links[0].Attributes, func(kv attribute.KeyValue) bool { return kv.Key == attr.LinkLeftOutKey }) {
		t.Error("the link does not say that it leads to what was left out")
	}
	if victim.Links[0].SpanID != left.SpanID || told.Spans[0].Attributes[1].Value.AsString() != left.SpanID.String() {
		t.Error("the engine's own span was written to")
	}
}

// BenchmarkApply is the cost of a span of a trace that is within its budget, and of one of a
// trace that is far over it, beside what it costs to encode the span.
func BenchmarkApply(b *testing.B) {
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "prod-eu-1"})
	if err != nil {
		b.Fatal(err)
	}
	for _, pods := range []int{20, 20_000} {
		most := budget.Options{MaxSpans: budget.DefaultMaxSpans, MaxBytes: budget.DefaultMaxBytes}
		if pods == 20 {
			most = budget.Options{} // so that it can come as often as it likes
		}
		of := budget.New(most, encoder.Sizes())
		tr := newTeller("benchmark").rollout(pods, func(pod int) float64 { return float64(pod%100) / 10 })
		each := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(tr.Spans)), "ns/span")
		}
		b.Run(fmt.Sprintf("pods=%d/apply", pods), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				of.Apply(day, []spans.Trace{tr})
			}
			each(b)
		})
		b.Run(fmt.Sprintf("pods=%d/encode", pods), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encoder.Pack([]spans.Trace{tr}); err != nil {
					b.Fatal(err)
				}
			}
			each(b)
		})
	}
}
