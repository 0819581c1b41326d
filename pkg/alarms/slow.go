package alarms

import (
	"slices"
	"time"
)

const (
	// maxWorkloads is how many workloads have a history.
	maxWorkloads = 2000
	// lastRollouts is how many rollouts of a workload one is compared with, and fewest how
	// many there must be.
	lastRollouts = 8
	fewest       = 3
	// tooSlow is how much longer than the median a rollout must have taken at least.
	tooSlow = time.Minute
)

// durations know how long the last rollouts of workloads took.
type durations map[Object]*history

type history struct {
	took []time.Duration
	used time.Time
}

// add takes in a rollout that is complete, and says what the median of those before is, and
// whether it took more than twice as long, and a minute longer.
func (d durations) add(of Object, took time.Duration, at time.Time) (median time.Duration, slow bool) {
	h := d[of]
	if h == nil {
		if len(d) >= maxWorkloads {
			forgetOldest(d, func(h *history) time.Time { return h.used })
		}
		h = &history{}
		d[of] = h
	}
	h.used = at
	if n := len(h.took); n >= fewest {
		sorted := slices.Sorted(slices.Values(h.took))
		median = (sorted[(n-1)/2] + sorted[n/2]) / 2
		slow = took > 2*median && took-median > tooSlow
	}
	h.took = append(h.took, took)
	if len(h.took) > lastRollouts {
		h.took = slices.Delete(h.took, 0, 1)
	}
	return median, slow
}
