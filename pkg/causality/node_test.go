package causality_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
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
