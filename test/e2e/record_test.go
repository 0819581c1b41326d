package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/test/controlplane"
)

// columns are those of a tree that say when a span began and how long it took.
var columns = regexp.MustCompile(`(?m)^ *[+-][0-9.]+s( +[0-9.]+s)?`)

// TestRecordAndReplay records what the common rollspan watches, and sends what
// the recording gives to the other Jaeger. Both must have the same.
func TestRecordAndReplay(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	file := s.dataFile("recording.jsonl")
	recorder := s.start(nil, "record", "-n", s.name, "-o", file, "--kubeconfig", s.cluster.Kubeconfig(), "--log-level", "debug")
	s.watches(recorder, liveKinds...)
	s.create(app{replicas: 2, probe: true, migrate: true, life: map[string]string{"boot.web": "1s", "stop": "1s", "back-off": "1h"}})
	s.complete(1)
	s.update("2")
	s.complete(2)
	s.update("nope")
	s.stuck("nope", "ImagePullBackOff")
	s.setDeadline(shortDeadline)
	live := []*trace{s.rollout(1), s.rollout(2), s.rollout(3)}
	stopped(t, recorder)

	run := func(args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), s.binary, args...)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, &said)
		}
		return out.String(), said.String()
	}
	s.asked(live, run)
	replay := func(args ...string) (stdout, stderr string) {
		t.Helper()
		return run(append([]string{"replay", "--cluster-name", clusterName, "--settle", settle}, append(args, file)...)...)
	}
	_, said := replay("-o", "otlp", "--otlp-endpoint", s.apart.OTLPGRPC())
	if !strings.Contains(said, ", 0 broken lines") {
		t.Errorf("the replay says %s", said)
	}
	s.collector = s.apart
	tree, _ := replay("-o", "tree")
	for i, want := range live {
		// The two of them saw each write a little sooner or later, and where
		// the API states whole seconds that is all there is.
		got := s.rollout(int64(i + 1))
		s.same(want, got)
		if !strings.Contains(tree, "trace "+want.ID) {
			t.Errorf("the tree lacks revision %d:\n%s", i+1, tree)
		}
		// What is sent may end a microsecond earlier, which can show in the
		// columns; these were compared above.
		known := columns.ReplaceAllString(tree, "")
		// What was said of it later is in a tree of its own.
		got.Spans = slices.DeleteFunc(got.Spans, func(sp controlplane.Span) bool { return sp.Name == lateEvents })
		for _, l := range strings.SplitAfter(columns.ReplaceAllString(text(got), ""), "\n") {
			if !strings.Contains(known, l) {
				t.Errorf("the replay's tree lacks a line that Jaeger has:\n%s", l)
			}
		}
	}
	// Nodes are in no namespace: what other tests do to them is recorded, too.
	if n := strings.Count(tree, "  namespace "+s.name+"\n"); n != len(live) {
		t.Errorf("the tree has %d changes of the namespace, want %d:\n%s", n, len(live), tree)
	}
	again, _ := replay("-o", "otlp-json")
	if twice, _ := replay("-o", "otlp-json"); again != twice {
		t.Error("two replays of one recording differ")
	}
	if n, want := strings.Count(again, "\n"), strings.Count(tree, "  trace "); n != want {
		t.Errorf("the replay is %d lines of OTLP JSON, want one for each of %d traces", n, want)
	}
}

// TestTwoHundredPods is more than client-go's Event recorder lets through: of
// the Events about one object it drops all but the first 25.
func TestTwoHundredPods(t *testing.T) {
	const size = 200
	s := newSpace(t)
	s.create(app{replicas: size, quick: true})
	s.complete(1)
	created := 0
	for _, ev := range s.events() {
		if ev.Reason == "SuccessfulCreate" {
			created++
		}
	}
	if created >= size {
		t.Errorf("there are %d SuccessfulCreate Events for %d pods: nothing was dropped, so this tests nothing", created, size)
	}
	s.wholeRollout(1, size, 0)
	pods := s.pods("1")

	s.update("2")
	s.complete(2)
	s.wholeRollout(2, size, size)
	if len(pods) != size {
		t.Errorf("there were %d pods", len(pods))
	}
	s.eventually("the queue is empty", func() error {
		if n := s.metric("rollspan_export_queue_spans"); n != 0 {
			return fmt.Errorf("%v spans wait", n)
		}
		return nil
	})
}

// wholeRollout waits until a rollout has so many starts and stops of pods; more
// than one request brings them.
func (s *space) wholeRollout(revision int64, starts, stops int) {
	s.t.Helper()
	id := s.rolloutID(revision)
	s.eventually(fmt.Sprintf("revision %d in whole", revision), func() error {
		t, err := s.whole(s.t.Context(), id)
		if err != nil {
			return err
		}
		if a, b := len(named(&t, "Pod start")), len(named(&t, "Pod stop")); a != starts || b != stops {
			return fmt.Errorf("%d pods start and %d stop", a, b)
		}
		for _, start := range named(&t, "Pod start") {
			if len(t.Children(start.ID)) < 4 {
				return fmt.Errorf("the start of %v has %d phases", start.Resource["k8s.pod.name"], len(t.Children(start.ID)))
			}
		}
		return nil
	})
	t, err := s.whole(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.law(&t)
	if starts > 0 {
		s.hasItsPods(id, s.pods(fmt.Sprint(revision)))
	}
	pods := map[any]int{}
	for _, start := range named(&t, "Pod start") {
		pods[start.Resource["k8s.pod.uid"]]++
	}
	if len(pods) != starts {
		s.t.Errorf("%d starts are of %d pods", starts, len(pods))
	}
	s.has(t.Root(), map[string]any{"rollspan.outcome": "complete", "rollspan.pods.wanted": starts, "rollspan.pods.ready": starts})
}

// asked asks the cluster what it still knows of rollouts, the last of which has failed.
func (s *space) asked(live []*trace, run func(args ...string) (stdout, stderr string)) {
	s.t.Helper()
	out, _ := run("why", "deployment/app", "-n", s.name, "--kubeconfig", s.cluster.Kubeconfig())
	last := live[len(live)-1]
	for _, want := range []string{"rollout of revision 3, failed", "ImagePullBackOff", "trace " + last.ID} {
		if !strings.Contains(out, want) {
			s.t.Errorf("rollspan why does not say %q:\n%s", want, out)
		}
	}
	out, _ = run("history", "deployment/app", "-n", s.name, "--kubeconfig", s.cluster.Kubeconfig())
	for _, want := range []string{"rollout of revision 1", "rollout of revision 2", "rollout of revision 3"} {
		if !strings.Contains(out, want) {
			s.t.Errorf("rollspan history lacks %q:\n%s", want, out)
		}
	}
}
