package causality_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans"
)

// A Node that was only found to be missing from a list is deleted like any
// other, and what ailed it ends.
func TestANodeThatIsMissingFromAListIsDeleted(t *testing.T) {
	w := newWorld()
	var obs []causality.Observation
	for _, line := range []string{"00:00.500 ADDED node/node-a ready=00:00", "00:10.500 MODIFIED node/node-a silent=00:10"} {
		o, err := w.observation(line)
		if err != nil {
			t.Fatal(err)
		}
		obs = append(obs, o)
	}
	uid := w.objects["node/node-a"].(metav1.Object).GetUID()
	obs = append(obs, causality.Observation{Time: clock("00:20.500"), Type: watch.Deleted, Object: &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: "node-a", UID: uid},
	}})
	outcomes := map[string]string{}
	for _, s := range allSpans(replay(obs)) {
		outcomes[value(s, "rollspan.cause").AsString()] = value(s, "rollspan.outcome").AsString()
	}
	if len(outcomes) != 2 || outcomes["Unreachable"] != "deleted" || outcomes["Deleted"] != "complete" {
		t.Errorf("the disruptions are %v", outcomes)
	}
}

// nodeSeen replays the lines of a scenario, and returns the clocks that were found to be off, those
// that are in the end, and the disruptions by their causes.
func nodeSeen(t *testing.T, lines ...string) (found, wrong []causality.Clock, disruptions map[string]spans.Span) {
	w := newWorld()
	engine := newEngine(causality.Options{OnClock: func(c causality.Clock) { found = append(found, c) }})
	disruptions = map[string]spans.Span{}
	note := func(traces []spans.Trace) {
		for _, s := range allSpans(traces) {
			disruptions[value(s, "rollspan.cause").AsString()] = s
		}
	}
	for _, line := range lines {
		o, err := w.observation(line)
		if err != nil {
			t.Fatal(err)
		}
		note(engine.Observe(o))
	}
	wrong = engine.Stats().Clocks
	note(engine.Flush())
	return found, wrong, disruptions
}

// What others than the kubelet write into a Node's status proves nothing of the node's clock:
// node-problem-detector knows since when there is no problem longer than there is the Node, and who
// writes NetworkUnavailable may be anywhere.
func TestOnlyTheKubeletsConditionsAreOfItsClock(t *testing.T) {
	found, wrong, _ := nodeSeen(t,
		"00:00.500 ADDED node/node-a created=0:00 notready=0:00",
		"00:20.500 MODIFIED node/node-a condition=KernelDeadlock,False,KernelHasNoDeadlock,-180:00 ready=0:20",
		"00:30.500 MODIFIED node/node-a condition=KernelDeadlock,True,DockerHung,0:30",
	)
	if len(found)+len(wrong) != 0 {
		t.Errorf("found are %v, wrong are %v", found, wrong)
	}
	found, wrong, disruptions := nodeSeen(t,
		"00:00.500 ADDED node/node-a ready=0:00",
		"10:00.300 MODIFIED node/node-a no-network=10:03",
		"10:09.300 MODIFIED node/node-a network=10:09",
		"70:00.300 MODIFIED node/node-a notready=70:00",
		"70:10.300 MODIFIED node/node-a ready=70:10",
	)
	if len(found)+len(wrong) != 0 {
		t.Errorf("found are %v, wrong are %v", found, wrong)
	}
	if start := disruptions["NotReady"].Start; !start.Equal(clock("70:00.300")) {
		t.Errorf("it was not ready from %s on", start)
	}
}

// What others write is corrected where it is stated by the node's clock, as it lies after its news or
// as that clock is behind.
func TestWhatOthersSayOfANodeIsReadByItsClock(t *testing.T) {
	for _, c := range []struct{ node, npd, route, back string }{
		{"1:40", "10:40", "20:00", "30:40"},  // 40 s ahead, and the route controller is right
		{"0:20", "9:20", "20:00", "29:20"},   // 40 s behind
		{"1:00", "10:00", "20:00", "30:00"},  // right
		{"21:00", "30:00", "20:00", "50:00"}, // ahead by minutes
	} {
		_, _, disruptions := nodeSeen(t,
			"01:00.300 ADDED node/node-a created=1:00 condition=KernelDeadlock,False,KernelHasNoDeadlock,"+c.node+" ready="+c.node,
			"10:00.300 MODIFIED node/node-a condition=KernelDeadlock,True,DockerHung,"+c.npd,
			"15:00.300 MODIFIED node/node-a network=15:00",
			"20:00.300 MODIFIED node/node-a no-network="+c.route,
			"30:00.300 MODIFIED node/node-a network=30:00 condition=KernelDeadlock,False,KernelHasNoDeadlock,"+c.back,
		)
		for cause, at := range map[string]string{"KernelDeadlock": "10:00.300", "NetworkUnavailable": "20:00.300"} {
			d, told := disruptions[cause]
			if start, end := d.Start.Sub(clock(at)).Abs(), d.End.Sub(clock("30:00.300")).Abs(); !told || start > time.Second || end > time.Second {
				t.Errorf("with the node's clock at %s at one, %s is told from %s to %s", c.node, cause, d.Start, d.End)
			}
		}
		problem := disruptions["KernelDeadlock"]
		_, says := problem.Attribute("rollspan.clock.offset")
		if is := c.node != "1:00"; says != is {
			t.Errorf("with the node's clock at %s at one, that it is off is said: %t", c.node, says)
		}
	}
}

// A Node that no kubelet has spoken for when rollspan begins begins its life then, however long ago it
// was made. That its kubelet starts, and is not Ready at once, is no disruption; that it starts again is.
func TestANodeWithoutAKubeletIsYoung(t *testing.T) {
	for _, first := range []string{"never-updated=0:40", "boot="} {
		_, _, disruptions := nodeSeen(t,
			"10:00.300 ADDED node/node-a created=0:00 initial "+first,
			"20:08.100 ADDED event/e1 on=node/node-a no-object-uid reason=Starting from=kubelet at=20:08.050 message=Starting.",
			"20:10.300 MODIFIED node/node-a notready=20:10 boot=one",
			"20:25.300 MODIFIED node/node-a ready=20:25",
			"25:08.100 ADDED event/e2 on=node/node-a no-object-uid reason=Starting from=kubelet at=25:08.050 message=Starting.",
		)
		delete(disruptions, "") // activities
		if again := disruptions["KubeletRestarted"]; len(disruptions) != 1 || !again.Start.Equal(clock("25:08.050")) {
			t.Errorf("%s at first, and told are %v", first, disruptions)
		}
	}
}
