package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/replaytest"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// scrape is what the collectors' endpoint answers to who takes OpenMetrics.
func scrape(t *testing.T, collectors ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectors...)
	request := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// wantLines checks the samples whose line begins like that, in order.
func wantLines(t *testing.T, scraped, prefix string, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(scraped) {
		if strings.HasPrefix(line, prefix) {
			got = append(got, strings.TrimSpace(exemplarLabels.ReplaceAllString(line, `{$2,$1}`)))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("samples %s:\n  %s\nwant\n  %s", prefix, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// exemplarLabels come in any order; tests have the shorter first.
var exemplarLabels = regexp.MustCompile(`\{(trace_id="[0-9a-f]+"),(span_id="[0-9a-f]+")\}`)

var testEnd = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// root is the root of a rollout in namespace shop that took so long.
func root(took time.Duration, attrs ...attribute.KeyValue) *spans.Span {
	s := &spans.Span{
		TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: 2}, Name: "Deployment rollout",
		Start: testEnd.Add(-took), End: testEnd,
		Attributes: attrs, // the first of a key wins
	}
	s.Attributes = append(s.Attributes,
		attribute.String("k8s.namespace.name", "shop"),
		attribute.String("k8s.deployment.name", "web"),
		attribute.String("rollspan.change", "rollout"),
		attribute.String("rollspan.outcome", "complete"),
	)
	return s
}

func failed(reason string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("rollspan.outcome", "failed"), attribute.String("error.type", reason)}
}

func finish(c *Changes, roots ...*spans.Span) {
	for _, r := range roots {
		c.Finished(spans.Trace{Spans: []spans.Span{*r}})
	}
}

func TestDurationPhasesAndFailures(t *testing.T) {
	c := NewChanges(Options{})
	finish(c,
		root(7*time.Second,
			attribute.Float64("rollspan.critical_path.pull_image", 4.5),
			attribute.Float64("rollspan.critical_path.schedule", 2.5),
			attribute.StringSlice("rollspan.critical_path.segments", []string{"4.5s pull image"})),
		root(2*time.Hour, failed("ImagePullBackOff")...),
	)
	got := scrape(t, c)
	wantLines(t, got, "rollspan_change_duration_seconds_count",
		`rollspan_change_duration_seconds_count{change="rollout",kind="Deployment",namespace="shop",outcome="complete"} 1`,
		`rollspan_change_duration_seconds_count{change="rollout",kind="Deployment",namespace="shop",outcome="failed"} 1`)
	const series = `{change="rollout",kind="Deployment",namespace="shop",outcome="complete",le=`
	wantLines(t, got, `rollspan_change_duration_seconds_bucket`+series+`"5.0"`,
		`rollspan_change_duration_seconds_bucket`+series+`"5.0"} 0`)
	wantLines(t, got, `rollspan_change_duration_seconds_bucket`+series+`"10.0"`,
		`rollspan_change_duration_seconds_bucket`+series+`"10.0"} 1`)
	wantLines(t, got, "rollspan_change_phase_duration_seconds_sum",
		`rollspan_change_phase_duration_seconds_sum{change="rollout",kind="Deployment",namespace="shop",phase="pull_image"} 4.5`,
		`rollspan_change_phase_duration_seconds_sum{change="rollout",kind="Deployment",namespace="shop",phase="schedule"} 2.5`)
	wantLines(t, got, "rollspan_change_failures_total",
		`rollspan_change_failures_total{change="rollout",kind="Deployment",namespace="shop",reason="ImagePullBackOff"} 1.0`)
	wantLines(t, got, "rollspan_metrics_overflow_total", "rollspan_metrics_overflow_total 0.0")
}

// What is no change that is over has no duration.
func TestPassesOver(t *testing.T) {
	c := NewChanges(Options{})
	child := root(time.Second)
	child.Attributes = child.Attributes[:2]
	finish(c, child,
		root(time.Second, attribute.String("rollspan.change", "activity")),
		root(time.Second, attribute.String("rollspan.outcome", "open")))
	c.Finished(spans.Trace{})
	wantLines(t, scrape(t, c), "rollspan_change_")
}

func TestExemplarsAreWhatTheCollectorHas(t *testing.T) {
	c := NewChanges(Options{})
	c.now = func() time.Time { return testEnd.Add(6 * time.Second) }
	slow := root(2*time.Hour, failed("ImagePullBackOff")...)
	quick, edge := root(7*time.Second), root(10*time.Second)
	quick.TraceID[0], edge.TraceID[0] = 0xa, 0xb
	child := &spans.Span{TraceID: quick.TraceID, ParentID: quick.SpanID}
	finish(c, quick, slow, edge)
	if got := scrape(t, c); strings.Contains(got, "trace_id") {
		t.Fatalf("exemplars of what nobody has:\n%s", got)
	}

	c.Acknowledged([]*spans.Span{quick, child})
	c.Acknowledged([]*spans.Span{slow})
	got := scrape(t, c)
	const at = "1.795262406e+09"
	wantLines(t, got, `rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="complete",le="10.0"`,
		`rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="complete",le="10.0"} 2`+
			` # {span_id="0000000000000002",trace_id="0a000000000000000000000000000001"} 7.0 `+at)
	wantLines(t, got, `rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="failed",le="+Inf"`,
		`rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="failed",le="+Inf"} 1`+
			` # {span_id="0000000000000002",trace_id="00000000000000000000000000000001"} 7200.0 `+at)
	wantLines(t, got, "rollspan_change_failures_total",
		`rollspan_change_failures_total{change="rollout",kind="Deployment",namespace="shop",reason="ImagePullBackOff"} 1.0`+
			` # {span_id="0000000000000002",trace_id="00000000000000000000000000000001"} 1.0 `+at)
	if n := strings.Count(got, "trace_id"); n != 3 {
		t.Errorf("%d exemplars, want 3:\n%s", n, got)
	}
	wantLines(t, got, "rollspan_export_lag_seconds_sum", "rollspan_export_lag_seconds_sum 12.0")
	wantLines(t, got, "rollspan_export_lag_seconds_count", "rollspan_export_lag_seconds_count 2")

	// A bucket's upper bound belongs to it, so this is the same bucket.
	c.Acknowledged([]*spans.Span{edge})
	wantLines(t, scrape(t, c), `rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="complete",le="10.0"`,
		`rollspan_change_duration_seconds_bucket{change="rollout",kind="Deployment",namespace="shop",outcome="complete",le="10.0"} 2`+
			` # {span_id="0000000000000002",trace_id="0b000000000000000000000000000001"} 10.0 `+at)
}

// However much there is, the number of series is bounded, and nothing is lost.
func TestCardinalityIsBounded(t *testing.T) {
	c := NewChanges(Options{WorkloadName: true})
	const many = maxSets + 500
	for i := range many {
		// What was there before stays as it was.
		finish(c, root(time.Second, attribute.String("k8s.deployment.name", fmt.Sprint("web-", i))),
			root(time.Second, attribute.String("k8s.deployment.name", "web-0")))
	}
	got := scrape(t, c)
	if n := strings.Count(got, "rollspan_change_duration_seconds_count{"); n != maxSets+1 {
		t.Errorf("%d series, want %d", n, maxSets+1)
	}
	labels := func(namespace, workload string) string {
		return fmt.Sprintf(`rollspan_change_duration_seconds_count{change="rollout",kind="Deployment",namespace=%q,outcome="complete",workload=%q} `, namespace, workload)
	}
	wantLines(t, got, labels("_other", "_other"), labels("_other", "_other")+"500")
	wantLines(t, got, labels("shop", "web-0"), labels("shop", "web-0")+fmt.Sprint(many+1))
	wantLines(t, got, "rollspan_metrics_overflow_total", "rollspan_metrics_overflow_total 500.0")
}

// A dump or a recording may hold what no API server would take.
func TestNamesThatAreNoText(t *testing.T) {
	c := NewChanges(Options{WorkloadName: true})
	finish(c, root(time.Second, attribute.String("k8s.deployment.name", "web-\xff")))
	const series = `rollspan_change_duration_seconds_count{change="rollout",kind="Deployment",namespace="shop",outcome="complete",workload="web-` + "\uFFFD" + `"} `
	wantLines(t, scrape(t, c), series, series+"1")
}

func TestReasonsAreBounded(t *testing.T) {
	c := NewChanges(Options{})
	for i := range maxReasons {
		finish(c, root(time.Second, failed(fmt.Sprint("Reason", i))...))
	}
	for _, reason := range []string{"OneTooMany", "pull of image x: denied", strings.Repeat("x", 65), "\xff\xfe"} {
		finish(c, root(time.Second, failed(reason)...))
	}
	finish(c, root(time.Second, failed("Reason0")...))
	got := scrape(t, c)
	if n := strings.Count(got, "rollspan_change_failures_total{"); n != maxReasons+1 {
		t.Errorf("%d reasons, want %d", n, maxReasons+1)
	}
	const series = `rollspan_change_failures_total{change="rollout",kind="Deployment",namespace="shop",reason=`
	wantLines(t, got, series+`"_other"`, series+`"_other"} 4.0`)
	wantLines(t, got, series+`"Reason0"`, series+`"Reason0"} 2.0`)
}

func TestPhasesAreBounded(t *testing.T) {
	c := NewChanges(Options{})
	for i := range maxPhases + 10 {
		finish(c, root(time.Second, attribute.Float64(string(attr.Phase(fmt.Sprint("phase_", i)).Key()), 1)))
	}
	if n := strings.Count(scrape(t, c), "rollspan_change_phase_duration_seconds_count{"); n != maxPhases+1 {
		t.Errorf("%d phases, want %d", n, maxPhases+1)
	}
}

func TestSubjects(t *testing.T) {
	for _, test := range []struct {
		attributes           map[string]string
		kind, workload, name string
	}{
		{map[string]string{"k8s.deployment.name": "web", "k8s.replicaset.name": "web-1", "k8s.pod.name": "web-1-x", "k8s.node.name": "n"}, "Deployment", "web", "web"},
		{map[string]string{"k8s.statefulset.name": "db", "k8s.pod.name": "db-0"}, "StatefulSet", "db", "db"},
		{map[string]string{"k8s.job.name": "backup-291", "k8s.cronjob.name": "backup"}, "Job", "backup", "backup-291"},
		{map[string]string{"k8s.job.name": "migrate-7"}, "Job", "", "migrate-7"},
		{map[string]string{"k8s.cronjob.name": "backup"}, "CronJob", "backup", "backup"},
		{map[string]string{"k8s.pod.name": "build-1", "k8s.node.name": "n"}, "Pod", "", "build-1"},
		{map[string]string{"k8s.replicationcontroller.name": "web-7"}, "ReplicationController", "", "web-7"},
		{map[string]string{"k8s.node.name": "n"}, "Node", "n", "n"},
		{map[string]string{"rollspan.object.kind": "Rollout", "rollspan.object.name": "web", "k8s.replicaset.name": "web-1"}, "Rollout", "web", "web"},
		{map[string]string{"rollspan.object.kind": "Shop"}, "_other", "", ""},
	} {
		s := &spans.Span{}
		for k, v := range test.attributes {
			s.Attributes = append(s.Attributes, attribute.String(k, v))
		}
		if kind, workload, name := subject(s); kind != test.kind || workload != test.workload || name != test.name {
			t.Errorf("%v: %s %q %q, want %s %q %q", test.attributes, kind, workload, name, test.kind, test.workload, test.name)
		}
	}
}

// What a live cluster did is measured as what it was: every change of every
// recording is counted, as a kind there is, and if it is an error for a reason.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("../../test/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	c := NewChanges(Options{})
	changes, errs := 0, 0
	var walked float64 // seconds of the changes that have a critical path
	for _, file := range files {
		for _, tr := range replay(t, file) {
			c.Finished(tr)
			r := tr.Root()
			kind := attr.Change(r.Text(attr.ChangeKey))
			if tr.Late || kind == attr.ChangeActivity || attr.Outcome(r.Text(attr.OutcomeKey)) == attr.OutcomeOpen {
				continue
			}
			if kind == "" {
				t.Errorf("%s: %s is no change", file, r.Name)
			}
			changes++
			if _, ok := r.Attribute("rollspan.critical_path.segments"); ok {
				walked += r.End.Sub(r.Start).Seconds()
			}
			if r.Text("error.type") != "" {
				errs++
			}
		}
	}
	got := scrape(t, c)
	if n := total(t, c, "rollspan_change_duration_seconds"); n != float64(changes) || changes < len(files) {
		t.Errorf("%v changes are counted, want %d", n, changes)
	}
	if n := total(t, c, "rollspan_change_failures_total"); n != float64(errs) || errs == 0 {
		t.Errorf("%v failures are counted, want %d", n, errs)
	}
	if n := seconds(t, c, "rollspan_change_phase_duration_seconds"); n < walked-1e-3 || n > walked+1e-3 || n == 0 {
		t.Errorf("phases took %v s, and the changes that have any %v s", n, walked)
	}
	if strings.Contains(got, other+`"`) {
		t.Errorf("something is not known:\n%s", got)
	}
	const badImage = `rollspan_change_failures_total{change="rollout",kind="Deployment",namespace="badimage",reason="ImagePullBackOff"} `
	wantLines(t, got, badImage, badImage+"1.0")
}

// total adds up the series of a metric: a histogram's counts, a counter's values.
func total(t *testing.T, c prometheus.Collector, name string) (sum float64) {
	t.Helper()
	for _, m := range gather(t, c, name) {
		sum += float64(m.GetHistogram().GetSampleCount()) + m.GetCounter().GetValue()
	}
	return sum
}

// seconds adds up the sums of a histogram.
func seconds(t *testing.T, c prometheus.Collector, name string) (sum float64) {
	t.Helper()
	for _, m := range gather(t, c, name) {
		sum += m.GetHistogram().GetSampleSum()
	}
	return sum
}

func gather(t *testing.T, c prometheus.Collector, name string) []*dto.Metric {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func replay(t *testing.T, file string) []spans.Trace {
	t.Helper()
	return slices.Collect(replaytest.Traces(t, file, causality.Options{}))
}

// The engine, the exporter and Prometheus come from goroutines of their own.
func TestConcurrentUse(t *testing.T) {
	c := NewChanges(Options{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	const n = 200
	acknowledge := make(chan *spans.Span, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(acknowledge)
		for i := range n {
			r := root(time.Duration(i)*time.Second, failed("BackoffLimitExceeded")...)
			finish(c, r)
			acknowledge <- r
		}
	})
	wg.Go(func() {
		for r := range acknowledge {
			c.Acknowledged([]*spans.Span{r})
		}
	})
	wg.Go(func() {
		for range n {
			if _, err := registry.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got := total(t, c, "rollspan_change_failures_total"); got != n {
		t.Errorf("%v failures, want %d", got, n)
	}
}
