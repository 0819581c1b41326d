package workloads

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// OpenRollout is a rollout that goes on.
type OpenRollout struct {
	// Kind, Namespace, Name and UID are those of the workload.
	Kind, Namespace, Name string
	UID                   types.UID
	Revision              int64 // 0 where it has no number, or none yet
	Since                 time.Time
	// Waits says that somebody is to go on with it: it is paused, or its pods are replaced
	// when somebody deletes them.
	Waits bool
}

// OpenRollouts are the rollouts that go on of workloads that may have one, in no order. Of those
// that are not known any more there are none.
func OpenRollouts(of map[*Workload]struct{}, known map[kube.ObjectID]*Workload) (open []OpenRollout) {
	for w := range of {
		c := w.Current()
		if known[w.ObjectID] != w || c == nil || c.Kind != attr.ChangeRollout || c.Over() || c.Ledger.Sent || w.Deleted || w.Gone {
			continue
		}
		n := len(c.Pauses)
		open = append(open, OpenRollout{
			Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, UID: w.UID, Revision: c.Revision, Since: c.Start.At(),
			Waits: w.OnDelete || n > 0 && !c.Pauses[n-1].Until.Known(),
		})
	}
	return open
}
