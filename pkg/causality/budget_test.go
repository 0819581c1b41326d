package causality_test

import (
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/budget"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

func budgetEncoder(t testing.TB) *otlp.Encoder {
	t.Helper()
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "prod-eu-1", Version: "v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	return encoder
}

func intOf(s *spans.Span, key attribute.Key) int {
	v, _ := s.Attribute(key)
	return int(v.AsInt64())
}

// overBudget are spans that are sent of the traces of recordings if these may have few spans,
// and the last one of each comes later than the others, with more links than others can take.
func overBudget(t *testing.T) (out []spans.Span) {
	for _, bytes := range []int{24_000, 100_000, 300_000} {
		for _, name := range recordings(t) {
			b := budget.New(budget.Options{MaxSpans: bytes / 4000, MaxBytes: bytes}, budgetEncoder(t).Sizes())
			var told []spans.Trace
			for _, tr := range replayWith(watching, load(t, name)) {
				n := len(tr.Spans) - 1
				for i := range 200 {
					tr.Spans[n].Links = append(tr.Spans[n].Links, spans.Link{
						TraceID: spans.NewTraceID(fmt.Sprint(i)), Attributes: []attribute.KeyValue{attr.LinkTypeKey.String(string(attr.LinkCausedBy))},
					})
				}
				told = append(told, b.Apply(day, []spans.Trace{{Late: tr.Late, Spans: tr.Spans[:n:n]}, {Late: true, Spans: tr.Spans[n:]}})...)
			}
			for _, tr := range append(told, b.Flush()...) {
				out = append(out, tr.Sent().Spans...)
			}
		}
	}
	return out
}

// TestTempoSizesAreTold: what is told of the size of a trace without encoding it is no less
// than what Tempo counts, and at most a tenth more.
func TestTempoSizesAreTold(t *testing.T) {
	encoder := budgetEncoder(t)
	told, counted := 0, 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		for _, tr := range replayWith(watching, obs) {
			n := budget.Size(encoder.Sizes(), tr.Spans)
			if as := tempoBytes(encoder, tr); n < as {
				t.Errorf("%s takes %d bytes, and was said to take %d", tr.Spans[0].Name, as, n)
			} else {
				told, counted = told+n, counted+as
			}
		}
	})
	if counted == 0 || told*10 > counted*11 {
		t.Errorf("all traces take %d bytes, and were said to take %d", counted, told)
	}
	t.Logf("told %d, counted %d", told, counted)
}

// TestTenThousandPods: a rollout of 10,000 pods is sent within what Tempo takes by default and
// Jaeger shows, however it is cut into requests, and says how many pods are not shown.
func TestTenThousandPods(t *testing.T) {
	const pods = 10_000
	encoder := budgetEncoder(t)
	b := budget.New(budget.Options{MaxBytes: budget.DefaultMaxBytes, MaxSpans: budget.DefaultMaxSpans}, encoder.Sizes())
	var all, sent []spans.Trace
	engine := newEngine(causality.Options{})
	take := func(now time.Time, traces []spans.Trace) {
		for _, tr := range b.Apply(now, traces) {
			all, sent = append(all, tr), append(sent, tr.Sent())
		}
	}
	var now time.Time
	for _, o := range bigRollout(pods) {
		now = o.Time
		take(now, engine.Observe(o))
	}
	take(now, engine.Flush())
	take(now, b.Flush())
	if len(all) != 1 {
		t.Fatalf("%d traces", len(all))
	}
	if n := len(all[0].Spans); n < 6*pods {
		t.Fatalf("the trace has only %d spans", n)
	}
	root := sent[0].Root()
	started := 0
	for _, s := range sent[0].Spans {
		if s.Kind == kind.PodStart {
			started++
		}
	}
	if left := intOf(root, attr.LeftOutStartsKey); started+left != pods || started < 2 {
		t.Errorf("%d pods are shown, and %d are said to be left out", started, left)
	}
	if left := intOf(root, attr.LeftOutSpansKey); left+len(sent[0].Spans) != len(all[0].Spans) {
		t.Errorf("%d of %d spans are sent, and %d are said to be left out", len(sent[0].Spans), len(all[0].Spans), left)
	}
	if n := len(sent[0].Spans); n > budget.DefaultMaxSpans {
		t.Errorf("%d spans are sent", n)
	}
	// As the exporter cuts them, and as it does where the collector takes little.
	for _, batch := range []int{len(sent[0].Spans), 512, 64} {
		size := 0
		for from := 0; from < len(sent[0].Spans); from += batch {
			size += tempoBytes(encoder, spans.Trace{Late: true, Spans: sent[0].Spans[from:min(from+batch, len(sent[0].Spans))]})
		}
		if t.Logf("%d spans in requests of %d: %d bytes", len(sent[0].Spans), batch, size); size > 5_000_000 {
			t.Errorf("in requests of %d spans Tempo counts %d bytes", batch, size)
		}
	}
	var took time.Duration
	shown := map[string]bool{}
	for _, s := range sent[0].Spans {
		shown[s.SpanID.String()] = true
	}
	for _, s := range all[0].Spans {
		if s.Kind == kind.PodStart && !shown[s.SpanID.String()] {
			took += s.End.Sub(s.Start)
		}
	}
	total := 0.0
	for _, kv := range root.Attributes {
		if _, statistic, ok := attr.LeftOutOf(kv.Key); ok && statistic == "total" {
			total += kv.Value.AsFloat64()
		}
	}
	if diff := total - took.Seconds(); diff > 1e-3 || diff < -1e-3 {
		t.Errorf("the pods that are left out took %s, and the phases add up to %g s", took, total)
	}
}
