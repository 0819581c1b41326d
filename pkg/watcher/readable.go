package watcher

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"
)

// readable is, by kind, how much of what is watched of it can be read: 1 for all, 0 for nothing, and a
// share where that is so in some namespaces only. Kinds that were found are not among them.
func (s *streams) readable() map[string]float64 {
	s.mu.Lock()
	through := maps.Clone(s.through)
	s.mu.Unlock()
	all, can := map[string]int{}, map[string]int{}
	for _, src := range s.sources {
		all[src.kind.Kind]++
		if through[src.name()] && !s.trouble.blind(src.name()) {
			can[src.kind.Kind]++
		}
	}
	shares := map[string]float64{}
	for kind, n := range all {
		shares[kind] = float64(can[kind]) / float64(n)
	}
	return shares
}

// readableMetrics is the metric of that. A kind that is left out on purpose is 0 from the beginning, and
// one whose permission was taken away becomes that: a refusal is tried again so seldom that the
// failures do not tell.
type readableMetrics struct {
	desc *prometheus.Desc
	read func() map[string]float64
}

func newReadableMetrics(read func() map[string]float64) *readableMetrics {
	return &readableMetrics{
		desc: prometheus.NewDesc("rollspan_readable_ratio", "How much of what is watched of a kind can be read: 1 for all namespaces, 0 for none.", []string{"kind"}, nil),
		read: read,
	}
}

// Describe sends what Collect may.
func (m *readableMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect reads it.
func (m *readableMetrics) Collect(out chan<- prometheus.Metric) {
	for kind, share := range m.read() {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, share, kind)
	}
}
