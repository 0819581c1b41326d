package alerts

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
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
	// readable is how much of a kind can be read.
	readable float64
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

// goesWrong is what has each rule of rollspan itself fire, each of them alone: it is done before each scrape.
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
	"RollspanCannotWatch": {
		func(w *wellbeing) { w.watchFailures++ },
		func(w *wellbeing) { w.readable = 0.5 },
		func(w *wellbeing) { w.watchFailures, w.readable = w.watchFailures+1, 0 },
	},
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
	return &wellbeing{leading: 1, readable: 1, spans: export.Stats{MaxQueued: 1000, MaxQueuedBytes: 1000}, spansDisk: journal.QueueStats{MaxBytes: 1000}}
}

func nothing(*wellbeing) {}

// days go by as Prometheus sees them.
type days struct {
	now     time.Time
	scrapes []Scrape
}

// pass has somebody scrape a process twice a minute, so often, and something happen before each time.
func (d *days) pass(times int, w *wellbeing, each func(*wellbeing)) {
	d.passEvery(30*time.Second, times, w, each)
}

// passEvery is pass with another time between two scrapes.
func (d *days) passEvery(apart time.Duration, times int, w *wellbeing, each func(*wellbeing)) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(itself(w)...)
	for range times {
		each(w)
		text := scrapeOf(registry) + fmt.Sprintf("rollspan_leading %d\nrollspan_watch_failures_total{kind=\"Pod\"} %d\nrollspan_readable_ratio{kind=\"Pod\"} %g\nrollspan_journal_failures_total %d\n",
			w.leading, w.watchFailures, w.readable, w.journalFailures)
		d.scrapes = append(d.scrapes, Scrape{d.now, text})
		d.now = d.now.Add(apart)
	}
}

// TestKindsThatAreLeftOut has a kind never be read, which is no alert, and one that is left out from a
// restart on be one for a day.
func TestKindsThatAreLeftOut(t *testing.T) {
	const name = "RollspanCannotWatch"
	without := func(w *wellbeing) { w.readable = 0 }
	never := &days{now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	never.pass(60, anew(), without)
	all := Ask(t, Question{Rules: rules, Scrapes: never.scrapes})
	if len(all.Alerts) > 0 {
		t.Errorf("it was never read, and there are %+v", all.Alerts)
	}
	d := &days{now: never.now}
	d.pass(20, anew(), nothing)
	wrong := d.now
	d.passEvery(4*time.Minute, 25*60/4, anew(), without)
	i := slices.IndexFunc(all.Rules, func(r Rule) bool { return r.Alert == name })
	alone := rulesOf(t, map[string]string{name: all.Rules[i].Expr}) // all others would take long for a day
	alerts := Ask(t, Question{Rules: alone, Scrapes: d.scrapes}).Alerts
	if len(alerts) != 1 || alerts[0].Fired.Before(wrong) || alerts[0].Fired.After(wrong.Add(time.Minute)) ||
		alerts[0].Resolved.Before(wrong.Add(23*time.Hour)) || alerts[0].Resolved.After(wrong.Add(24*time.Hour+time.Minute)) {
		t.Errorf("it was left out from %s on, and there is %+v", wrong, alerts)
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
