package ledger

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Consequence is a pod that was lost because of something else, a drained node or a pod of
// higher priority, and whose replacement is a trace that the cause links to.
type Consequence struct {
	Place Place // of the replacement
	Lost  types.UID
	At    time.Time
}

// maxConsequences bounds the links of one span, as most SDKs and backends do.
// Those that came first are kept.
const maxConsequences = 128

// Consequences are in the order in which the pods were lost, each once.
type Consequences []Consequence

func (cs *Consequences) add(c Consequence) {
	i, known := slices.BinarySearchFunc(*cs, c, func(a, b Consequence) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Lost, b.Lost))
	})
	if known || i == maxConsequences {
		return
	}
	*cs = slices.Insert(*cs, i, c)
	if len(*cs) > maxConsequences {
		*cs = (*cs)[:maxConsequences]
	}
}
