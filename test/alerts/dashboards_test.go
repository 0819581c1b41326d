package alerts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/spans"
)

// panels are the queries of the dashboard of rollouts by the title of their panel, with Grafana's variables filled in.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(files, "dashboards", "rollspan-rollouts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], grafana.Replace(target.Expr))
		}
	}
	return all
}

// holds says which of these conditions held at some time, as the engine sees the scrapes.
func holds(t *testing.T, scrapes []Scrape, conditions map[string]string) (held []string) {
	t.Helper()
	for _, a := range Ask(t, Question{Rules: rulesOf(t, conditions), Scrapes: scrapes}).Alerts {
		held = append(held, a.Name)
	}
	slices.Sort(held)
	return slices.Compact(held)
}

// rulesOf writes a file of rules that fire at once where a condition holds.
func rulesOf(t *testing.T, conditions map[string]string) (path string) {
	t.Helper()
	var all []map[string]string
	for name, expr := range conditions {
		all = append(all, map[string]string{"alert": name, "expr": expr})
	}
	content, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "conditions", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDashboardsCountTheFirst has the first rollouts of a namespace, of which one fails: the series
// of both begin with these.
func TestDashboardsCountTheFirst(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	changes := metrics.NewChanges(metrics.Options{})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(changes)
	var scrapes []Scrape
	pass := func() {
		for range 20 {
			scrapes = append(scrapes, Scrape{now, scrapeOf(registry)})
			now = now.Add(30 * time.Second)
		}
	}
	pass()
	for _, outcome := range []string{"complete", "failed"} {
		attrs := []attribute.KeyValue{
			attribute.String("rollspan.change", "rollout"), attribute.String("rollspan.outcome", outcome), attribute.Float64("rollspan.critical_path.pull_image", 20),
		}
		root := spans.Span{Start: now.Add(-time.Minute), End: now, Attributes: attrs,
			Resource: []attribute.KeyValue{attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.deployment.name", "web")}}
		if outcome == "failed" {
			root.Status = codes.Error
			root.Attributes = append(root.Attributes, attribute.String("error.type", "ImagePullBackOff"))
		}
		changes.Finished(spans.Trace{Spans: []spans.Span{root}})
	}
	pass()
	conditions := map[string]string{}
	for title, queries := range panels(t) {
		for i, query := range queries {
			if strings.Contains(query, "rollspan_change_") {
				conditions[fmt.Sprint(title, " ", i)] = "(" + query + ") > 0"
			}
		}
	}
	conditions["two rollouts"] = "(" + panels(t)["Rollouts"][0] + ") == 2"
	held := holds(t, scrapes, conditions)
	for name := range conditions {
		if !slices.Contains(held, name) {
			t.Errorf("%s shows nothing: %s", name, conditions[name])
		}
	}
	if len(conditions) < 10 {
		t.Errorf("there are only %d queries", len(conditions))
	}
}

// TestDashboardsDoNotAddUpReplicas has two replicas count what happens once, and one thing twice.
// The first time begins the series of each.
func TestDashboardsDoNotAddUpReplicas(t *testing.T) {
	const lacks = "0/3 nodes are available: 3 Insufficient cpu."
	s := &story{replicas: []*replica{newReplica(), newReplica()}, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	s.pass(10)
	s.say(corev1.EventTypeNormal, "shop", "Pod", "BackOff", "", 1) // as the kubelet has it of an image
	s.say(corev1.EventTypeWarning, "shop", "Pod", "FailedScheduling", lacks, 1)
	s.pass(10)
	s.say(corev1.EventTypeWarning, "shop", "Pod", "FailedScheduling", lacks, 2)
	s.pass(10)
	conditions := map[string]string{}
	for title, want := range map[string]string{
		"Warnings": "2", "Pods that fit nowhere, by what lacks": "1", "Probes that fail, back-offs": "1",
	} {
		query := panels(t)[title]
		if len(query) != 1 {
			t.Fatalf("%s has %d queries", title, len(query))
		}
		conditions[title] = "round(" + query[0] + ") == " + want
		conditions[title+", more"] = "round(" + query[0] + ") > " + want
	}
	if held, want := holds(t, s.scrapes, conditions), []string{"Pods that fit nowhere, by what lacks", "Probes that fail, back-offs", "Warnings"}; !slices.Equal(held, want) {
		t.Errorf("it is so that %q, want %q", held, want)
	}
}
