package workloads

import (
	"slices"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
)

// TestPartsComeInOneOrder holds that a state does not depend on the order of a map: of
// ReplicaSets that state one number, whoever wrote it, the same is the newest each time.
func TestPartsComeInOneOrder(t *testing.T) {
	const sets = 8
	var first []int32
	for range 20 {
		var order []int32
		w := &Workload{
			Composition: &Composition{Parts: map[kube.ObjectID]*News{}},
			Controller: &Controller{Compose: &composer{state: func(_ *Workload, parts []part, _ *News) (State, bool) {
				for _, p := range parts {
					order = append(order, p.replicas)
				}
				return State{}, false
			}}},
		}
		for i := range int32(sets) {
			w.TakePart(&News{
				Set:  kube.ObjectID{Kind: kindReplicaSet, UID: types.UID(strconv.Itoa(int(i)))},
				Part: &part{revision: 7, replicas: i},
			})
		}
		w.Recompose(&News{})
		if first == nil {
			first = order
		}
		if len(order) != sets || !slices.Equal(order, first) {
			t.Fatalf("the sets come as %v, and as %v", order, first)
		}
	}
}
