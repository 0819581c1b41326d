package causality_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// TestMain bounds the property tests, which replay whole recordings: more
// cases are a flag away (-rapid.checks).
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.checks": "12", "rapid.shrinktime": "5s", "rapid.nofailfile": "true"} {
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
		if !given {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

const recordingsDir = "../../test/recordings"

// recordings returns the names of all recordings.
func recordings(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recordingsDir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", recordingsDir, err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".jsonl"))
	}
	return names
}

// forEachRecording runs a test over all of them.
func forEachRecording(t *testing.T, test func(t *testing.T, obs []causality.Observation)) {
	for _, name := range recordings(t) {
		t.Run(name, func(t *testing.T) { test(t, load(t, name)) })
	}
}

// stride is from how many observations one is chosen where rollspan is to be stopped at each.
// Those of Argo Rollouts are as long as all the others, so a short run chooses some of them.
func stride(t *testing.T) int {
	if testing.Short() && strings.Contains(t.Name(), "/argo-rollouts-") {
		return 9
	}
	return 1
}

// load reads a recording.
func load(t testing.TB, name string) []causality.Observation {
	t.Helper()
	f, err := os.Open(filepath.Join(recordingsDir, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	var obs []causality.Observation
	r := watcher.NewRecordingReader(f, name)
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return obs
		}
		if err != nil {
			t.Fatal(err)
		}
		obs = append(obs, o)
	}
}

// newEngine returns an engine whose faults fail the test: where it runs they are
// contained.
func newEngine(options causality.Options) *causality.Engine {
	options.OnFault = func(f causality.Fault) {
		panic(fmt.Sprintf("%s: %s for %s: %s at %s\n%s", f.Kind, f.Doing, f.Object, f.Reason, f.Place, f.Stack))
	}
	return causality.New(options)
}

// replay feeds observations to a new engine and returns all it hands out.
func replay(obs []causality.Observation) []spans.Trace { return replayWith(causality.Options{}, obs) }

func replayWith(options causality.Options, obs []causality.Observation) []spans.Trace {
	e := newEngine(options)
	var out []spans.Trace
	for _, o := range obs {
		out = append(out, e.Observe(o)...)
	}
	return append(out, e.Flush()...)
}

// allSpans puts the spans of all traces in a row.
func allSpans(traces []spans.Trace) []spans.Span {
	var out []spans.Span
	for _, t := range traces {
		out = append(out, t.Spans...)
	}
	return out
}

// withoutEvents leaves out every Event.
func withoutEvents(obs []causality.Observation) []causality.Observation {
	return slices.DeleteFunc(slices.Clone(obs), func(o causality.Observation) bool {
		_, is := o.Object.(*corev1.Event)
		return is
	})
}

// identity tells an observation's object from others.
func identity(o causality.Observation) string {
	m, ok := o.Object.(metav1.Object)
	if !ok {
		return ""
	}
	return string(m.GetUID())
}

// tree renders traces as the golden files have them.
func tree(t testing.TB, traces []spans.Trace) string {
	t.Helper()
	for _, tr := range traces {
		soundPath(t, tr)
		soundChain(t, tr)
	}
	return writeTrees(t, traces)
}

func writeTrees(t testing.TB, traces []spans.Trace) string {
	t.Helper()
	var b strings.Builder
	for i, tr := range traces {
		if i > 0 {
			b.WriteByte('\n')
		}
		if err := text.WriteTree(&b, tr); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
