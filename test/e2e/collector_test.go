package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// collectorTest changes the Collector of deploy/examples/collector where it has to be another
// for the test:
//
//   - what comes in is written to a file before anything is done to it, and what goes
//     out to another;
//   - pods are looked up also by the address that a span comes from, as the preset of the
//     Collector's Helm chart does, so that it would be seen if spans had the wrong pod;
//   - the sampler decides after a second, and not after half a minute. Spans in progress
//     come minutes before their root in production, so it decides on them alone; here
//     seconds have to do.
const collectorTest = `
processors:
  k8s_attributes:
    auth_type: kubeConfig
    wait_for_metadata: true
    wait_for_metadata_timeout: 5m
    pod_association:
    - sources:
      - from: resource_attribute
        name: k8s.pod.uid
    - sources:
      - from: connection
    extract:
      metadata: [k8s.namespace.name, k8s.pod.name, k8s.pod.uid, k8s.node.name, k8s.deployment.name]
      labels:
      - key: app
        tag_name: test.label.app
  tail_sampling:
    decision_wait: 1s
  batch:
    timeout: 200ms
connectors:
  spanmetrics:
    metrics_flush_interval: 1s
exporters:
  file/in:
    path: in.jsonl
    flush_interval: 200ms
  file/out:
    path: out.jsonl
    flush_interval: 200ms
  file/metrics:
    path: metrics.jsonl
    flush_interval: 200ms
  file/pushed:
    path: pushed.jsonl
    flush_interval: 200ms
  file/logs:
    path: logs.jsonl
    flush_interval: 200ms
  otlp_grpc/traces:
    endpoint: JAEGER
service:
  pipelines:
    traces/in:
      receivers: [otlp]
      exporters: [file/in]
    traces:
      exporters: [otlp_grpc/traces, file/out]
    metrics:
      exporters: [file/metrics]
    metrics/pushed:
      receivers: [otlp]
      exporters: [file/pushed]
    logs:
      exporters: [file/logs]
`

// TestThroughCollector has the Collector of deploy/examples/collector, with the rights that its
// manifests give it, between rollspan and Jaeger. What comes out is what went in: of all
// recordings, and of live rollouts whose first spans the sampler has decided on before
// the root comes, and whose last come when the root was sent.
func TestThroughCollector(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ui := s.dataFile("jaeger.yaml")
	uiConfig := filepath.Join(root, "deploy", "examples", "jaeger", "ui-config.json")
	if err := os.WriteFile(ui, []byte("extensions:\n  jaeger_query:\n    ui:\n      config_file: "+uiConfig+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	jaeger := controlplane.StartJaegerForTest(t, controlplane.Options{}, ui)
	s.hasUIConfig(jaeger, uiConfig)
	s.collector = jaeger
	if err := s.kubectl(t.Context(), "apply", "-f", filepath.Join(root, "deploy", "examples", "collector", "rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := s.cluster.KubeconfigFor(t.Context(), "rollspan", "otel-collector",
		authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods"})
	if err != nil {
		t.Fatal(err)
	}
	s.podOfTheSender()
	config := s.dataFile("collector.yaml")
	here := strings.ReplaceAll(collectorTest, "JAEGER", strings.TrimPrefix(jaeger.OTLPGRPC(), "http://"))
	if err := os.WriteFile(config, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	collector := controlplane.StartCollectorForTest(t, controlplane.Options{}, kubeconfig,
		filepath.Join(root, "deploy", "examples", "collector", "config.yaml"), config)

	foreign := []string{s.sendForeign(collector)}
	// With the settle period of the other tests it would be too late for log records to be certain.
	program := s.runApart("--otlp-endpoint", collector.OTLPGRPC(), "--settle", "5s", "--otlp-metrics", "--in-progress-after", "5s", "--in-progress-every", "5s", "--linger", "1s",
		"--logs", "--events-exclude", "reason=Pulled")
	s.collector = jaeger // and not where others send
	s.watches(program, liveKinds...)
	s.create(app{gated: true})
	printed := s.replayAll(root, collector)

	// The root comes when the sampler has decided on what came before it.
	s.eventually("a span in progress is through, and no root", func() error {
		traces, err := s.traces(inProgress)
		if err == nil && len(traces) == 0 {
			err = errors.New("no trace is in progress")
		}
		return err
	})
	logged := s.eventsAreLogged(collector)
	s.completeGated(1, "1")
	if id := s.rolloutID(1); logged != id {
		t.Errorf("the Events of the first rollout are logged with trace %s, and it is %s", logged, id)
	}
	if first := s.rollout(1); len(named(first, inProgress)) == 0 {
		t.Errorf("nothing was in progress:\n%s", text(first))
	}
	pods := s.pods("1")

	// The old pod stays until its rollout is in Jaeger, so that its stop comes after.
	s.kubectlRun("patch", "pod/"+pods[0].Name, "--patch", `{"metadata":{"finalizers":["e2e.test/hold"]}}`)
	s.update("2")
	s.completeGated(2, "2")
	second := s.rolloutID(2)
	s.kubectlRun("patch", "pod/"+pods[0].Name, "--patch", `{"metadata":{"finalizers":null}}`)
	s.eventually("the stop that comes after its root", func() error {
		now, err := jaeger.Trace(t.Context(), second)
		if err == nil && len(named(&now, "Pod stop")) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
	pods = append(pods, s.pods("2")...)
	stopped(t, program)

	// What comes last was written last, so that the rest is there.
	foreign = append(foreign, s.sendForeign(collector))
	var in map[string]controlplane.Span
	s.eventually("all spans come in", func() (err error) {
		if in, err = spansIn(collector, "in.jsonl"); err != nil {
			return err
		}
		for _, id := range foreign {
			if _, ok := in[id]; !ok {
				return fmt.Errorf("%d spans came, and not %s", len(in), id)
			}
		}
		return nil
	})
	for _, id := range foreign {
		delete(in, id)
	}
	if len(in) <= len(printed) {
		t.Errorf("%d spans came in, and the replays are %d of them", len(in), len(printed))
	}
	for id, want := range printed {
		if got, ok := in[id]; !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("a replay printed\n%+v, and sent\n%+v", want, got)
		}
	}
	for into, read := range map[string]func() (map[string]controlplane.Span, error){
		"the file": func() (map[string]controlplane.Span, error) { return spansIn(collector, "out.jsonl") },
		"Jaeger":   func() (map[string]controlplane.Span, error) { return spansAsIn(t.Context(), jaeger, in) },
	} {
		var out map[string]controlplane.Span
		s.eventually("all spans come out into "+into, func() (err error) {
			if out, err = read(); err == nil && len(out) < len(in) {
				err = fmt.Errorf("%d of %d are there", len(out), len(in))
			}
			return err
		})
		cameThrough(t, into, in, out)
		if wrong := enrichment(out, pods); len(wrong) > 0 {
			t.Errorf("%s: %d spans have a Resource that is not their pod's, the first: %s", into, len(wrong), wrong[0])
		}
	}
	s.oneSeriesEach(collector)
	s.pushed(collector, second)
}

// pushed checks what rollspan has pushed of its own metrics when it was stopped: both rollouts are
// counted, in the buckets that Prometheus would have scraped, and an exemplar leads to the second.
func (s *space) pushed(collector *controlplane.OpenTelemetryCollector, second string) {
	s.t.Helper()
	type attributes []struct {
		Key   string
		Value struct{ StringValue string }
	}
	has := func(list attributes, key, value string) bool {
		return slices.ContainsFunc(list, func(a struct {
			Key   string
			Value struct{ StringValue string }
		}) bool {
			return a.Key == key && a.Value.StringValue == value
		})
	}
	var export struct {
		ResourceMetrics []struct {
			Resource     struct{ Attributes attributes }
			ScopeMetrics []struct {
				Metrics []struct {
					Name      string
					Histogram struct {
						DataPoints []struct {
							Attributes     attributes
							Count          string
							ExplicitBounds []float64
							Exemplars      []struct{ TraceID string }
						}
					}
				}
			}
		}
	}
	s.eventually("metrics of rollspan", func() error {
		content, err := os.ReadFile(filepath.Join(collector.Dir(), "pushed.jsonl"))
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		last := lines[len(lines)-1]
		if err := json.Unmarshal([]byte(last), &export); err != nil {
			return err
		}
		of := export.ResourceMetrics[0]
		if !has(of.Resource.Attributes, "service.name", "rollspan") || !has(of.Resource.Attributes, "k8s.cluster.name", clusterName) {
			return fmt.Errorf("the Resource is %v", of.Resource)
		}
		for _, m := range of.ScopeMetrics[0].Metrics {
			for _, p := range m.Histogram.DataPoints {
				if m.Name == "rollspan_change_duration_seconds" && has(p.Attributes, "namespace", s.name) && has(p.Attributes, "change", "rollout") &&
					p.Count == "2" && len(p.ExplicitBounds) > 10 && len(p.Exemplars) > 0 {
					for _, e := range p.Exemplars {
						if e.TraceID == second {
							return nil
						}
					}
				}
			}
		}
		return fmt.Errorf("nothing has the two rollouts, and leads to %s:\n%s", second, last)
	})
}

// jaegerConfig is how Jaeger hands its UI the configuration, in the page it is started from.
var jaegerConfig = regexp.MustCompile(`(?m)^\s*JAEGER_CONFIG = (.*);$`)

// hasUIConfig checks that Jaeger has taken the configuration of its UI.
func (s *space) hasUIConfig(jaeger *controlplane.Jaeger, path string) {
	s.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.Get(jaeger.QueryURL() + "/")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var want, got map[string]any
	if err := json.Unmarshal(content, &want); err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	found := jaegerConfig.FindSubmatch(page)
	if found == nil {
		s.t.Fatalf("Jaeger's page has no configuration:\n%s", page)
	}
	if err := json.Unmarshal(found[1], &got); err != nil || !reflect.DeepEqual(got, want) {
		s.t.Errorf("Jaeger's page has %s (%v), and not that of %s", found[1], err, path)
	}
}

// podOfTheSender makes a pod that has the address that spans come from here, as rollspan's
// own pod has in a cluster. It never runs.
func (s *space) podOfTheSender() {
	s.t.Helper()
	pods := s.client.CoreV1().Pods(metav1.NamespaceDefault)
	pod, err := pods.Create(s.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "sender-", Labels: map[string]string{"app": "rollspan"}},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: "e2e.test/never"}},
			Containers:      []corev1.Container{{Name: container, Image: s.image("1")}},
		},
	}, asCreator)
	pod = created(s, pod, err)
	s.t.Cleanup(func() {
		if err := pods.Delete(context.WithoutCancel(s.t.Context()), pod.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
	const status = `{"status":{"podIP":"127.0.0.1","podIPs":[{"ip":"127.0.0.1"}]}}`
	if _, err := pods.Patch(s.t.Context(), pod.Name, types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		s.t.Fatal(err)
	}
}

// sendForeign sends a span that is not rollspan's, which the sampler drops, and returns
// its key.
func (s *space) sendForeign(collector *controlplane.OpenTelemetryCollector) string {
	s.t.Helper()
	exporter, err := otlptracegrpc.New(s.t.Context(), otlptracegrpc.WithEndpointURL(collector.OTLPGRPC()), otlptracegrpc.WithTimeout(patience))
	if err != nil {
		s.t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	_, span := provider.Tracer("somebody-else").Start(s.t.Context(), "GET /")
	span.End()
	if err := provider.Shutdown(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return span.SpanContext().TraceID().String() + " " + span.SpanContext().SpanID().String()
}

// replayAll sends all recordings to the Collector, and returns the spans that replays of
// them print.
func (s *space) replayAll(root string, collector *controlplane.OpenTelemetryCollector) map[string]controlplane.Span {
	s.t.Helper()
	recordings, err := filepath.Glob(filepath.Join(root, "test", "recordings", "*.jsonl"))
	if err != nil || len(recordings) == 0 {
		s.t.Fatalf("%d recordings, %v", len(recordings), err)
	}
	replay := func(args ...string) []byte {
		var out, said bytes.Buffer
		cmd := exec.CommandContext(s.t.Context(), s.binary, append([]string{"replay"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			s.t.Fatalf("replay %s: %v: %s", args, err, &said)
		}
		return out.Bytes()
	}
	printed := map[string]controlplane.Span{}
	for _, recording := range recordings {
		spans, err := controlplane.ReadSpans(bytes.NewReader(replay("-o", "otlp-json", recording)))
		if err != nil {
			s.t.Fatal(err)
		}
		// One of them may be part of another.
		apart, err := byKey(spans)
		if err != nil {
			s.t.Fatal(err)
		}
		fresh := true
		for id := range apart {
			_, known := printed[id]
			fresh = fresh && !known
		}
		if !fresh {
			s.t.Fatalf("%s has spans that another recording has", recording)
		}
		maps.Copy(printed, apart)
		replay("--otlp-endpoint", collector.OTLPGRPC(), recording)
	}
	return printed
}

// byKey has the spans by their trace and ID.
func byKey(spans []controlplane.Span) (map[string]controlplane.Span, error) {
	out := map[string]controlplane.Span{}
	for _, sp := range spans {
		key := sp.TraceID + " " + sp.ID
		if _, twice := out[key]; twice {
			return nil, final{fmt.Errorf("%s %s is there twice", sp.Name, key)}
		}
		out[key] = sp
	}
	return out, nil
}

// spansIn are those in a file that the Collector writes.
func spansIn(collector *controlplane.OpenTelemetryCollector, name string) (map[string]controlplane.Span, error) {
	file, err := os.Open(filepath.Join(collector.Dir(), name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	spans, err := controlplane.ReadSpans(file)
	if err != nil {
		return nil, final{err}
	}
	return byKey(spans)
}

// spansAsIn are those that Jaeger has of the traces which these spans are of.
func spansAsIn(ctx context.Context, jaeger *controlplane.Jaeger, of map[string]controlplane.Span) (map[string]controlplane.Span, error) {
	traces := map[string]bool{}
	for _, sp := range of {
		traces[sp.TraceID] = true
	}
	var spans []controlplane.Span
	for id := range traces {
		t, err := jaeger.Trace(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, sp := range t.Spans {
			spans = append(spans, unwarned(sp))
		}
	}
	return byKey(spans)
}

// unwarned undoes what Jaeger 2.13 does to a span that begins and ends in one instant: it
// takes that for a negative duration, adds a nanosecond and says so in an attribute.
func unwarned(sp controlplane.Span) controlplane.Span {
	const key = "@jaeger@warnings"
	warning := fmt.Sprint(sp.Attributes[key])
	if strings.HasPrefix(warning, "[Negative duration detected") && sp.End.Equal(sp.Start.Add(1)) {
		sp.End = sp.Start
		delete(sp.Attributes, key)
	}
	return sp
}

// cameThrough checks that the spans which came out are those that went in, and as they
// were, but that their Resource may have more attributes.
func cameThrough(t *testing.T, into string, in, out map[string]controlplane.Span) {
	t.Helper()
	for id, got := range out {
		want, ok := in[id]
		if !ok {
			t.Errorf("%s: %s %s went in nowhere", into, got.Name, id)
			continue
		}
		for key, value := range want.Resource {
			if !reflect.DeepEqual(got.Resource[key], value) {
				t.Errorf("%s: %s %s: %s of its Resource is %v, and was %v", into, got.Name, id, key, got.Resource[key], value)
			}
		}
		got.Resource = want.Resource
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s went in as\n%+v, and came out as\n%+v", into, id, want, got)
		}
	}
	for id, want := range in {
		if _, ok := out[id]; !ok {
			t.Errorf("%s: %s %s did not come out", into, want.Name, id)
		}
	}
}

// enrichment says which spans about one of these pods, of the Deployment app, have a
// Resource that is not that pod's, or that lacks what k8s_attributes adds of it.
func enrichment(spans map[string]controlplane.Span, pods []corev1.Pod) (wrong []string) {
	for _, pod := range pods {
		about := 0
		for id, sp := range spans {
			if sp.Resource["k8s.pod.uid"] != string(pod.UID) {
				continue
			}
			about++
			for key, want := range map[string]string{
				"k8s.pod.uid": string(pod.UID), "k8s.pod.name": pod.Name, "k8s.namespace.name": pod.Namespace,
				"k8s.node.name": pod.Spec.NodeName, "k8s.deployment.name": appName, "test.label.app": appName,
			} {
				if got := sp.Resource[key]; got != want {
					wrong = append(wrong, fmt.Sprintf("%s %s: %s of its Resource is %v, want %s", sp.Name, id, key, got, want))
				}
			}
		}
		if about == 0 {
			wrong = append(wrong, fmt.Sprintf("no span is about pod %s", pod.Name))
		}
	}
	return wrong
}

// oneSeriesEach checks what the Collector counts of spans: no series has the name of a
// span, and no two of one export are the same, as they would be if each Resource had its
// own.
func (s *space) oneSeriesEach(collector *controlplane.OpenTelemetryCollector) {
	s.t.Helper()
	type point struct {
		Attributes []struct {
			Key   string
			Value json.RawMessage
		}
	}
	type points struct{ DataPoints []point }
	var export struct {
		ResourceMetrics []struct {
			ScopeMetrics []struct {
				Metrics []struct {
					Name           string
					Sum, Histogram points
				}
			}
		}
	}
	s.eventually("metrics of spans", func() error {
		content, err := os.ReadFile(filepath.Join(collector.Dir(), "metrics.jsonl"))
		if err != nil {
			return err
		}
		lines := strings.Split(string(content), "\n")
		if len(lines) < 2 {
			return errors.New("there are none")
		}
		return json.Unmarshal([]byte(lines[len(lines)-2]), &export) // after the last there is nothing
	})
	seen := map[string]bool{}
	for _, resource := range export.ResourceMetrics {
		for _, scope := range resource.ScopeMetrics {
			for _, metric := range scope.Metrics {
				for _, p := range append(metric.Sum.DataPoints, metric.Histogram.DataPoints...) {
					slices.SortFunc(p.Attributes, func(a, b struct {
						Key   string
						Value json.RawMessage
					}) int {
						return strings.Compare(a.Key, b.Key)
					})
					series := fmt.Sprintf("%s %s", metric.Name, p.Attributes)
					if seen[series] {
						s.t.Errorf("there twice: %s", series)
					}
					seen[series] = true
					if strings.Contains(series, "span.name") {
						s.t.Errorf("the name of a span is in %s", series)
					}
				}
			}
		}
	}
	if len(seen) == 0 {
		s.t.Error("no spans are counted")
	}
}

// TestCollectorConfigs has the real Collector check each of its configurations in the
// checkout: every YAML file that has pipelines. One without receivers is laid over the
// config.yaml beside it.
func TestCollectorConfigs(t *testing.T) {
	t.Parallel()
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var config struct {
			Receivers map[string]any
			Service   struct{ Pipelines map[string]any }
		}
		if err := yaml.Unmarshal(content, &config); err != nil || len(config.Service.Pipelines) == 0 {
			return nil // it is something else
		}
		checked++
		files := []string{path}
		if len(config.Receivers) == 0 {
			files = []string{filepath.Join(filepath.Dir(path), "config.yaml"), path}
		}
		if err := controlplane.ValidateCollectorConfig(t.Context(), controlplane.Options{Progress: os.Stderr}, files...); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Error("there is no configuration of a Collector")
	}
}
