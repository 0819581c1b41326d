package export_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
)

// documented are the numbers in the row of a table that begins with these cells.
func documented(t *testing.T, file, row string) (numbers []int) {
	t.Helper()
	doc, err := os.ReadFile("../../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "\n| "+row+" |")
	if !found {
		t.Fatalf("docs/%s has no row %q", file, row)
	}
	line, _, _ := strings.Cut(rest, "\n")
	for _, number := range regexp.MustCompile(`[0-9][0-9,]*`).FindAllString(line, -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(number, ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// near checks that documented numbers are right to a tenth.
func near(t *testing.T, row string, said, are []int) {
	t.Helper()
	right := len(said) == len(are)
	for i := 0; right && i < len(are); i++ {
		right = 10*max(said[i]-are[i], are[i]-said[i]) <= are[i]
	}
	if !right {
		t.Errorf("%s: the docs say %d, it is %d", row, said, are)
	}
}

// TestSizesAreDocumented holds docs/traces.md to how many bytes the spans of the recordings take,
// with one Resource for each component and object, and with the same attributes on each span. The
// first is never more, and with gzip it is not twice as much.
func TestSizesAreDocumented(t *testing.T) {
	encoder, err := otlp.NewEncoder(otlp.Options{ClusterName: "production", ClusterUID: "0b2e2f5d-6a55-4d14-9d3b-0a5b6f3c1d11", Version: "v1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	grouped := recorded(t)
	var single []spans.Trace
	for _, tr := range grouped {
		tr.Spans = slices.Clone(tr.Spans)
		for i := range tr.Spans {
			s := &tr.Spans[i]
			s.Attributes, s.Resource = slices.Concat(s.Resource, s.Attributes), nil
		}
		single = append(single, tr)
	}
	for row, requests := range map[string]func([]spans.Trace) [][]spans.Trace{"of 512 spans": func(all []spans.Trace) [][]spans.Trace { return [][]spans.Trace{all} }, "of one trace": each} {
		var are []int
		for _, traces := range [][]spans.Trace{grouped, single} {
			plain, compressed := 0, 0
			for _, of := range requests(traces) {
				p, c := sizeOf(t, encoder, of)
				plain, compressed = plain+p, compressed+c
			}
			are = append(are, plain, compressed)
		}
		if are[0] > are[2] || are[1] > 2*are[3] {
			t.Errorf("%s: %d bytes, and %d with gzip, are more than %d and %d", row, are[0], are[1], are[2], are[3])
		}
		near(t, row, documented(t, "traces.md", row), are)
	}
}

// sizeOf is how many bytes traces take in requests of 512 spans, and with gzip.
func sizeOf(t *testing.T, encoder *otlp.Encoder, traces []spans.Trace) (plain, compressed int) {
	t.Helper()
	items, err := encoder.Pack(traces)
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]*otlp.Packed, len(items))
	for i := range items {
		batch[i] = &items[i]
	}
	for part := range slices.Chunk(batch, 512) {
		wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: encoder.Request(part)})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(wire); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		plain, compressed = plain+len(wire), compressed+out.Len()
	}
	return plain, compressed
}

// TestSeriesAreDocumented holds docs/collector.md to how many series the example's connector makes of
// the recordings' spans: each combination of its dimensions has those of a histogram, and calls.
func TestSeriesAreDocumented(t *testing.T) {
	config, err := os.ReadFile("../../../deploy/examples/collector/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bounds := regexp.MustCompile(`buckets: \[(.*)\]`).FindSubmatch(config)
	if bounds == nil || !strings.Contains(string(config), "exclude_dimensions: [span.name]\n") ||
		!strings.Contains(string(config), "dimensions:\n    - name: rollspan.change\n    - name: rollspan.outcome\n    histogram:") {
		t.Fatal("the example has other dimensions than this test counts")
	}
	perCombination := strings.Count(string(bounds[1]), ",") + 1 + len([]string{"+Inf", "sum", "count", "calls"})

	const workloads = 5000
	traces := recorded(t)
	unnamed, others := map[combination]bool{}, map[combination]bool{}
	named := map[otlp.SpanNames]map[combination]bool{otlp.SpanNamesKind: {}, otlp.SpanNamesObject: {}}
	for names, seen := range named {
		encoder, err := otlp.NewEncoder(otlp.Options{SpanNames: names})
		if err != nil {
			t.Fatal(err)
		}
		for i := range traces {
			targets := map[string]bool{}
			for _, s := range traces[i].Spans {
				if s.Target != "" {
					targets[s.Name+" "+s.Target] = true
				}
			}
			for _, of := range encoder.Encode(traces[i : i+1]) {
				for _, s := range of.GetScopeSpans()[0].GetSpans() {
					c := combination{service: of.GetResource().GetAttributes()[0].GetValue().GetStringValue(), kind: s.GetKind(), status: s.GetStatus().GetCode()}
					for _, kv := range s.GetAttributes() {
						switch kv.GetKey() {
						case "rollspan.change":
							c.change = kv.GetValue().GetStringValue()
						case "rollspan.outcome":
							c.outcome = kv.GetValue().GetStringValue()
						}
					}
					unnamed[c] = true
					c.name = s.GetName()
					seen[c] = true
					if names == otlp.SpanNamesObject && !targets[c.name] {
						others[c] = true
					}
				}
			}
		}
	}
	for row, is := range map[string]int{
		"left out | whatever they are":                                                         len(unnamed),
		"a dimension | `Deployment rollout` (`--span-names=kind`)":                             len(named[otlp.SpanNamesKind]),
		"a dimension | `Deployment rollout shop/web`, another for each workload (the default)": len(others) + workloads,
	} {
		near(t, row, documented(t, "collector.md", row), []int{is, is * perCombination})
	}
}

// combination is what the example's connector tells series apart by.
type combination struct {
	service, change, outcome, name string
	kind                           tracepb.Span_SpanKind
	status                         tracepb.Status_StatusCode
}
