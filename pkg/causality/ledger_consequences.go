package causality

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// consequence is a pod that was lost and whose replacement is a trace.
type consequence struct {
	place place // of the replacement
	lost  types.UID
	at    time.Time
}

// maxConsequences bounds the links of one span, as most SDKs and backends do.
// Those that came first are kept.
const maxConsequences = 128

// consequences are in order, each once.
type consequences []consequence

func (cs *consequences) add(c consequence) {
	i, known := slices.BinarySearchFunc(*cs, c, func(a, b consequence) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.lost, b.lost))
	})
	if known || i == maxConsequences {
		return
	}
	*cs = slices.Insert(*cs, i, c)
	if len(*cs) > maxConsequences {
		*cs = (*cs)[:maxConsequences]
	}
}
