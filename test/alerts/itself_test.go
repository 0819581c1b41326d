package alerts

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/metrics"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/pkg/webhook"
)

// wellbeing is what a rollspan counts of itself.
type wellbeing struct {
	spans, logs                     export.Stats
	told                            webhook.Stats
	spansDisk, logsDisk, eventsDisk journal.QueueStats
	// leading, watchFailures and journalFailures are of whoever watches, which a test cannot have fail.
	leading, watchFailures, journalFailures int
}

// itself are the metrics of what is sent, by what there is.
func itself(w *wellbeing) []prometheus.Collector {
	all := []prometheus.Collector{
		metrics.NewExporter(func() export.Stats { return w.spans }), metrics.NewLogExporter(func() export.Stats { return w.logs }),
		webhook.Metrics(func() webhook.Stats { return w.told }),
	}
	all = append(all, watcher.QueueMetrics(func() journal.QueueStats { return w.spansDisk })...)
	all = append(all, watcher.LogQueueMetrics(func() journal.QueueStats { return w.logsDisk })...)
	return append(all, watcher.WebhookQueueMetrics(func() journal.QueueStats { return w.eventsDisk })...)
}

func scrapeOf(registry *prometheus.Registry) string {
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return answer.Body.String()
}

// goesWrong is what has each rule of rollspan itself fire, each in itself: it is done before each scrape.
var goesWrong = map[string][]func(w *wellbeing){
	"RollspanLosesSpans":         {func(w *wellbeing) { w.spans.Dropped.Refused++ }},
	"RollspanLosesLogRecords":    {func(w *wellbeing) { w.logs.Rejected++ }},
	"RollspanLosesWebhookEvents": {func(w *wellbeing) { w.told.Lost.Expired++ }},
	"RollspanExportQueueFills": {
		func(w *wellbeing) { w.spans.Queued = 600 },
		func(w *wellbeing) { w.spans.QueuedBytes = 600 },
		func(w *wellbeing) { w.spansDisk.Bytes = 600 },
		func(w *wellbeing) { w.spans.Queued, w.spans.QueuedBytes = 600, 600 },
	},
	"RollspanCannotWatch":  {func(w *wellbeing) { w.watchFailures++ }},
	"RollspanSendsNothing": {func(w *wellbeing) { w.leading = 0 }},
	"RollspanDiskFails":    {func(w *wellbeing) { w.journalFailures = 1 }},
}

// TestRulesOfRollspanItself has all go wrong that rules tell of rollspan itself, each for half an
// hour, until it is restarted.
func TestRulesOfRollspanItself(t *testing.T) {
	for name, all := range goesWrong {
		for i, worsen := range all {
			d := &days{now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
			w := anew()
			d.pass(20, w, nothing)
			wrong := d.now
			d.pass(60, w, worsen)
			over := d.now
			d.pass(60, anew(), nothing)
			alerts := Ask(t, Question{Rules: rules, Scrapes: d.scrapes}).Alerts
			if len(alerts) != 1 || alerts[0].Name != name {
				t.Errorf("%s %d: there are %+v", name, i, alerts)
				continue
			}
			if a := alerts[0]; a.Fired.Before(wrong) || a.Fired.After(over) || a.Resolved.Before(over) {
				t.Errorf("%s %d: it went wrong from %s to %s, and there is %+v", name, i, wrong, over, a)
			}
		}
	}
}

// anew is a rollspan that has just been started, and is well.
func anew() *wellbeing {
	return &wellbeing{leading: 1, spans: export.Stats{MaxQueued: 1000, MaxQueuedBytes: 1000}, spansDisk: journal.QueueStats{MaxBytes: 1000}}
}

func nothing(*wellbeing) {}

// days go by as Prometheus sees them.
type days struct {
	now     time.Time
	scrapes []Scrape
}

// pass has somebody scrape a process twice a minute, so often, and something happen before each time.
func (d *days) pass(times int, w *wellbeing, each func(*wellbeing)) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(itself(w)...)
	for range times {
		each(w)
		text := scrapeOf(registry) + fmt.Sprintf("rollspan_leading %d\nrollspan_watch_failures_total{kind=\"Pod\"} %d\nrollspan_journal_failures_total %d\n",
			w.leading, w.watchFailures, w.journalFailures)
		d.scrapes = append(d.scrapes, Scrape{d.now, text})
		d.now = d.now.Add(30 * time.Second)
	}
}

// TestEachDiskFails has the disk of each queue fail: that is one alert.
func TestEachDiskFails(t *testing.T) {
	for name, goesWrong := range map[string]func(w *wellbeing){
		"spans":       func(w *wellbeing) { w.spansDisk.Failures++ },
		"log records": func(w *wellbeing) { w.logsDisk.Failures++ },
		"events":      func(w *wellbeing) { w.eventsDisk.Failures++ },
	} {
		w := &wellbeing{}
		goesWrong(w)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(itself(w)...)
		scrape := Scrape{time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), scrapeOf(registry)}
		if alerts := Ask(t, Question{Rules: rules, Scrapes: []Scrape{scrape}}).Alerts; len(alerts) != 1 || alerts[0].Name != "RollspanDiskFails" {
			t.Errorf("the disk of %s fails, and there are %+v", name, alerts)
		}
	}
}

// TestEachRuleHasAStory has each rule be one of an alarm, which the end-to-end tests stage, or of
// rollspan itself.
func TestEachRuleHasAStory(t *testing.T) {
	staged := alarms.Names()
	for _, r := range Ask(t, Question{Rules: rules}).Rules {
		if _, ok := staged[r.Alert]; !ok && goesWrong[r.Alert] == nil {
			t.Errorf("nothing has %s fire", r.Alert)
		}
	}
}
