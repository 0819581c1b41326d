//go:build unix

package controlplane

import (
	"errors"
	"syscall"
)

// groupAlive says whether a process, or one that it started, is still there.
func groupAlive(pid int) bool { return !errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) }
