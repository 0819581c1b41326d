package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/journal"
)

// queued shows the counters of a queue on the disk to Prometheus.
type queued struct {
	stats   func() journal.QueueStats
	gauges  map[*prometheus.Desc]func(journal.QueueStats) int64
	counter map[*prometheus.Desc]func(journal.QueueStats) int64
}

// NewQueue returns the metrics of the queue on the disk whose counters stats reads.
func NewQueue(stats func() journal.QueueStats) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rollspan_disk_queue_"+name, help, nil, nil)
	}
	return queued{stats, map[*prometheus.Desc]func(journal.QueueStats) int64{
		desc("bytes", "What the queue takes on the disk."):                           func(s journal.QueueStats) int64 { return s.Bytes },
		desc("capacity_bytes", "What it may take."):                                  func(s journal.QueueStats) int64 { return s.MaxBytes },
		desc("spans", "Spans that wait for the collector on the disk."):              func(s journal.QueueStats) int64 { return int64(s.Items) },
		desc("found_spans", "Spans that waited there when rollspan was started."):    func(s journal.QueueStats) int64 { return int64(s.Found) },
		desc("behind_spans", "Spans that wait on the disk only, and not in memory."): func(s journal.QueueStats) int64 { return int64(s.Behind) },
	}, map[*prometheus.Desc]func(journal.QueueStats) int64{
		desc("corrupt_total", "Records of the queue that were damaged, and are lost."):                 func(s journal.QueueStats) int64 { return s.Corrupt },
		desc("torn_total", "Tails of the queue's files that were cut off."):                            func(s journal.QueueStats) int64 { return s.Torn },
		desc("failures_total", "Failures of the disk, after which what waits is kept in memory only."): func(s journal.QueueStats) int64 { return s.Failures },
	}}
}

// Describe names the metrics.
func (q queued) Describe(ch chan<- *prometheus.Desc) {
	for d := range q.gauges {
		ch <- d
	}
	for d := range q.counter {
		ch <- d
	}
}

// Collect reads them, all at one moment.
func (q queued) Collect(ch chan<- prometheus.Metric) {
	s := q.stats()
	for d, read := range q.gauges {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(read(s)))
	}
	for d, read := range q.counter {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(read(s)))
	}
}
