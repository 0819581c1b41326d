package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

var (
	exportedLogsDesc = prometheus.NewDesc("rollspan_exported_log_records_total",
		"Log records by what became of them: sent, rejected by the collector, or dropped for the reason named.", []string{"outcome"}, nil)
	waitingLogsDesc = prometheus.NewDesc("rollspan_export_queue_log_records",
		"Log records that wait for the collector, in memory or on the disk.", nil, nil)
	waitingLogBytesDesc = prometheus.NewDesc("rollspan_export_queue_log_bytes",
		"Size of the log records that wait for the collector, as they are sent.", nil, nil)
	logRequestsDesc = prometheus.NewDesc("rollspan_export_log_requests_total",
		"Requests to the collector with log records.", nil, nil)
	logRetriesDesc = prometheus.NewDesc("rollspan_export_log_retries_total",
		"Requests to the collector with log records that failed and are made again.", nil, nil)
)

// logExporter shows the counters of an exporter of log records to Prometheus.
type logExporter struct{ stats func() export.Stats }

// NewLogExporter returns the metrics of the exporter of log records whose counters stats reads.
func NewLogExporter(stats func() export.Stats) prometheus.Collector { return logExporter{stats} }

// Describe names the metrics.
func (logExporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exportedLogsDesc, waitingLogsDesc, waitingLogBytesDesc, logRequestsDesc, logRetriesDesc} {
		ch <- d
	}
}

// Collect reads them, all at one moment.
func (e logExporter) Collect(ch chan<- prometheus.Metric) {
	s := e.stats()
	for outcome, n := range outcomesOf(&s) {
		ch <- prometheus.MustNewConstMetric(exportedLogsDesc, prometheus.CounterValue, float64(n), outcome)
	}
	ch <- prometheus.MustNewConstMetric(waitingLogsDesc, prometheus.GaugeValue, float64(s.Queued+s.Behind))
	ch <- prometheus.MustNewConstMetric(waitingLogBytesDesc, prometheus.GaugeValue, float64(s.QueuedBytes))
	ch <- prometheus.MustNewConstMetric(logRequestsDesc, prometheus.CounterValue, float64(s.Requests))
	ch <- prometheus.MustNewConstMetric(logRetriesDesc, prometheus.CounterValue, float64(s.Retries))
}
