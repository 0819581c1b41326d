package causality_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
)

// TestPodsOfOneNameAreToldTheSameEachTime has a second pod beside each, which has its name and
// does the same at the same times, as no API server has but damaged recordings. What is told of
// them, and which of them a change waited for, is the same each time.
func TestPodsOfOneNameAreToldTheSameEachTime(t *testing.T) {
	for i, base := range baseStreams(t) {
		if len(base) > partOfStream/2 {
			continue
		}
		var obs []causality.Observation
		for _, o := range base {
			obs = append(obs, o)
			if pod, ok := o.Object.(*corev1.Pod); ok {
				twin := pod.DeepCopy()
				twin.UID += "-twin"
				o.Object = twin
				obs = append(obs, o)
			}
		}
		first := writeTrees(t, replay(obs))
		for range 4 {
			if again := writeTrees(t, replay(obs)); again != first {
				t.Errorf("stream %d is told in two ways:\n%s\nand\n%s", i, first, again)
				break
			}
		}
	}
}
