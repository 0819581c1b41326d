package causality_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Whoever looks at what is in progress, at each observation of every recording, changes nothing
// of what is told. What is open then is told later with the same ID.
func TestPreviewChangesNothing(t *testing.T) {
	options := causality.Options{InProgressAfter: 10 * time.Second}
	previewed, later := 0, 0
	forEachRecording(t, func(t *testing.T, obs []causality.Observation) {
		plain, watched := causality.New(options), causality.New(options)
		roots := map[trace.SpanID]bool{}
		check := func(i int, want, got []spans.Trace) {
			t.Helper()
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("after observation %d:\n%s\nis told, and by who was looked at\n%s", i, tree(t, want), tree(t, got))
			}
			for _, told := range got {
				if !told.Late && roots[told.Root().SpanID] {
					later++
				}
			}
		}
		for i, o := range obs {
			check(i, plain.Observe(o), watched.Observe(o))
			if i%stride(t) > 0 {
				continue
			}
			for _, v := range watched.Preview() {
				checkPreview(t, v)
				roots[v.Root().SpanID] = true
				previewed++
			}
		}
		check(len(obs), plain.Flush(), watched.Flush())
		if want, got := plain.Stats(), watched.Stats(); !reflect.DeepEqual(want, got) {
			t.Errorf("the counters are %+v and not %+v", got, want)
		}
	})
	if previewed < 1000 || later < 60 {
		t.Errorf("there were %d previews, and %d changes were told after one", previewed, later)
	}
}

// checkPreview holds that a preview is a whole trace: one root, and parents before their children.
func checkPreview(t *testing.T, v spans.Trace) {
	t.Helper()
	known := map[trace.SpanID]bool{}
	for i, s := range v.Spans {
		if i > 0 && !known[s.ParentID] || known[s.SpanID] || s.TraceID != v.Root().TraceID {
			t.Fatalf("%s is not where it belongs:\n%s", s.Name, tree(t, []spans.Trace{v}))
		}
		known[s.SpanID] = true
	}
	outcome, _ := v.Root().Attribute(attr.OutcomeKey)
	waiting, waits := v.Root().Attribute(attr.WaitingForKey)
	if open := outcome.AsString() == string(attr.OutcomeOpen); open != waits || v.Late {
		t.Fatalf("it is %s and waits for %q:\n%s", outcome.AsString(), waiting.AsString(), tree(t, []spans.Trace{v}))
	}
	if waits != (v.Waits != nil) || waits && v.Waits.String() != waiting.AsString() {
		t.Fatalf("it waits for %q, in parts for %+v", waiting.AsString(), v.Waits)
	}
}

// While a large image is pulled, the preview of the rollout has the pull, and says what is ready.
func TestPreviewOfSlowPull(t *testing.T) {
	engine := causality.New(causality.Options{})
	var last time.Time
	for _, o := range load(t, "slow-image-pull") {
		engine.Observe(o)
		last = o.Time
		for _, v := range engine.Preview() {
			if !slices.ContainsFunc(v.Spans, func(s spans.Span) bool { return s.Name == "pull image" }) {
				continue
			}
			waiting, _ := v.Root().Attribute(attr.WaitingForKey)
			if v.Root().Name != "Deployment rollout" || !strings.HasPrefix(waiting.AsString(), "0 of 1 ready") || !v.Root().End.Equal(last) {
				t.Errorf("it waits for %q:\n%s", waiting.AsString(), tree(t, []spans.Trace{v}))
			}
			return
		}
	}
	t.Error("nothing was pulled")
}
