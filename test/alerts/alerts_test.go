package alerts

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/test/controlplane"
)

const (
	files = "../../deploy/helm/rollspan/files"
	rules = files + "/alerts.yaml"
)

// served are the metrics that run serves, with their labels, as `rollspan run` registers them.
func served(t *testing.T) map[string][]string {
	t.Helper()
	live, err := watcher.NewLive(watcher.LiveOptions{Config: &rest.Config{Host: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	named := metrics.Options{WorkloadName: true}
	all := append(append(live.Collectors(), itself(&wellbeing{})...), metrics.NewChanges(named), metrics.NewAlarms(named, nil),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		for _, c := range all {
			c.Describe(descs)
		}
	}()
	described := regexp.MustCompile(`fqName: "(\w+)".*?constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)
	word := regexp.MustCompile(`(\w+)(?:="[^"]*")?`)
	found := map[string][]string{}
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		labels := []string{"job", "instance"} // which Prometheus adds
		for _, label := range word.FindAllStringSubmatch(m[2]+" "+m[3], -1) {
			labels = append(labels, label[1])
		}
		found[m[1]] = labels
	}
	for _, name := range []string{"rollspan_leading", "rollspan_watch_failures_total", "rollspan_readable_ratio"} {
		found[name] = append(found[name], "namespace") // that of its pods, as it has no other
	}
	if len(found) < 80 {
		t.Fatalf("found only %d metrics", len(found))
	}
	return found
}

// wrong says what of the names in an expression is not served; empty if all is.
func wrong(served map[string][]string, names []Name) (all []string) {
	for _, n := range names {
		labels, ok := served[n.Metric]
		if histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(n.Metric, ""); !ok && served[histogram] != nil {
			labels, ok = served[histogram], true
			if strings.HasSuffix(n.Metric, "_bucket") {
				labels = append(slices.Clone(labels), "le")
			}
		}
		if !ok {
			all = append(all, fmt.Sprintf("there is no metric %q", n.Metric))
			continue
		}
		for _, l := range n.Labels {
			if !slices.Contains(labels, l) {
				all = append(all, fmt.Sprintf("%s has no label %q, but %q", n.Metric, l, labels))
			}
		}
	}
	return all
}

// dashboard is what of Grafana's JSON has queries.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		Title, Type string
		Targets     []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

// TestDashboardsAreGrafanas has the types of Grafana's own schema read each dashboard, strictly.
func TestDashboardsAreGrafanas(t *testing.T) {
	bin, err := controlplane.Grafana.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	read := func(paths ...string) string {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "grafana"), paths...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	paths := dashboards(t)
	if wrong := read(paths...); wrong != "" {
		t.Error(wrong)
	}
	// Some that are wrong, so that it is known to be found.
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][3]string{
		{`"legendFormat":`, `"legendFromat":`, "unexpected field 'legendFromat'"},
		{`"gridPos":`, `"gridpos":`, "unexpected field 'gridpos'"},
		{`"schemaVersion": `, `"schemaVersion": "a", "x": `, "cannot unmarshal string"},
		{`"type": "stat"`, `"type": "stats"`, `the type "stats" is not checked`},
	} {
		path := filepath.Join(t.TempDir(), "wrong.json")
		if err := os.WriteFile(path, []byte(strings.Replace(string(content), change[0], change[1], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if said := read(path); !strings.Contains(said, change[2]) {
			t.Errorf("of %s it says %q", change[1], said)
		}
	}
}

// dashboards are the files of them.
func dashboards(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(files + "/dashboards/*.json")
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d dashboards, %v", len(paths), err)
	}
	return paths
}

// grafana are the variables that Grafana fills in, with something of their kind.
var grafana = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1d", "$namespace", ".*")

// TestDashboardsNameWhatIsServed has each query of each dashboard name metrics and labels that
// there are.
func TestDashboardsNameWhatIsServed(t *testing.T) {
	served := served(t)
	var exprs, where []string
	legend := regexp.MustCompile(`\{\{ *(\w+) *\}\}`)
	legends := map[int][]string{}
	for _, path := range dashboards(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if d.UID+".json" != filepath.Base(path) {
			t.Errorf("%s has the UID %s", path, d.UID)
		}
		for _, p := range d.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: the panel %q shows nothing", path, p.Title)
			}
			for _, target := range p.Targets {
				for _, m := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
					legends[len(exprs)] = append(legends[len(exprs)], m[1])
				}
				exprs = append(exprs, grafana.Replace(target.Expr))
				where = append(where, filepath.Base(path)+": "+p.Title)
			}
		}
		for _, v := range d.Templating.List {
			query, ok := v.Query.(map[string]any)
			if !ok {
				continue
			}
			m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(fmt.Sprint(query["query"]))
			if m == nil {
				t.Fatalf("%s: cannot read the variable %s: %v", path, v.Name, query)
			}
			exprs, where = append(exprs, fmt.Sprintf("count by (%s) (%s)", m[2], m[1])), append(where, filepath.Base(path)+": $"+v.Name)
		}
	}
	if len(exprs) < 30 {
		t.Errorf("found only %d queries", len(exprs))
	}
	// One that is wrong, so that it is known to be found.
	exprs, where = append(exprs, `sum by (pod) (rollspan_open_changes{place="x"}) / on (a) rollspan_none`), append(where, "")
	for i, names := range Ask(t, Question{Exprs: exprs}).Exprs {
		found := wrong(served, names)
		if where[i] == "" {
			if want := 4; len(found) != want {
				t.Errorf("of a query that is wrong there is said %q", found)
			}
			continue
		}
		for _, f := range found {
			t.Errorf("%s: %s", where[i], f)
		}
		if len(names) == 0 {
			t.Errorf("%s names no metric", where[i])
		}
		for _, l := range legends[i] {
			if !slices.ContainsFunc(names, func(n Name) bool { return slices.Contains(n.Labels, l) }) {
				t.Errorf("%s: the legend has %q, which the query has not kept", where[i], l)
			}
		}
	}
}

// TestRules has each alarm have a rule, each rule go by what is served and say what to do, and
// docs/alerts.md have each.
func TestRules(t *testing.T) {
	served := served(t)
	doc, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	file := Ask(t, Question{Rules: rules}).Rules
	var exprs []string
	alarmed := alarms.Names()
	for _, r := range file {
		exprs = append(exprs, r.Expr)
		if severity, ok := alarmed[r.Alert]; ok && string(severity) != r.Labels["severity"] {
			t.Errorf("%s is %s for a webhook, and %s for Prometheus", r.Alert, severity, r.Labels["severity"])
		}
		delete(alarmed, r.Alert)
		for _, a := range []string{"summary", "description"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
		}
		if want := "/docs/alerts.md#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
			t.Errorf("%s leads to %s", r.Alert, r.Annotations["runbook_url"])
		}
		if !strings.Contains(string(doc), "\n### "+r.Alert+"\n") {
			t.Errorf("docs/alerts.md has no ### %s", r.Alert)
		}
	}
	if len(alarmed) > 0 {
		t.Errorf("there are no rules for %v", slices.Sorted(maps.Keys(alarmed)))
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Rollspan\w+)$`).FindAllStringSubmatch(string(doc), -1) {
		if !slices.ContainsFunc(file, func(r Rule) bool { return r.Alert == m[1] }) {
			t.Errorf("docs/alerts.md has %s, and there is no such rule", m[1])
		}
	}
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for i, names := range Ask(t, Question{Exprs: exprs}).Exprs {
		for _, f := range wrong(served, names) {
			t.Errorf("%s: %s", file[i].Alert, f)
		}
		for _, text := range file[i].Annotations {
			for _, m := range label.FindAllStringSubmatch(text, -1) {
				if !slices.ContainsFunc(names, func(n Name) bool { return slices.Contains(n.Labels, m[1]) }) {
					t.Errorf("%s says {{ $labels.%s }}, which its expression has not kept", file[i].Alert, m[1])
				}
			}
		}
	}
}

// TestSlowRollout has a workload roll out four times in no time, and then take five minutes:
// what the end-to-end tests have no time for. In the middle rollspan is started anew.
func TestSlowRollout(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	now := start
	var scrapes []Scrape
	var registry *prometheus.Registry
	scrape := func(times int) {
		for range times {
			answer := httptest.NewRecorder()
			promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
			scrapes = append(scrapes, Scrape{now, answer.Body.String()})
			now = now.Add(30 * time.Second)
		}
	}
	restart := func() func(took time.Duration) {
		measured := metrics.NewAlarms(metrics.Options{WorkloadName: true}, alarms.Reasons())
		registry = prometheus.NewPedanticRegistry()
		registry.MustRegister(measured)
		watch := alarms.New(alarms.Options{Metrics: measured})
		return func(took time.Duration) {
			watch.Finished(spans.Trace{Spans: []spans.Span{{Start: now.Add(-took), End: now,
				Resource:   []attribute.KeyValue{attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.deployment.name", "web")},
				Attributes: []attribute.KeyValue{attribute.String("rollspan.change", "rollout"), attribute.String("rollspan.outcome", "complete")}}}})
			scrape(2)
		}
	}
	rollout := restart()
	for range 4 {
		rollout(20 * time.Second)
	}
	slow := now
	rollout(5 * time.Minute)
	scrape(40)
	rollout = restart()
	rollout(5 * time.Minute) // there is nothing to compare it with
	scrape(10)
	a := Ask(t, Question{Rules: rules, Scrapes: scrapes})
	if len(a.Alerts) != 1 {
		t.Fatalf("there are %+v", a.Alerts)
	}
	got := a.Alerts[0]
	if want := map[string]string{"namespace": "shop", "workload": "web", "kind": "Deployment"}; got.Name != alarms.RolloutSlow || !maps.Equal(got.Labels, want) {
		t.Errorf("it is %+v", got)
	}
	if got.Fired.Before(slow) || got.Fired.After(slow.Add(time.Minute)) || got.Resolved.After(slow.Add(17*time.Minute)) || got.Resolved.IsZero() {
		t.Errorf("it was slow at %s, and it is %+v", slow, got)
	}
}
