//go:build !unix

package causality

import "time"

// CPUTime is the time on the wall where that of the CPUs cannot be had.
func CPUTime() time.Duration { return time.Since(fleetDay) }
