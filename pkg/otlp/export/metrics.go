package export

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	prometheusbridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Defaults of how metrics are pushed, those of OpenTelemetry's specification.
const (
	DefaultMetricInterval = time.Minute
	DefaultMetricTimeout  = 30 * time.Second
)

// metricsVariable says which exporters of metrics there are to be (OpenTelemetry specification,
// Environment Variables, "Exporter Selection").
const metricsVariable = "OTEL_METRICS_EXPORTER"

// MetricsWanted tells whether the environment asks for metrics to be pushed: by
// OTEL_METRICS_EXPORTER=otlp, or a list that has otlp. (The specification has that for a
// default. It is none here, as rollspan's metrics are scraped first.) An error names the variable.
func MetricsWanted() (wanted bool, err error) {
	for name := range strings.SplitSeq(os.Getenv(metricsVariable), ",") {
		switch name = strings.TrimSpace(name); name {
		case "otlp":
			wanted = true
		case "", "none", "prometheus": // they are there to be scraped, if --metrics-address says where
		default:
			return false, fmt.Errorf("%s: %q is no exporter that rollspan has; write otlp, prometheus or none", metricsVariable, name)
		}
	}
	return wanted, nil
}

// Metrics pushes what a Prometheus registry has to an OTLP collector, again and again. What a
// collector does not take is not kept: the next request has all that was counted by then.
type Metrics struct {
	settings *settings
	provider *metric.MeterProvider
}

// metricTimes are how often metrics are pushed, and how long collecting and sending them may take.
type metricTimes struct{ interval, timeout time.Duration }

// forMetrics is c for metrics, with what the variables say of times.
func (c *Config) forMetrics() (*settings, metricTimes, error) {
	of := *c
	of.Signal = signalMetrics
	s, err := of.resolve()
	errs := []error{err}
	milliseconds := func(name string, def time.Duration) time.Duration {
		value := strings.TrimSpace(os.Getenv(name))
		if value == "" {
			return def
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			errs = append(errs, fmt.Errorf("%s: %q is not a number of milliseconds: for a minute write 60000", name, value))
			return def
		}
		return time.Duration(n) * time.Millisecond
	}
	t := metricTimes{
		interval: milliseconds("OTEL_METRIC_EXPORT_INTERVAL", DefaultMetricInterval),
		timeout:  milliseconds("OTEL_METRIC_EXPORT_TIMEOUT", DefaultMetricTimeout),
	}
	return s, t, errors.Join(errs...)
}

// ValidateMetrics is Validate for where metrics are pushed to: the variables
// OTEL_EXPORTER_OTLP_METRICS_<NAME> stand in the place of those for traces.
func (c *Config) ValidateMetrics() error {
	_, _, err := c.forMetrics()
	return err
}

// MetricsConfigured reports whether somebody says where metrics are pushed to.
func (c *Config) MetricsConfigured() bool {
	of := *c
	of.Signal = signalMetrics
	return of.Configured()
}

// NewMetrics begins to push what gatherer has; call Shutdown to end it. The Resource is that of
// this process: of gives attributes, over which the environment wins. It does not wait for the
// collector. Credentials never reach log.
func NewMetrics(c Config, gatherer prometheus.Gatherer, of []attribute.KeyValue, log logr.Logger) (*Metrics, error) {
	s, times, err := c.forMetrics()
	if err != nil {
		return nil, err
	}
	s.logTo(log)
	s.warn(log)
	described, err := resource.New(context.Background(),
		resource.WithAttributes(semconv.ServiceName("rollspan"), semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithAttributes(of...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w; write key=value,key=value", err)
	}
	var exporter metric.Exporter
	if s.protocol == ProtocolHTTP {
		exporter, err = newHTTPMetrics(s)
	} else {
		exporter, err = newGRPCMetrics(s)
	}
	if err != nil {
		return nil, fmt.Errorf("OTLP client for %s: %w", s.endpoint.target, err)
	}
	reader := metric.NewPeriodicReader(&quietMetrics{Exporter: exporter, settings: s, log: log},
		metric.WithInterval(times.interval), metric.WithTimeout(times.timeout),
		metric.WithProducer(producer{prometheusbridge.NewMetricProducer(prometheusbridge.WithGatherer(classic{gatherer}))}))
	return &Metrics{settings: s, provider: metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(described))}, nil
}

// Endpoint is where metrics go, for people: the URL or socket, and the protocol.
func (m *Metrics) Endpoint() string {
	return fmt.Sprintf("%s (%s)", m.settings.endpoint.target, m.settings.protocol)
}

// Shutdown pushes what there is once more, and ends m. What is not taken until ctx ends is not
// pushed, which is no error: nothing depends on it, and the log says when a collector is away.
func (m *Metrics) Shutdown(ctx context.Context) {
	_ = m.provider.Shutdown(ctx) // quietMetrics has logged it
}

func newGRPCMetrics(s *settings) (metric.Exporter, error) {
	opts := []otlpmetricgrpc.Option{
		otlpmetricgrpc.WithHeaders(s.headers), otlpmetricgrpc.WithTimeout(s.timeout),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}),
		otlpmetricgrpc.WithDialOption(s.dialOptions()...), otlpmetricgrpc.WithTLSCredentials(s.credentials()),
	}
	if to := s.endpoint.target; strings.HasPrefix(to, "unix:") {
		opts = append(opts, otlpmetricgrpc.WithEndpoint(to))
	} else {
		opts = append(opts, otlpmetricgrpc.WithEndpointURL(to))
	}
	return otlpmetricgrpc.New(context.Background(), opts...)
}

func newHTTPMetrics(s *settings) (metric.Exporter, error) {
	compression := otlpmetrichttp.NoCompression
	if s.gzip {
		compression = otlpmetrichttp.GzipCompression
	}
	return otlpmetrichttp.New(context.Background(),
		otlpmetrichttp.WithEndpointURL(s.endpoint.target), otlpmetrichttp.WithHeaders(s.headers),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: false}),
		otlpmetrichttp.WithCompression(compression), otlpmetrichttp.WithMaxResponseSize(maxAnswer),
		// A client of ours is not given a timeout by the package; quietMetrics has it.
		otlpmetrichttp.WithHTTPClient(s.httpClient()))
}

// quietMetrics says once that a collector does not take metrics, without secrets, and keeps that
// from the SDK, which would log each failure as the collector has worded it.
type quietMetrics struct {
	metric.Exporter
	settings *settings
	log      logr.Logger

	mu   sync.Mutex
	down bool
}

// Export makes one request.
func (q *quietMetrics) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	ctx, cancel := context.WithTimeout(ctx, q.settings.timeout)
	defer cancel()
	err := q.Exporter.Export(ctx, rm)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err == nil && q.down:
		q.log.Info("The OTLP collector takes metrics again", "endpoint", q.settings.endpoint.target)
	case err != nil && !q.down:
		q.log.Error(errors.New(q.words(err)),
			"The OTLP collector does not take metrics; rollspan keeps trying", "endpoint", q.settings.endpoint.target,
			"check", "that the collector has a pipeline for metrics, or set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
	}
	q.down = err != nil
	return nil
}

// words are an error for the log. About credentials a collector may say anything, in any form; so
// what it says is left out if there are any, and it may have been about them.
func (q *quietMetrics) words(err error) string {
	words, secret := err.Error(), q.settings.headerCount() > 0
	if st, ok := status.FromError(err); ok {
		if words = st.Code().String(); !secret || st.Code() != codes.Unauthenticated && st.Code() != codes.PermissionDenied {
			words = sentence(words, st.Message())
		}
	} else if secret && (strings.Contains(words, "401 ") || strings.Contains(words, "403 ")) {
		words, _, _ = strings.Cut(words, "(body")
	}
	return quotable(words, q.settings.known())
}

// classic is a registry whose histograms have the buckets that Prometheus sees by default, and
// not their native ones as well: the bridge would pass on these alone, without exemplars, and no
// query for a bucket would find one.
type classic struct{ prometheus.Gatherer }

// Gather reads all metrics.
func (c classic) Gather() ([]*dto.MetricFamily, error) {
	families, err := c.Gatherer.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); len(h.GetBucket()) > 0 {
				m.Histogram = &dto.Histogram{
					SampleCount: h.SampleCount, SampleSum: h.SampleSum, Bucket: h.Bucket, CreatedTimestamp: h.CreatedTimestamp,
				}
			}
		}
	}
	return families, err
}

// producer is the bridge, whose exemplars have IDs of traces and spans: up to v0.72.0 it takes the
// hexadecimal digits in the labels for the bytes.
type producer struct{ metric.Producer }

// Produce reads all metrics.
func (p producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	scopes, err := p.Producer.Produce(ctx)
	for _, scope := range scopes {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[float64]:
				for i := range data.DataPoints {
					decodeIDs(data.DataPoints[i].Exemplars)
				}
			case metricdata.Histogram[float64]:
				for i := range data.DataPoints {
					decodeIDs(data.DataPoints[i].Exemplars)
				}
			}
		}
	}
	return scopes, err
}

func decodeIDs(exemplars []metricdata.Exemplar[float64]) {
	for i := range exemplars {
		for _, id := range []*[]byte{&exemplars[i].TraceID, &exemplars[i].SpanID} {
			if digits := *id; len(digits) == 32 || len(digits) == 16 && id == &exemplars[i].SpanID {
				if decoded, err := hex.DecodeString(string(digits)); err == nil {
					*id = decoded
				}
			}
		}
	}
}
