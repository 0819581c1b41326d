package watcher

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/failover"
	"github.com/rollspan/rollspan/pkg/journal"
)

// streamMetrics count what the reflectors do, by kind.
type streamMetrics struct {
	observations    *prometheus.CounterVec
	failures        *prometheus.CounterVec
	relists         *prometheus.CounterVec
	missedDeletions *prometheus.CounterVec
}

func newStreamMetrics() *streamMetrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rollspan", Name: name, Help: help}, []string{"kind"})
	}
	return &streamMetrics{
		observations:    counter("observations_total", "Object states and Events taken in."),
		failures:        counter("watch_failures_total", "Lists and watches that failed."),
		relists:         counter("relists_total", "Lists after the first one, because a watch could not be resumed."),
		missedDeletions: counter("missed_deletions_total", "Deletions that a watch missed and a later list showed."),
	}
}

func (m *streamMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.observations, m.failures, m.relists, m.missedDeletions}
}

// ownerMetrics count what owners does.
type ownerMetrics struct {
	streams prometheus.Gauge
	ignored prometheus.Counter
}

func newOwnerMetrics() *ownerMetrics {
	return &ownerMetrics{
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "rollspan", Name: "owner_streams",
			Help: "Streams of the metadata of kinds that were found in owner references and Events."}),
		ignored: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "rollspan", Name: "ignored_owners_total",
			Help: "Kinds in owner references and Events that were one too many to look for, or to watch."}),
	}
}

func (m *ownerMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.streams, m.ignored}
}

// liveMetrics count what happens between the reflectors and the sink.
type liveMetrics struct {
	streams *streamMetrics
	waits   prometheus.Counter
	read    []prometheus.Collector
}

// newLiveMetrics takes the queue, and functions that read the counters of the engine and of
// the journal.
func newLiveMetrics(queued *queue, stats func() *causality.Stats, kept func() journal.Stats) *liveMetrics {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "rollspan", Name: name, Help: help}
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(options(name, help)), read)
	}
	counter := func(name, help string, read func(*causality.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(options(name, help)),
			func() float64 { return float64(read(stats())) })
	}
	orphans := func(kind string) prometheus.Collector {
		o := prometheus.CounterOpts(options("orphans_total",
			"What no change explains: Events that are in traces of activity, and pods and ReplicaSets that were gone before their workload was known."))
		o.ConstLabels = prometheus.Labels{"kind": kind}
		return prometheus.NewCounterFunc(o, func() float64 { return float64(stats().Orphans[kind]) })
	}
	faults := func(kind causality.FaultKind) prometheus.Collector {
		o := prometheus.CounterOpts(options("engine_faults_total",
			"Objects of which all that was known was dropped, for a mistake in the engine (panic) or too much work (work)."))
		o.ConstLabels = prometheus.Labels{"kind": string(kind)}
		return prometheus.NewCounterFunc(o, func() float64 { return float64(stats().Faults[kind]) })
	}
	shed := func(why causality.ShedReason) prometheus.Collector {
		o := prometheus.CounterOpts(options("forgotten_events_total", "Events that the engine forgot before their time, for want of room."))
		o.ConstLabels = prometheus.Labels{"reason": string(why)}
		return prometheus.NewCounterFunc(o, func() float64 { return float64(stats().Shed[why]) })
	}
	return &liveMetrics{
		streams: newStreamMetrics(),
		waits: prometheus.NewCounter(prometheus.CounterOpts(options("queue_waits_total",
			"Observations that had to wait because the engine's queue was full."))),
		read: append(journalMetrics(kept),
			gauge("queue_length", "Observations that wait for the engine.", func() float64 { return float64(queued.length()) }),
			gauge("queue_capacity", "Observations that may wait for the engine before the watches do.",
				func() float64 { return queueLength }),
			gauge("queue_bytes", "Estimated size of the observations that wait for the engine.",
				func() float64 { return float64(queued.bytes.Load()) }),
			gauge("queue_capacity_bytes", "What that may be before the watches wait.",
				func() float64 { return queueBytes }),
			gauge("open_changes", "Changes that are open, or not handed out yet.", func() float64 { return float64(stats().Open) }),
			counter("traces_total", "Traces handed out.", func(s *causality.Stats) int64 { return s.Traces }),
			counter("spans_total", "Spans handed out.", func(s *causality.Stats) int64 { return s.Spans }),
			orphans("Event"), orphans("Pod"), orphans("ReplicaSet"),
			faults(causality.FaultPanic), faults(causality.FaultWork), newClockMetrics(stats),
			shed(causality.ShedTold), shed(causality.ShedUntold), shed(causality.ShedObject),
			gauge("event_bytes", "Memory that Events take in the engine, as it estimates it.", func() float64 { return float64(stats().EventBytes) }),
			counter("incomplete_observations_total", "Observations without what identifies or dates them.",
				func(s *causality.Stats) int64 { return s.Incomplete }),
			counter("incomplete_events_total", "Events without a reason, or without the kind or UID of their object.",
				func(s *causality.Stats) int64 { return s.IncompleteEvents }),
			counter("repeated_spans_total", "Spans that were not handed out, as another one had their ID: two objects state that they are the same.",
				func(s *causality.Stats) int64 { return s.Repeated }),
			counter("log_records_lost_total", "Log records of Events that were not handed out, as too many waited.",
				func(s *causality.Stats) int64 { return s.RecordsLost }),
			counter("malformed_trace_contexts_total", "Values of the annotations for trace contexts that are none, each once per workload.",
				func(s *causality.Stats) int64 { return s.MalformedContexts }),
		),
	}
}

func (m *liveMetrics) collectors() []prometheus.Collector {
	return append(append(m.streams.collectors(), m.waits), m.read...)
}

// journalMetrics take a function that reads the counters of the journal.
func journalMetrics(kept func() journal.Stats) []prometheus.Collector {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "rollspan", Subsystem: "journal", Name: name, Help: help}
	}
	gauge := func(name, help string, read func(journal.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(options(name, help)), func() float64 { return read(kept()) })
	}
	counter := func(name, help string, read func(journal.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(options(name, help)), func() float64 { return float64(read(kept())) })
	}
	return []prometheus.Collector{
		gauge("bytes", "What the journal takes on the disk.", func(s journal.Stats) float64 { return float64(s.Bytes) }),
		counter("records_total", "Records that were written to the journal.", func(s journal.Stats) int64 { return s.Records }),
		counter("corrupt_total", "Segments of the journal that were damaged, and set aside.", func(s journal.Stats) int64 { return s.Corrupt }),
		counter("unreadable_total", "Records of the journal that could not be read, and were passed over.",
			func(s journal.Stats) int64 { return s.Unreadable }),
		counter("failures_total", "Failures of the disk, after which nothing is kept any more.", func(s journal.Stats) int64 { return s.Failures }),
		counter("poisoned_total", "Observations that the engine did not survive, and that were set aside.",
			func(s journal.Stats) int64 { return s.Poisoned }),
		counter("compactions_total", "How often the journal was compacted.", func(s journal.Stats) int64 { return s.Compactions }),
		counter("known_spans_total", "Spans that were built again after a restart, and not sent as the run before had.",
			func(s journal.Stats) int64 { return s.Known }),
		counter("passed_spans_total", "Spans that were built after a restart of what is long over, and not sent as no run had.",
			func(s journal.Stats) int64 { return s.Passed }),
		gauge("unacknowledged_traces", "Traces that are to be built again after a restart, as nobody has acknowledged them.",
			func(s journal.Stats) float64 { return float64(s.Unacknowledged) }),
		gauge("recovery_seconds", "How long it took to read the journal when rollspan was started.",
			func(s journal.Stats) float64 { return s.RecoveryTime.Seconds() }),
		gauge("recovered_observations", "Observations that the journal had when rollspan was started.",
			func(s journal.Stats) float64 { return float64(s.Recovered) }),
	}
}

// unreadableMetric takes how many namespaces are given up.
func unreadableMetric(givenUp func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rollspan", Name: "unreadable_namespaces",
		Help: "Namespaces that cannot be read, and without which what happens in the others is told."},
		func() float64 { return float64(givenUp()) })
}

// handoutMetrics take functions that read the counters of what hands out, how many other
// processes watch the same, and how much of what ended meanwhile is not told.
func handoutMetrics(stats func() failover.Stats, others func() int, unproven func() int64) []prometheus.Collector {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "rollspan", Name: name, Help: help}, read)
	}
	counter := func(name, help string, read func(failover.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "rollspan", Name: name, Help: help},
			func() float64 { return float64(read(stats())) })
	}
	return []prometheus.Collector{
		gauge("leading", "1 while this process hands out what it sees, 0 while another does, or nobody.", func() float64 {
			if stats().Leading {
				return 1
			}
			return 0
		}),
		gauge("other_instances", "Other rollspans that watch the same, and do not know of this one.", func() float64 { return float64(others()) }),
		gauge("handout_waiting_spans", "Spans that wait to be recorded in the Lease, by this process or by the one that leads.",
			func() float64 { return float64(stats().Waiting) }),
		counter("handout_told_spans_total", "Spans that were built here, and handed out by another process.", func(s failover.Stats) int64 { return s.Told }),
		counter("handout_missing_spans_total", "Spans that the leader before had recorded in the Lease, and of which nobody knows whether they have arrived.",
			func(s failover.Stats) int64 { return s.Missing }),
		counter("handout_passed_spans_total", "Spans that a standby dropped, as the leader was past them without having built them.",
			func(s failover.Stats) int64 { return s.Passed }),
		counter("handout_dropped_spans_total", "Spans that were dropped, as too many waited to be recorded in the Lease.",
			func(s failover.Stats) int64 { return s.Dropped }),
		counter("handout_folded_traces_total", "Traces of which the record in the Lease names no spans any more, for want of room.",
			func(s failover.Stats) int64 { return s.Folded }),
		counter("handout_forgotten_traces_total", "Traces that the record in the Lease had no room for: nothing that ended before them is told after a restart.",
			func(s failover.Stats) int64 { return s.Forgotten }),
		counter("lease_writes_total", "Writes of a Lease.", func(s failover.Stats) int64 { return s.Writes }),
		counter("lease_write_failures_total", "Writes of a Lease that failed.", func(s failover.Stats) int64 { return s.Failures }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "rollspan", Name: "unproven_changes_total",
			Help: "Changes that ended while no rollspan looked, and are not told, as nothing proves enough of them."},
			func() float64 { return float64(unproven()) }),
	}
}
