package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// other stands for label values that are too many. No namespace, workload or
// reason can have that name; the semantic conventions use it for error.type.
const other = "_other"

// limit lets a set grow to a size and no further. What it has once refused it
// refuses always. It is safe for concurrent use.
type limit struct {
	max int

	mu       sync.Mutex
	admitted map[string]struct{}
}

func newLimit(n int) *limit { return &limit{max: n, admitted: map[string]struct{}{}} }

func (l *limit) admits(v string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.admitted[v]; ok {
		return true
	}
	if len(l.admitted) == l.max {
		return false
	}
	l.admitted[v] = struct{}{}
	return true
}

// orOther is v, or what stands for it if it is one too many.
func (l *limit) orOther(v string) string {
	if l.admits(v) {
		return v
	}
	return other
}

// family is a metric with a bounded number of series, and exemplars that may
// come after the values they are examples of, which client_golang's own may not.
//
// When it has maxSets sets of label values, further ones are counted together,
// with the place (namespace, and workload) "_other". So there are never more
// than maxSets, and one for each combination of the other labels, which come
// from short lists.
type family struct {
	vec *prometheus.MetricVec
	// place is how many of the labels, from the first, say where.
	place int
	sets  *limit
	// bounds are a histogram's buckets; a counter has none.
	bounds []float64

	mu sync.Mutex
	// exemplars are the latest of each bucket, by series. Those without a time
	// are not there.
	exemplars map[prometheus.Metric][]exemplar
}

func newFamily(vec *prometheus.MetricVec, place int, bounds []float64) *family {
	return &family{
		vec: vec, place: place, sets: newLimit(maxSets), bounds: bounds,
		exemplars: map[prometheus.Metric][]exemplar{},
	}
}

// series finds or makes the series of these label values, or of "_other".
func (f *family) series(labels []string) (m prometheus.Metric, overflow bool) {
	if !f.sets.admits(strings.Join(labels, "\xff")) {
		overflow = true
		labels = slices.Clone(labels)
		for i := range f.place {
			labels[i] = other
		}
	}
	for i, l := range labels {
		if !utf8.ValidString(l) {
			labels = slices.Clone(labels)
			labels[i] = strings.ToValidUTF8(l, "\uFFFD") // else it could not be scraped
		}
	}
	m, err := f.vec.GetMetricWithLabelValues(labels...)
	if err != nil {
		// There are too few labels.
		panic(fmt.Sprintf("series of %q: %v", labels, err))
	}
	return m, overflow
}

// add counts a value, and tells whether that was under "_other".
func (f *family) add(labels []string, value float64) (overflow bool) {
	m, overflow := f.series(labels)
	switch m := m.(type) {
	case prometheus.Histogram:
		m.Observe(value)
	case prometheus.Counter:
		m.Add(value)
	}
	return overflow
}

// exemplify makes e the exemplar of the bucket that its value was counted in.
func (f *family) exemplify(labels []string, e exemplar) {
	m, _ := f.series(labels)
	bucket, _ := slices.BinarySearch(f.bounds, e.value)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.exemplars[m] == nil {
		f.exemplars[m] = make([]exemplar, len(f.bounds)+1)
	}
	f.exemplars[m][bucket] = e
}

// Describe names the metric.
func (f *family) Describe(ch chan<- *prometheus.Desc) { f.vec.Describe(ch) }

// Collect reads the series, each with its exemplars.
func (f *family) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		f.vec.Collect(all)
	}()
	for m := range all {
		if e := f.exemplarsOf(m); len(e) > 0 {
			// It fails for labels that are too long, and these are of one length.
			m = prometheus.MustNewMetricWithExemplars(m, e...)
		}
		ch <- m
	}
}

func (f *family) exemplarsOf(m prometheus.Metric) []prometheus.Exemplar {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []prometheus.Exemplar
	for _, e := range f.exemplars[m] {
		if !e.at.IsZero() {
			out = append(out, prometheus.Exemplar{
				Value: e.value, Timestamp: e.at,
				Labels: prometheus.Labels{"trace_id": e.traceID.String(), "span_id": e.spanID.String()},
			})
		}
	}
	return out
}
