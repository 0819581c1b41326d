package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

var (
	exportedDesc = prometheus.NewDesc("rollspan_exported_spans_total",
		"Spans by what became of them: sent, rejected by the collector, or dropped for the reason named.", []string{"outcome"}, nil)
	waitingDesc = prometheus.NewDesc("rollspan_export_queue_spans",
		"Spans that wait for the collector.", nil, nil)
	capacityDesc = prometheus.NewDesc("rollspan_export_queue_capacity_spans",
		"Spans that may wait for the collector before the namespace with most of them loses its oldest.", nil, nil)
	waitingBytesDesc = prometheus.NewDesc("rollspan_export_queue_bytes",
		"Size of the spans that wait for the collector, as they are sent.", nil, nil)
	capacityBytesDesc = prometheus.NewDesc("rollspan_export_queue_capacity_bytes",
		"Size that may wait for the collector before the namespace with most of it loses its oldest spans.", nil, nil)
	requestsDesc = prometheus.NewDesc("rollspan_export_requests_total",
		"Requests to the collector.", nil, nil)
	retriesDesc = prometheus.NewDesc("rollspan_export_retries_total",
		"Requests to the collector that failed and are made again.", nil, nil)
)

// exporter shows an exporter's counters to Prometheus.
type exporter struct{ stats func() export.Stats }

// NewExporter returns the metrics of the exporter whose counters stats reads.
func NewExporter(stats func() export.Stats) prometheus.Collector { return exporter{stats} }

// Describe names the metrics.
func (exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		exportedDesc, waitingDesc, capacityDesc, waitingBytesDesc, capacityBytesDesc, requestsDesc, retriesDesc,
	} {
		ch <- d
	}
}

// Collect reads them, all at one moment.
func (e exporter) Collect(ch chan<- prometheus.Metric) {
	s := e.stats()
	for outcome, n := range outcomesOf(&s) {
		ch <- prometheus.MustNewConstMetric(exportedDesc, prometheus.CounterValue, float64(n), outcome)
	}
	ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(s.Requests))
	ch <- prometheus.MustNewConstMetric(retriesDesc, prometheus.CounterValue, float64(s.Retries))
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	gauge(waitingDesc, s.Queued)
	gauge(capacityDesc, s.MaxQueued)
	gauge(waitingBytesDesc, s.QueuedBytes)
	gauge(capacityBytesDesc, s.MaxQueuedBytes)
}

// outcomesOf are what became of what was exported.
func outcomesOf(s *export.Stats) map[string]int64 {
	return map[string]int64{
		"sent": s.Sent, "rejected": s.Rejected, "queue_full": s.Dropped.QueueFull, "refused": s.Dropped.Refused,
		"too_large": s.Dropped.TooLarge, "closed": s.Dropped.Closed, "damaged": s.Dropped.Damaged,
	}
}
