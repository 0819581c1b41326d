//go:build unix

package causality_test

import (
	"syscall"
	"time"
)

// cpuTime is what the process has taken of all CPUs so far. Unlike the time on the wall it is
// much the same where others use them, too.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
