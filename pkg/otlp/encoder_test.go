package otlp

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/rollspan/rollspan/pkg/otlp/internal/otlptest"
	"github.com/rollspan/rollspan/pkg/spans"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func testEncoder(t testing.TB, o Options) *Encoder {
	t.Helper()
	e, err := NewEncoder(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOTLPJSONGolden(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
	var out bytes.Buffer
	w := NewJSONWriter(&out, testEncoder(t, Options{ClusterName: "c1", ClusterUID: "u1", Version: "1.2.3"}))
	if err := w.Write([]spans.Trace{otlptest.Rollout()}); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/rollout.otlp.jsonl"
	if *rewrite {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s\n(go test -rewrite rewrites it)", out.Bytes(), want)
	}
}

func TestOTLPJSONRoundTrip(t *testing.T) {
	var out bytes.Buffer
	w := NewJSONWriter(&out, testEncoder(t, Options{}))
	if err := w.Write(nil); err != nil || out.Len() != 0 {
		t.Fatalf("nothing to write gave %q, %v", out.String(), err)
	}
	big := spans.Trace{}
	for range 3 * lineSpans {
		big.Spans = append(big.Spans, otlptest.Rollout().Spans[1])
	}
	if err := w.Write([]spans.Trace{big}); err != nil {
		t.Fatal(err)
	}
	spans := 0
	for line := range strings.Lines(out.String()) {
		if len(line) > 1<<20 {
			t.Errorf("a line of %d bytes: a Collector cuts it", len(line))
		}
		traces, err := (&ptrace.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalTraces([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		spans += traces.SpanCount()
	}
	if spans != len(big.Spans) {
		t.Errorf("%d spans came back of %d", spans, len(big.Spans))
	}
}

func TestEncodeNames(t *testing.T) {
	rollout := otlptest.Rollout()
	rollout.Spans[0].Target = "shop/web"
	for _, test := range []struct {
		options   Options
		root, pod string
	}{
		{Options{}, "Deployment rollout shop/web", "Pod start"},
		{Options{SpanNames: SpanNamesObject}, "Deployment rollout shop/web", "Pod start"},
		{Options{SpanNames: SpanNamesKind}, "Deployment rollout", "Pod start"},
		{Options{ObjectNames: true}, "Deployment rollout shop/web", "Pod start web-6757-x2x"},
		{Options{SpanNames: SpanNamesKind, ObjectNames: true}, "Deployment rollout web", "Pod start web-6757-x2x"},
	} {
		got := testEncoder(t, test.options).Encode([]spans.Trace{rollout})
		root, pod := got[0].ScopeSpans[0].Spans[0].Name, got[1].ScopeSpans[0].Spans[0].Name
		if root != test.root || pod != test.pod {
			t.Errorf("%+v: %q and %q, want %q and %q", test.options, root, pod, test.root, test.pod)
		}
	}
}

// A request has one Resource for each service and object, wherever in memory that is, and
// one that is too large is cut.
func TestEncodeResources(t *testing.T) {
	encoder := testEncoder(t, Options{})
	about := func(service string, object ...attribute.KeyValue) spans.Span {
		s := otlptest.Rollout().Spans[1]
		s.Service, s.Resource = service, object
		return s
	}
	web, api := attribute.String("k8s.pod.name", "web"), attribute.String("k8s.pod.name", "api")
	got := encoder.Encode([]spans.Trace{
		{Spans: []spans.Span{about("kubelet", web), about("kubelet", api), about("scheduler", web), about("kubelet")}},
		{Spans: []spans.Span{about("kubelet", web), about("kubelet")}},
	})
	var list []string
	for _, rs := range got {
		text := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			text += kv.GetValue().GetStringValue() + " "
		}
		list = append(list, fmt.Sprint(text, len(rs.GetScopeSpans()[0].GetSpans())))
	}
	if want := []string{"kubelet web 2", "kubelet api 1", "scheduler web 1", "kubelet 2"}; !slices.Equal(list, want) {
		t.Errorf("got %q, want %q", list, want)
	}

	var huge []attribute.KeyValue
	for i := range 3 * maxResourceBytes / spans.MaxText {
		huge = append(huge, attribute.String(fmt.Sprint("k", i), strings.Repeat("v", spans.MaxText)))
	}
	traces := []spans.Trace{{Spans: []spans.Span{about("kubelet", huge...)}}}
	r := encoder.Encode(traces)[0].GetResource()
	n := len(r.GetAttributes())
	if size := proto.Size(r); size > maxResourceBytes || size < maxResourceBytes-2*spans.MaxText || n-1+int(r.GetDroppedAttributesCount()) != len(huge) {
		t.Errorf("%d bytes, %d attributes and %d dropped", size, n, r.GetDroppedAttributesCount())
	}
	items := packed(t, encoder, traces)
	wire, err := proto.Marshal(encoder.Request([]*Packed{&items[0]})[0])
	if err != nil {
		t.Fatal(err)
	}
	var sent tracepb.ResourceSpans
	if err := proto.Unmarshal(wire, &sent); err != nil || !proto.Equal(sent.GetResource(), r) {
		t.Errorf("another Resource is sent (%v)", err)
	}
}

func TestEncodeServicesAndFlags(t *testing.T) {
	joined := otlptest.Rollout()
	joined.Spans[0].ParentID = trace.SpanID{9}
	late := spans.Trace{Late: true, Spans: []spans.Span{otlptest.Rollout().Spans[1]}}
	got := testEncoder(t, Options{ObjectNames: true}).Encode([]spans.Trace{joined, late})

	if len(got) != 2 {
		t.Fatalf("%d resources, want one per service", len(got))
	}
	for i, want := range []struct {
		service string
		names   []string
		flags   []uint32
	}{
		{"deployment-controller", []string{"Deployment rollout web"}, []uint32{0x301}},
		{"kubelet", []string{"Pod start web-6757-x2x", "Pod start web-6757-x2x"}, []uint32{0x101, 0x101}},
	} {
		if s := got[i].Resource.Attributes[0]; s.Key != "service.name" || s.Value.GetStringValue() != want.service {
			t.Errorf("resource %d: %v, want service.name %s", i, s, want.service)
		}
		for j, s := range got[i].ScopeSpans[0].Spans {
			if s.Name != want.names[j] || s.Flags != want.flags[j] {
				t.Errorf("%s: span %q flags %#x, want %q %#x", want.service, s.Name, s.Flags, want.names[j], want.flags[j])
			}
		}
	}
	if links := got[1].ScopeSpans[0].Spans[0].Links; links[0].Flags != 0x101 {
		t.Errorf("a link within the trace has flags %#x", links[0].Flags)
	}
	if links := got[0].ScopeSpans[0].Spans[0].Links; links[0].Flags != 0 {
		t.Errorf("a link to another trace has flags %#x", links[0].Flags)
	}

	one := testEncoder(t, Options{ServiceName: "rollouts"}).Encode([]spans.Trace{joined, late})
	if len(one) != 2 || one[0].Resource.Attributes[0].Value.GetStringValue() != "rollouts" {
		t.Errorf("a constant service name gave %v", one)
	}
}

// With the workload's name as service.name the component is an attribute.
func TestEncodeServicesOfWorkloads(t *testing.T) {
	trace := otlptest.Rollout()
	trace.Spans[0].App = &spans.App{Name: "shop", Namespace: "shops", Version: "2"}
	trace.Spans[1].App = &spans.App{Name: "shop"}
	node := trace.Spans[1]
	node.App = nil
	trace.Spans = append(trace.Spans, node)
	encoder := testEncoder(t, Options{ServiceNameFrom: ServiceNameFromWorkload})
	var got []string
	for i, rs := range encoder.Encode([]spans.Trace{trace}) {
		text := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if strings.HasPrefix(kv.GetKey(), "service.") {
				text += kv.GetKey() + "=" + kv.GetValue().GetStringValue() + " "
			}
		}
		attrs := rs.GetScopeSpans()[0].GetSpans()[0].GetAttributes()
		if last := attrs[len(attrs)-1]; last.GetKey() != "rollspan.component" || last.GetValue().GetStringValue() != trace.Spans[i].Service {
			t.Errorf("the last attribute is %v", last)
		}
		got = append(got, text)
	}
	if want := []string{"service.name=shop service.namespace=shops service.version=2 ", "service.name=shop ", "service.name=kubelet "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := len(trace.Spans[0].Attributes); n != len(otlptest.Rollout().Spans[0].Attributes) {
		t.Errorf("the span was changed: it has %d attributes", n)
	}
}

func TestEncoderResource(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "rollspan")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES",
		"service.instance.id=x,k8s.pod.name=rollspan-0,container.id=own,rollspan.object.name=own,k8s.cluster.name=env,k8s.cluster.uid=u,team=a%2Cb")
	got := testEncoder(t, Options{ClusterName: "flag"}).Encode([]spans.Trace{otlptest.Rollout()})[0].Resource.Attributes
	want := []string{"service.name=deployment-controller", "k8s.deployment.name=web", "k8s.cluster.name=flag", "k8s.cluster.uid=u", "team=a,b"}
	var have []string
	for _, kv := range got {
		have = append(have, kv.Key+"="+kv.Value.GetStringValue())
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", have, want)
	}

	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team")
	if _, err := NewEncoder(Options{}); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES") {
		t.Errorf("a malformed variable gave %v", err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"plain":                              "plain",
		"bad\xff\xfebytes":                   "bad\uFFFDbytes",
		strings.Repeat("a", spans.MaxText):   strings.Repeat("a", spans.MaxText),
		strings.Repeat("a", spans.MaxText+1): strings.Repeat("a", spans.MaxText-3) + "…",
		strings.Repeat("a", spans.MaxText-4) + "ééé": strings.Repeat("a", spans.MaxText-4) + "…",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean of %d bytes: got %d bytes ending %q, want %d ending %q",
				len(in), len(got), tail(got), len(want), tail(want))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-12):] }

func TestUnixNano(t *testing.T) {
	for _, c := range []struct {
		in   time.Time
		want uint64
	}{
		{time.Time{}, 0},
		{time.Unix(-1, 0), 0},
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 0},
		{otlptest.Start, 1772353877749506812},
	} {
		if got := unixNano(c.in); got != c.want {
			t.Errorf("%v: %d, want %d", c.in, got, c.want)
		}
	}
}

// Strings in a span come from whoever may write objects to the cluster. Any
// of them must give something that a Collector can read.
func TestEncodeAnything(t *testing.T) {
	text := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 9), func(b []byte) string { return strings.Repeat(string(b), 2*spans.MaxText/len(b)) }),
	)
	scalar := rapid.Custom(func(t *rapid.T) attribute.Value {
		switch rapid.IntRange(0, 9).Draw(t, "type") {
		case 0:
			return attribute.BoolValue(rapid.Bool().Draw(t, "bool"))
		case 1:
			return attribute.Int64Value(rapid.Int64().Draw(t, "int"))
		case 2:
			return attribute.Float64Value(rapid.SampledFrom([]float64{0, -1.5, math.NaN(), math.Inf(1), math.MaxFloat64}).Draw(t, "float"))
		case 3:
			return attribute.StringSliceValue(rapid.SliceOfN(text, 0, 3).Draw(t, "strings"))
		case 4:
			return attribute.BoolSliceValue([]bool{true, false})
		case 5:
			return attribute.Int64SliceValue(make([]int64, rapid.SampledFrom([]int{0, 1, maxList + 1}).Draw(t, "n")))
		case 6:
			return attribute.Float64SliceValue([]float64{math.NaN()})
		case 7:
			return attribute.ByteSliceValue([]byte(text.Draw(t, "bytes")))
		case 8:
			return attribute.Value{}
		default:
			return attribute.StringValue(text.Draw(t, "string"))
		}
	})
	value := rapid.Custom(func(t *rapid.T) attribute.Value {
		v := scalar.Draw(t, "value")
		for range rapid.SampledFrom([]int{0, 0, 0, 1, maxDepth + 2}).Draw(t, "depth") {
			if rapid.Bool().Draw(t, "map") {
				v = attribute.MapValue(attribute.KeyValue{Key: attribute.Key(text.Draw(t, "key")), Value: v})
			} else {
				v = attribute.SliceValue(v, scalar.Draw(t, "sibling"))
			}
		}
		return v
	})
	attrs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attribute.KeyValue {
		return attribute.KeyValue{Key: attribute.Key(text.Draw(t, "key")), Value: value.Draw(t, "value")}
	}), 0, 3)
	encoder := testEncoder(t, Options{ObjectNames: true})

	rapid.Check(t, func(t *rapid.T) {
		s := otlptest.Rollout().Spans[0]
		s.Name, s.Service, s.Subject = text.Draw(t, "name"), text.Draw(t, "service"), text.Draw(t, "subject")
		s.Message = text.Draw(t, "message")
		s.Attributes, s.Resource = attrs.Draw(t, "attributes"), attrs.Draw(t, "resource")
		s.Events = make([]spans.Event, rapid.SampledFrom([]int{0, 1, maxList + 1}).Draw(t, "events"))
		for i := range s.Events[:min(1, len(s.Events))] {
			s.Events[i] = spans.Event{Name: text.Draw(t, "event"), Attributes: attrs.Draw(t, "event attributes")}
		}
		traces := []spans.Trace{{Spans: []spans.Span{s}}}

		encoded := encoder.Encode(traces)
		wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: encoded})
		if err != nil {
			t.Fatal(err)
		}
		again, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: encoder.Encode(traces)})
		if err != nil || !bytes.Equal(wire, again) {
			t.Fatalf("encoding twice gave other bytes (%v)", err)
		}
		if got := encoded[0].ScopeSpans[0].Spans[0]; len(got.Events) > maxList || len(got.Name) > spans.MaxText || !utf8.ValidString(got.Name) {
			t.Fatalf("%d events, a name of %d bytes", len(got.Events), len(got.Name))
		}

		var line bytes.Buffer
		if err := NewJSONWriter(&line, encoder).Write(traces); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(line.String(), "\n"); n != 1 {
			t.Fatalf("%d line ends in one line", n)
		}
		back, err := new(ptrace.JSONUnmarshaler).UnmarshalTraces(line.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		span := back.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		if span.TraceID() != pcommon.TraceID(s.TraceID) || span.Name() != encoded[0].ScopeSpans[0].Spans[0].Name {
			t.Fatalf("came back as %v %q", span.TraceID(), span.Name())
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	encoder := testEncoder(b, Options{})
	traces := []spans.Trace{otlptest.Rollout()}
	b.ReportAllocs()
	for b.Loop() {
		encoder.Encode(traces)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(traces[0].Spans)), "ns/span")
}
