//go:build !unix

package causality_test

import "time"

// cpuTime is the time on the wall where that of the CPUs cannot be had.
func cpuTime() time.Duration { return time.Since(day) }
