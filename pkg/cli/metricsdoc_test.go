package cli

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/pkg/webhook"
)

// documentedMetric is a row of docs/metrics.md.
var documentedMetric = regexp.MustCompile("(?m)^\\| `(rollspan_\\w+)` \\| ([^|]*)\\|")

// Every metric that run serves is in docs/metrics.md, with its labels, and no
// other is.
func TestMetricsAreDocumented(t *testing.T) {
	live, err := watcher.NewLive(watcher.LiveOptions{Config: &rest.Config{Host: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	ofQueue := func() journal.QueueStats { return journal.QueueStats{} }
	collectors := append(slices.Concat(live.Collectors(), watcher.QueueMetrics(ofQueue), watcher.LogQueueMetrics(ofQueue), watcher.WebhookQueueMetrics(ofQueue)),
		metrics.NewChanges(metrics.Options{WorkloadName: true}), metrics.NewAlarms(metrics.Options{WorkloadName: true}, nil),
		metrics.NewExporter(func() export.Stats { return export.Stats{} }),
		webhook.Metrics(func() webhook.Stats { return webhook.Stats{} }),
		metrics.NewLogExporter(func() export.Stats { return export.Stats{} }))
	var (
		described = regexp.MustCompile(`fqName: "(\w+)".*?constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)
		word      = regexp.MustCompile(`(\w+)(?:="[^"]*")?`)
	)
	served := map[string][]string{}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		for _, c := range collectors {
			c.Describe(descs)
		}
	}()
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		served[m[1]] = nil
		for _, label := range word.FindAllStringSubmatch(m[2]+" "+m[3], -1) {
			served[m[1]] = append(served[m[1]], label[1])
		}
		slices.Sort(served[m[1]])
	}

	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for _, m := range documentedMetric.FindAllStringSubmatch(string(doc), -1) {
		told[m[1]] = nil
		for _, label := range word.FindAllStringSubmatch(m[2], -1) {
			told[m[1]] = append(told[m[1]], label[1])
		}
		slices.Sort(told[m[1]])
	}
	for name := range maps.Keys(served) {
		if _, ok := told[name]; !ok {
			t.Errorf("%s is not documented", name)
		} else if !slices.Equal(told[name], served[name]) {
			t.Errorf("%s has the labels %v, and documented are %v", name, served[name], told[name])
		}
	}
	for name := range told {
		if _, ok := served[name]; !ok {
			t.Errorf("%s is documented, and not there", name)
		}
	}
}

// Each metric that another page names, or says the begin of (`rollspan_journal_*`), is in
// docs/metrics.md.
func TestNamedMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range documentedMetric.FindAllStringSubmatch(string(doc), -1) {
		told = append(told, m[1])
	}
	of := []string{"", "_bucket", "_sum", "_count"} // the latter of histograms
	named := regexp.MustCompile(`\brollspan_\w+\*?`)
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/helm/rollspan/README.md", "deploy/examples/*/README.md"} {
		pages, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(pages) == 0 {
			t.Fatalf("%s: %d, %v", pattern, len(pages), err)
		}
		for _, page := range pages {
			content, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range named.FindAllString(string(content), -1) {
				begin, isBegin := strings.CutSuffix(name, "*")
				if !slices.ContainsFunc(told, func(metric string) bool {
					return slices.Contains(of, strings.TrimPrefix(name, metric)) || isBegin && strings.HasPrefix(metric, begin)
				}) {
					t.Errorf("%s: there is no %s", page, name)
				}
			}
		}
	}
}
