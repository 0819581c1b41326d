package watcher

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/journal"
)

// QueueMetrics are the metrics of the queue of spans on the disk whose counters stats reads.
func QueueMetrics(stats func() journal.QueueStats) []prometheus.Collector {
	return queueMetrics("disk_queue", "spans", "Spans", "the collector", stats)
}

// LogQueueMetrics are those of the queue of log records.
func LogQueueMetrics(stats func() journal.QueueStats) []prometheus.Collector {
	return queueMetrics("log_disk_queue", "log_records", "Log records", "the collector", stats)
}

// WebhookQueueMetrics are those of the queue of events for the webhook.
func WebhookQueueMetrics(stats func() journal.QueueStats) []prometheus.Collector {
	return queueMetrics("webhook_disk_queue", "events", "Events", "the webhook", stats)
}

// queueMetrics are those of a queue of what, for somebody.
func queueMetrics(subsystem, name, what, whom string, stats func() journal.QueueStats) []prometheus.Collector {
	items := name
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "rollspan", Subsystem: subsystem, Name: name, Help: help}
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
		gauge(items, what+" that wait for "+whom+" on the disk.", func(s journal.QueueStats) int64 { return int64(s.Items) }),
		gauge("behind_"+items, what+" that wait on the disk only, and not in memory.", func(s journal.QueueStats) int64 { return int64(s.Behind) }),
		gauge("found_"+items, what+" that waited there when rollspan was started.", func(s journal.QueueStats) int64 { return int64(s.Found) }),
		counter("corrupt_total", "Records of the queue that were damaged, and are lost.", func(s journal.QueueStats) int64 { return s.Corrupt }),
		counter("torn_total", "Tails of the queue's files that were cut off.", func(s journal.QueueStats) int64 { return s.Torn }),
		counter("failures_total", "Failures of the disk, after which what comes waits in memory only.", func(s journal.QueueStats) int64 { return s.Failures }),
	}
}
