package export

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // what is sent to another machine is compressed
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// metricsReceiver takes metrics by both protocols.
type metricsReceiver struct {
	colmetricpb.UnimplementedMetricsServiceServer
	grpc, http string
	// refuse is what is answered, if it is not empty.
	refuse string

	got            chan *colmetricpb.ExportMetricsServiceRequest
	mu             sync.Mutex
	authorizations []string
}

func newMetricsReceiver(t *testing.T) *metricsReceiver {
	t.Helper()
	r := &metricsReceiver{got: make(chan *colmetricpb.ExportMetricsServiceRequest, 100)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	colmetricpb.RegisterMetricsServiceServer(server, r)
	go func() { _ = server.Serve(listener) }() // it ends with the test
	t.Cleanup(server.Stop)
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	r.grpc, r.http = "http://"+listener.Addr().String(), web.URL
	return r
}

func (r *metricsReceiver) take(authorization string, request *colmetricpb.ExportMetricsServiceRequest) (refuse string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.authorizations = append(r.authorizations, authorization)
	r.got <- request
	return r.refuse
}

func (r *metricsReceiver) Export(ctx context.Context, request *colmetricpb.ExportMetricsServiceRequest) (*colmetricpb.ExportMetricsServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if refuse := r.take(strings.Join(md.Get("authorization"), ""), request); refuse != "" {
		return nil, status.Error(codes.InvalidArgument, refuse)
	}
	return &colmetricpb.ExportMetricsServiceResponse{}, nil
}

func (r *metricsReceiver) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	body := io.Reader(in.Body)
	if in.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(in.Body) // else it cannot be read
	}
	content, err := io.ReadAll(body)
	var request colmetricpb.ExportMetricsServiceRequest
	if err != nil || in.URL.Path != "/v1/metrics" || proto.Unmarshal(content, &request) != nil {
		http.Error(w, "no metrics", http.StatusNotFound)
		return
	}
	if refuse := r.take(in.Header.Get("Authorization"), &request); refuse != "" {
		http.Error(w, refuse, http.StatusBadRequest)
	}
}

// counted is a registry that has one of each kind of metric.
func counted(t *testing.T) *prometheus.Registry {
	t.Helper()
	histogram := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rollspan_change_duration_seconds", Help: "How long.", Buckets: []float64{1, 10}, NativeHistogramBucketFactor: 1.1,
	}, []string{"namespace"})
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "rollspan_traces_total", Help: "Traces."})
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollspan_open_changes", Help: "Open."})
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{histogram, counter, gauge} {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	histogram.WithLabelValues("shop").Observe(0.5)
	histogram.WithLabelValues("shop").(prometheus.ExemplarObserver).ObserveWithExemplar(7, prometheus.Labels{"trace_id": strings.Repeat("ab", 16), "span_id": strings.Repeat("cd", 8)})
	counter.Add(3)
	gauge.Set(2)
	return registry
}

// TestMetricsArePushed has a collector get what Prometheus would scrape, with the buckets and
// the exemplars, by both protocols, and with the credentials that traces have.
func TestMetricsArePushed(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=rollspan-0")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newMetricsReceiver(t)
	for name, c := range map[string]Config{
		"grpc":                       {Endpoint: r.grpc},
		"grpc, compressed":           {Endpoint: r.grpc, Compression: "gzip"},
		"http":                       {Endpoint: r.http, Protocol: ProtocolHTTP, Compression: "gzip"},
		"http, with traces' own URL": {Endpoint: r.http + "/v1/traces", Protocol: ProtocolHTTP},
	} {
		t.Run(name, func(t *testing.T) {
			c.BearerTokenFile = token
			m, err := NewMetrics(c, counted(t), []attribute.KeyValue{attribute.String("k8s.cluster.uid", "c1")}, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			m.Shutdown(t.Context())
			got := (<-r.got).ResourceMetrics[0]
			about := map[string]string{}
			for _, kv := range got.Resource.Attributes {
				about[kv.Key] = kv.Value.GetStringValue()
			}
			if about["service.name"] != "rollspan" || about["k8s.pod.name"] != "rollspan-0" || about["k8s.cluster.uid"] != "c1" || about["service.instance.id"] == "" {
				t.Errorf("the Resource is %v", about)
			}
			var told []string
			for _, family := range got.ScopeMetrics[0].Metrics {
				told = append(told, words(family))
			}
			want := "rollspan_change_duration_seconds shop 2 of 7.5 in [1 1 0] under [1 10], 7 is of " + strings.Repeat("ab", 16) + " " + strings.Repeat("cd", 8) + "; rollspan_open_changes 2; rollspan_traces_total 3"
			if all := strings.Join(told, "; "); all != want {
				t.Errorf("it gets %s\nwant %s", all, want)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if last := r.authorizations[len(r.authorizations)-1]; last != "Bearer secret-token" {
				t.Errorf("the credentials are %q", last)
			}
		})
	}
}

func words(m *metricpb.Metric) string {
	switch {
	case m.GetSum().GetIsMonotonic():
		return fmt.Sprint(m.Name, " ", m.GetSum().DataPoints[0].GetAsDouble())
	case m.GetGauge() != nil:
		return fmt.Sprint(m.Name, " ", m.GetGauge().DataPoints[0].GetAsDouble())
	case m.GetHistogram() != nil:
		p := m.GetHistogram().DataPoints[0]
		of := ""
		for _, e := range p.Exemplars {
			of += fmt.Sprintf(", %v is of %s %s", e.GetAsDouble(), hex.EncodeToString(e.TraceId), hex.EncodeToString(e.SpanId))
		}
		return fmt.Sprint(m.Name, " ", p.Attributes[0].Value.GetStringValue(), " ", p.Count, " of ", p.GetSum(), " in ", p.BucketCounts, " under ", p.ExplicitBounds, of)
	}
	return m.String()
}

// TestMetricsThatAreRefused has a collector without a pipeline for metrics, which repeats what is
// secret. It is tried again and again, and said once.
func TestMetricsThatAreRefused(t *testing.T) {
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "5")
	for _, protocol := range []string{ProtocolGRPC, ProtocolHTTP} {
		r := newMetricsReceiver(t)
		r.refuse = "who are you, secret-token?"
		to := r.grpc
		if protocol == ProtocolHTTP {
			to = r.http
		}
		var mu sync.Mutex
		var log strings.Builder
		m, err := NewMetrics(Config{Endpoint: to, Protocol: protocol, Headers: "authorization=secret-token"}, counted(t), nil,
			funcr.New(func(_, line string) {
				mu.Lock()
				defer mu.Unlock()
				log.WriteString(line + "\n")
			}, funcr.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		<-r.got
		<-r.got
		<-r.got
		r.mu.Lock()
		r.refuse = ""
		r.mu.Unlock()
		m.Shutdown(t.Context())
		mu.Lock()
		if said := log.String(); strings.Count(said, "does not take metrics") != 1 || strings.Count(said, "takes metrics again") != 1 || strings.Contains(said, "secret-token") {
			t.Errorf("%s: it logs\n%s", protocol, said)
		}
		mu.Unlock()
	}
}

// TestWhereMetricsGo is what the variables say of them.
func TestWhereMetricsGo(t *testing.T) {
	for name, test := range map[string]struct {
		env   map[string]string
		c     Config
		want  string // the endpoint, or the error
		times metricTimes
	}{
		"nothing":      {want: "http://localhost:4317"},
		"as traces":    {c: Config{Endpoint: "https://collector:4318"}, want: "https://collector:4318/v1/metrics"},
		"of their own": {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b:4318/push", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, want: "http://b:4318/push"},
		"an interval":  {env: map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "5000", "OTEL_METRIC_EXPORT_TIMEOUT": "1000"}, want: "http://localhost:4317", times: metricTimes{5 * time.Second, time.Second}},
		"no interval":  {env: map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "1m"}, want: `OTEL_METRIC_EXPORT_INTERVAL: "1m" is not a number of milliseconds`},
		"no protocol":  {env: map[string]string{"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "json"}, want: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			s, times, err := test.c.forMetrics()
			if test.times == (metricTimes{}) {
				test.times = metricTimes{DefaultMetricInterval, DefaultMetricTimeout}
			}
			switch {
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("the error is %v, want %s", err, test.want)
			case err == nil && (s.endpoint.target != test.want || times != test.times):
				t.Errorf("they go to %s at %v, want %s at %v", s.endpoint.target, times, test.want, test.times)
			}
		})
	}
	for value, want := range map[string]bool{"": false, "none": false, "otlp": true, "prometheus, otlp": true, "prometheus": false} {
		t.Setenv("OTEL_METRICS_EXPORTER", value)
		if asked, err := MetricsWanted(); asked != want || err != nil {
			t.Errorf("OTEL_METRICS_EXPORTER=%s asks for metrics: %t, %v", value, asked, err)
		}
	}
	for _, value := range []string{"bogus", "otlp,bogus", "otlp-not", "OTLP", "console"} {
		t.Setenv("OTEL_METRICS_EXPORTER", value)
		if asked, err := MetricsWanted(); asked || err == nil || !strings.HasPrefix(err.Error(), "OTEL_METRICS_EXPORTER: ") || !strings.Contains(err.Error(), "otlp, prometheus or none") {
			t.Errorf("OTEL_METRICS_EXPORTER=%s asks for metrics: %t, %v", value, asked, err)
		}
	}
}
