package causality_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// tempoBytes is what Tempo counts a trace as, against its max_bytes_per_trace, if that is
// sent in one request: requestsByTraceID in modules/distributor/distributor.go takes a
// request apart into its traces, with the Resource and the scope, and without the URL of the
// schema; modules/livestore/instance.go adds up the sizes.
func tempoBytes(encoder *otlp.Encoder, tr spans.Trace) int {
	size := 0
	for _, rs := range encoder.Encode([]spans.Trace{tr}) {
		of := &tracepb.ResourceSpans{Resource: rs.GetResource()}
		for _, in := range rs.GetScopeSpans() {
			of.ScopeSpans = append(of.ScopeSpans, &tracepb.ScopeSpans{Scope: in.GetScope(), Spans: in.GetSpans()})
		}
		size += proto.Size(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{of}})
	}
	return size
}

// TestTempoBytesAreDocumented holds docs/tempo.md to how large the traces of rollouts are as
// Tempo counts them, so that who reads it knows from how many pods on a trace is refused.
func TestTempoBytesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/tempo.md")
	if err != nil {
		t.Fatal(err)
	}
	stated := regexp.MustCompile(`a pod takes ([0-9,]+) bytes`).FindSubmatch(doc)
	if stated == nil {
		t.Fatal("docs/tempo.md does not say how many bytes a pod takes")
	}
	want, err := strconv.Atoi(strings.ReplaceAll(string(stated[1]), ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "prod-eu-1", Version: "v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	var each []int // of the rollouts: bytes for each pod that started
	forEachRecording(t, func(_ *testing.T, obs []causality.Observation) {
		for _, tr := range replayWith(watching, obs) {
			pods := 0
			for _, s := range tr.Spans {
				if s.Kind == kind.PodStart {
					pods++
				}
			}
			if change(tr.Spans[0]) == "rollout" && pods > 0 && value(tr.Spans[0], "rollspan.outcome").AsString() == "complete" {
				each = append(each, tempoBytes(encoder, tr)/pods)
			}
		}
	})
	slices.Sort(each)
	if median := each[len(each)/2]; median < want*9/10 || median > want*11/10 {
		t.Errorf("a pod takes %d bytes (median of %d rollouts), and docs/tempo.md says %d", median, len(each), want)
	}
}
