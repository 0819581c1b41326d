package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/spans"
)

var (
	exportedDesc = prometheus.NewDesc("rollspan_exported_spans_total",
		"Spans by what became of them: sent, rejected by the collector, or dropped for the reason named.", []string{"outcome"}, nil)
	waitingDesc = prometheus.NewDesc("rollspan_export_queue_spans",
		"Spans that wait for the collector.", nil, nil)
	requestsDesc = prometheus.NewDesc("rollspan_export_requests_total",
		"Requests to the collector.", nil, nil)
	retriesDesc = prometheus.NewDesc("rollspan_export_retries_total",
		"Requests to the collector that failed and are made again.", nil, nil)
)

// exportMetrics shows an exporter's counters to Prometheus.
type exportMetrics struct{ stats func() spans.Stats }

// Describe names the metrics.
func (exportMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exportedDesc, waitingDesc, requestsDesc, retriesDesc} {
		ch <- d
	}
}

// Collect reads them, all at one moment.
func (m exportMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.stats()
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	counter(exportedDesc, s.Sent, "sent")
	counter(exportedDesc, s.Rejected, "rejected")
	counter(exportedDesc, s.Dropped.QueueFull, "queue_full")
	counter(exportedDesc, s.Dropped.Refused, "refused")
	counter(exportedDesc, s.Dropped.TooLarge, "too_large")
	counter(exportedDesc, s.Dropped.Closed, "closed")
	counter(requestsDesc, s.Requests)
	counter(retriesDesc, s.Retries)
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(s.Queued))
}
