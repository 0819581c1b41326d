package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// sampledTest has the Collector write what comes in and what goes out, and decide when
// all of a trace is sure to be there.
const sampledTest = `
processors:
  k8s_attributes: {auth_type: kubeConfig}
  tail_sampling: {decision_wait: 20s}
  batch: {timeout: 200ms}
exporters:
  file/in: {path: in.jsonl, flush_interval: 200ms}
  file/out: {path: out.jsonl, flush_interval: 200ms}
  debug: {}
service:
  pipelines:
    traces/in: {receivers: [otlp], exporters: [file/in]}
    traces: {processors: [tail_sampling, batch], exporters: [file/out]}
    metrics: {exporters: [debug]}
`

// TestSampled has the Collector of deploy/examples/collector keep, of the recordings' changes, those
// that failed or were slow, and each of these whole. What it keeps of the others, which is every
// tenth, it keeps whole, too.
func TestSampled(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	root, err := harness.Checkout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	example := func(name string) string { return filepath.Join(root, "deploy", "examples", "collector", name) }
	collector := controlplane.StartCollectorForTest(t, controlplane.Options{}, s.cluster.Kubeconfig(),
		example("config.yaml"), example("sampled.yaml"), s.file("here.yaml", sampledTest))
	recordings, err := filepath.Glob(filepath.Join(root, "test", "recordings", "*.jsonl"))
	if err != nil || len(recordings) == 0 {
		t.Fatalf("%d recordings, %v", len(recordings), err)
	}
	// Half of the recordings' changes are shorter than this.
	args := append([]string{"replay", "--in-progress-after=20s", "--otlp-endpoint", collector.OTLPGRPC()}, recordings...)
	if out, err := exec.CommandContext(t.Context(), s.binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	last := s.sendForeign(collector)

	whole := map[string]map[string]bool{} // spans by trace
	wanted := map[string]bool{}           // traces
	s.eventually("all comes in", func() error {
		in, err := spansIn(collector, "in.jsonl")
		if _, ok := in[last]; err == nil && !ok {
			err = fmt.Errorf("%d spans came", len(in))
		}
		for key, sp := range in {
			if whole[sp.TraceID] == nil {
				whole[sp.TraceID] = map[string]bool{}
			}
			whole[sp.TraceID][key] = true
			by, slower := sp.Attributes["rollspan.slower.by"].(float64)
			if sp.Attributes["rollspan.outcome"] == "failed" || sp.Status.Code == statusError || sp.Attributes["rollspan.in_progress"] != nil || slower && by > 10 {
				wanted[sp.TraceID] = true
			}
		}
		return err
	})
	if len(wanted) < 10 || len(wanted) > len(whole)-10 {
		t.Fatalf("%d traces of %d are wanted, which shows little", len(wanted), len(whole))
	}
	var out map[string]controlplane.Span
	s.eventually("what is wanted goes out, whole", func() error {
		var err error
		if out, err = spansIn(collector, "out.jsonl"); err != nil {
			return err
		}
		for id := range wanted {
			for key := range whole[id] {
				if _, ok := out[key]; !ok {
					return fmt.Errorf("%d spans are out, and not %s", len(out), key)
				}
			}
		}
		return nil
	})
	kept := map[string]bool{}
	for _, sp := range out {
		kept[sp.TraceID] = true
	}
	if more := len(kept) - len(wanted); more > (len(whole)-len(wanted))/2 {
		t.Errorf("%d traces are kept of %d that neither failed nor were slow", more, len(whole)-len(wanted))
	}
	for id := range kept {
		for key := range whole[id] {
			if _, ok := out[key]; !ok {
				t.Errorf("of a trace that is kept %s is missing", key)
			}
		}
	}
}
