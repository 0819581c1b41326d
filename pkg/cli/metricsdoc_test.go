package cli

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/pkg/webhook"
)

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
		described  = regexp.MustCompile(`fqName: "(\w+)".*?constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)
		word       = regexp.MustCompile(`(\w+)(?:="[^"]*")?`)
		documented = regexp.MustCompile("(?m)^\\| `(rollspan_\\w+)` \\| ([^|]*)\\|")
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
	for _, m := range documented.FindAllStringSubmatch(string(doc), -1) {
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
