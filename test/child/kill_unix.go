//go:build unix

package child

import (
	"os"
	"syscall"
)

// Kill ends a program that Start started, and all that it started itself.
func Kill(program *os.Process) error { return syscall.Kill(-program.Pid, syscall.SIGKILL) }
