package watcher

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/rollspan/rollspan/pkg/causality"
)

// LogClocks returns what logs the clocks that an engine finds to be off, each when it is
// noticed, when it jumps, and when it is right again. What is stated by such a clock is
// corrected. Of many some are logged, as whoever may write Events may state any time.
func LogClocks(log *slog.Logger) func(causality.Clock) {
	storm := rate.NewLimiter(rate.Every(5*time.Second), 20)
	return func(c causality.Clock) {
		if !storm.Allow() {
			return
		}
		whose := []any{"offset", c.Offset.Round(time.Millisecond), "at", c.At}
		switch {
		case c.Node != "":
			whose = append(whose, "node", c.Node)
		case c.Component != "":
			whose = append(whose, "component", c.Component)
		default:
			whose = append(whose, "component", "rollspan")
		}
		if c.Namespace != "" {
			whose = append(whose, "namespace", c.Namespace)
		}
		if c.Offset == 0 {
			log.Info("a clock is right again", whose...)
			return
		}
		log.Warn("a clock is off from the API server's; what it dates is corrected", whose...)
	}
}

// mostClocks bounds the series of clockMetrics. A cluster has more nodes, but hardly as
// many whose clocks are off.
const mostClocks = 500

// clockMetrics are the clocks that are off, one series for each.
type clockMetrics struct {
	desc  *prometheus.Desc
	stats func() *causality.Stats
}

func newClockMetrics(stats func() *causality.Stats) *clockMetrics {
	return &clockMetrics{stats: stats, desc: prometheus.NewDesc("rollspan_clock_offset_seconds",
		"How far the clock of a node is ahead of the API server's, if it is off; of rollspan itself where node is empty.",
		[]string{"node"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *clockMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.desc }

// Collect implements prometheus.Collector.
func (m *clockMetrics) Collect(to chan<- prometheus.Metric) {
	off := m.stats().Clocks
	for _, c := range off[:min(len(off), mostClocks)] {
		to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, c.Offset.Seconds(), c.Node)
	}
}
