package webhook

import "github.com/prometheus/client_golang/prometheus"

var (
	eventsDesc = prometheus.NewDesc("rollspan_webhook_events_total",
		"Events for the webhook by what became of them: sent, or lost for the reason named.", []string{"outcome"}, nil)
	waitingDesc = prometheus.NewDesc("rollspan_webhook_queue_events",
		"Events that wait for the webhook.", nil, nil)
	capacityDesc = prometheus.NewDesc("rollspan_webhook_queue_capacity_events",
		"Events that may wait for the webhook before the namespace with most of them loses its oldest.", nil, nil)
	bytesDesc = prometheus.NewDesc("rollspan_webhook_queue_bytes",
		"Size of the events that wait for the webhook.", nil, nil)
	capacityBytesDesc = prometheus.NewDesc("rollspan_webhook_queue_capacity_bytes",
		"Size that may wait for the webhook before the namespace with most events loses its oldest.", nil, nil)
	requestsDesc = prometheus.NewDesc("rollspan_webhook_requests_total",
		"Requests to the webhook.", nil, nil)
	retriesDesc = prometheus.NewDesc("rollspan_webhook_retries_total",
		"Requests to the webhook that failed and are made again.", nil, nil)
)

// collector shows the counters of a Sender to Prometheus.
type collector struct{ stats func() Stats }

// Metrics returns the metrics of the Sender whose counters stats reads.
func Metrics(stats func() Stats) prometheus.Collector { return collector{stats} }

// Describe names the metrics.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		eventsDesc, waitingDesc, capacityDesc, bytesDesc, capacityBytesDesc, requestsDesc, retriesDesc,
	} {
		ch <- d
	}
}

// Collect reads them, all at one moment.
func (w collector) Collect(ch chan<- prometheus.Metric) {
	s := w.stats()
	for outcome, n := range map[string]int64{
		"sent": s.Sent, "queue_full": s.Lost.QueueFull, "refused": s.Lost.Refused, "expired": s.Lost.Expired, "closed": s.Lost.Closed, "damaged": s.Lost.Damaged,
	} {
		ch <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(n), outcome)
	}
	ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(s.Requests))
	ch <- prometheus.MustNewConstMetric(retriesDesc, prometheus.CounterValue, float64(s.Retries))
	for d, n := range map[*prometheus.Desc]int{
		waitingDesc: s.Queued, capacityDesc: s.MaxQueued, bytesDesc: s.QueuedBytes, capacityBytesDesc: s.MaxQueuedBytes,
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
}
