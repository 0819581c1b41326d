package watcher

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/journal"
)

// QueueMetrics are the metrics of a queue on the disk whose counters stats reads.
func QueueMetrics(stats func() journal.QueueStats) []prometheus.Collector {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "rollspan", Subsystem: "disk_queue", Name: name, Help: help}
	}
	gauge := func(name, help string, read func(journal.QueueStats) int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(options(name, help)), func() float64 { return float64(read(stats())) })
	}
	counter := func(name, help string, read func(journal.QueueStats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(options(name, help)), func() float64 { return float64(read(stats())) })
	}
	return []prometheus.Collector{
		gauge("bytes", "What the queue takes on the disk.", func(s journal.QueueStats) int64 { return s.Bytes }),
		gauge("capacity_bytes", "What it may take.", func(s journal.QueueStats) int64 { return s.MaxBytes }),
		gauge("spans", "Spans that wait for the collector on the disk.", func(s journal.QueueStats) int64 { return int64(s.Items) }),
		gauge("behind_spans", "Spans that wait on the disk only, and not in memory.", func(s journal.QueueStats) int64 { return int64(s.Behind) }),
		gauge("found_spans", "Spans that waited there when rollspan was started.", func(s journal.QueueStats) int64 { return int64(s.Found) }),
		counter("corrupt_total", "Records of the queue that were damaged, and are lost.", func(s journal.QueueStats) int64 { return s.Corrupt }),
		counter("torn_total", "Tails of the queue's files that were cut off.", func(s journal.QueueStats) int64 { return s.Torn }),
		counter("failures_total", "Failures of the disk, after which what comes waits in memory only.", func(s journal.QueueStats) int64 { return s.Failures }),
	}
}
