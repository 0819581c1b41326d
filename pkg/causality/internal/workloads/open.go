package workloads

import (
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/types"

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

// OpenRollouts are the rollouts of workloads that go on, in their order.
func OpenRollouts(all iter.Seq[*Workload]) (open []OpenRollout) {
	for w := range all {
		c := w.Current()
		if c == nil || c.Kind != attr.ChangeRollout || c.Over() || c.Ledger.Sent || w.Deleted || w.Gone {
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
