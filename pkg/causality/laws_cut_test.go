package causality_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// TestLawStartsThatDidNotSucceedSaySo holds each start of a pod to what the stream says of the pod: one
// that is no error and does not say that it was cut short ends with a pod that was Ready, and one that
// says so does not.
func TestLawStartsThatDidNotSucceedSaySo(t *testing.T) {
	cuts, starts := map[string]int{}, 0
	forEachStory(t, func(t *testing.T, obs []causality.Observation) {
		readyAt := map[string]time.Time{} // when the news came that each was Ready, or to be ready no more
		for _, o := range obs {
			in, ok := o.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			for _, c := range in.Status.Conditions {
				if _, known := readyAt[string(in.UID)]; !known && c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					readyAt[string(in.UID)] = o.Time
				}
			}
		}
		for _, s := range allSpans(replay(obs)) {
			if s.Kind != kind.PodStart {
				continue
			}
			starts++
			cut := attributeOf(s, string(attr.CutShortKey))
			at, ready := readyAt[attributeOf(s, "k8s.pod.uid")]
			switch {
			case cut != "":
				cuts[cut]++
				if ready && at.Before(s.End) {
					t.Errorf("%s of %s was cut short (%s) at %s, and the pod was Ready by %s", s.Name, s.Subject, cut, s.End, at)
				}
			case s.Status != codes.Error && !ready:
				t.Errorf("%s of %s is told like one that succeeded, and nothing says that the pod was Ready", s.Name, s.Subject)
			}
		}
	})
	if starts == 0 || cuts["removed"] == 0 {
		t.Errorf("of %d starts, there are %v that were cut", starts, cuts)
	}
}
