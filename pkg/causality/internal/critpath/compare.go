package critpath

import (
	"maps"
	"slices"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// GrewMost is the phase that takes the most more time now than before.
func GrewMost(before, now map[attr.Phase]time.Duration) (phase attr.Phase, by time.Duration) {
	for _, p := range slices.Sorted(maps.Keys(now)) {
		if more := now[p] - before[p]; more > by {
			phase, by = p, more
		}
	}
	return phase, by
}
