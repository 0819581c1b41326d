package metrics

import (
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
)

// Bounds of cardinality. A histogram has len(buckets)+3 series for each set of
// label values.
const (
	// maxSets is how many sets of label values a metric may have.
	maxSets = 2000
	// maxReasons bounds the label reason: Events, controllers and container
	// runtimes may give any.
	maxReasons = 64
	// maxPhases bounds the label phase. There are fewer than twenty (attr.Phase), but
	// nothing here depends on whether spans have others.
	maxPhases = 32
)

// buckets, in seconds, suit what takes from half a second (a restart) to an
// hour (a StatefulSet with slow pods).
var buckets = []float64{0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600}

// lagBuckets, in seconds: the settle period makes it five at least, a collector
// that is down anything.
var lagBuckets = []float64{1, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 300, 600, 1800}

// Options of a Changes. The zero value is ready to use.
type Options struct {
	// WorkloadName adds the label workload, the name of what changed, to
	// everything that is measured by namespace. Default false: names are what
	// there may be thousands of.
	WorkloadName bool
}

// Changes measures changes by their root spans. It is a prometheus.Collector,
// and safe for concurrent use.
type Changes struct {
	options    Options
	durations  *family
	phases     *family
	failures   *family
	reasons    *limit
	phaseNames *limit
	overflow   prometheus.Counter
	summed     prometheus.Counter
	lag        prometheus.Histogram
	now        func() time.Time
}

var _ prometheus.Collector = (*Changes)(nil)

// NewChanges returns a Changes that has measured nothing.
func NewChanges(o Options) *Changes {
	// Where a metric has too many series, the labels of the place go first.
	place := []string{"namespace"}
	if o.WorkloadName {
		place = append(place, "workload")
	}
	histogram := func(name, help, last string) *family {
		return newFamily(prometheus.NewHistogramVec(histogramOpts(name, help, buckets),
			slices.Concat(place, []string{"kind", "change", last})).MetricVec, len(place), buckets)
	}
	return &Changes{
		options: o,
		durations: histogram("change_duration_seconds",
			"How long changes took, such as rollouts (change=\"rollout\"), by how they ended.", "outcome"),
		phases: histogram("change_phase_duration_seconds",
			"How long a change took for a phase, such as pull_image, on its critical path. All phases of a change add up to its duration.", "phase"),
		failures: newFamily(prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rollspan", Name: "change_failures_total", Help: "Changes whose trace is an error, by the reason.",
		}, slices.Concat(place, []string{"kind", "change", "reason"})).MetricVec, len(place), nil),
		reasons:    newLimit(maxReasons),
		phaseNames: newLimit(maxPhases),
		overflow: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollspan", Name: "metrics_overflow_total",
			Help: "Values that were counted with the namespace \"" + other + "\" because there are too many series already.",
		}),
		summed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollspan", Name: "summed_spans_total",
			Help: "Spans that were summed up on others instead of sent, as their trace was over its budget.",
		}),
		lag: prometheus.NewHistogram(histogramOpts("export_lag_seconds",
			"Time from the end of a change until the collector had its trace.", lagBuckets)),
		now: time.Now,
	}
}

// histogramOpts also make a native histogram, for who scrapes those.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: "rollspan", Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Finished measures a trace that the engine has handed out, if it is that of a
// change: activity, and what follows a trace that was handed out before, is
// passed over.
func (c *Changes) Finished(t spans.Trace) {
	if t.Selection != nil {
		c.summed.Add(float64(t.Selection.LeftOut))
	}
	root := t.Root()
	if root == nil {
		return
	}
	for _, s := range c.samples(root) {
		if s.family.add(s.labels, s.value) {
			c.overflow.Inc()
		}
	}
}

// Acknowledged adds exemplars: the collector has these spans. A span must have
// been Finished before. It is enough that it has what was sent of it.
func (c *Changes) Acknowledged(taken []*spans.Span) {
	now := c.now()
	for _, span := range taken {
		samples := c.samples(span)
		if len(samples) == 0 {
			continue
		}
		// The end is by the cluster's clocks, which may be ahead.
		c.lag.Observe(max(now.Sub(span.End).Seconds(), 0))
		for _, s := range samples {
			s.family.exemplify(s.labels, exemplar{span.TraceID, span.SpanID, s.value, now})
		}
	}
}

// exemplar is the latest trace that a bucket counts.
type exemplar struct {
	traceID trace.TraceID
	spanID  trace.SpanID
	value   float64
	at      time.Time
}

// sample is one value of one series.
type sample struct {
	family *family
	labels []string
	value  float64
}

// samples are what a span is measured by: nothing, unless it is a root. They are
// the same each time.
func (c *Changes) samples(s *spans.Span) []sample {
	ch, ok := readChange(s)
	if !ok {
		return nil
	}
	labels := func(last string) []string {
		place := []string{ch.namespace}
		if c.options.WorkloadName {
			place = append(place, ch.workload)
		}
		return append(place, ch.kind, string(ch.change), last)
	}
	out := []sample{{c.durations, labels(string(ch.outcome)), ch.seconds}}
	for _, p := range ch.phases {
		out = append(out, sample{c.phases, labels(c.phaseNames.orOther(string(p.phase))), p.seconds})
	}
	if ch.reason != "" {
		out = append(out, sample{c.failures, labels(c.reason(ch.reason)), 1})
	}
	return out
}

// word is what the API asks of the reasons of conditions. Elsewhere there may be
// any text, which is none for a label.
var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_,:]{0,62}[A-Za-z0-9_]$`)

func (c *Changes) reason(r string) string {
	if !word.MatchString(r) {
		return other
	}
	return c.reasons.orOther(r)
}

// Describe names the metrics.
func (c *Changes) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.collectors() {
		m.Describe(ch)
	}
}

// Collect reads them.
func (c *Changes) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.collectors() {
		m.Collect(ch)
	}
}

func (c *Changes) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.durations, c.phases, c.failures, c.overflow, c.summed, c.lag}
}
