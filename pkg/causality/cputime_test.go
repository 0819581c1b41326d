//go:build unix

package causality

import (
	"syscall"
	"time"
)

// CPUTime is what the process has taken of all CPUs so far. Unlike the time on the wall it is
// much the same where others use them, too.
func CPUTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
