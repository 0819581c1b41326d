//go:build !unix || solaris || aix

package controlplane

import (
	"os"
	"syscall"
)

// tryLock has no lock to take here: two processes may build the same tool, and
// the one that finishes last reports that the other's result is in its way.
func tryLock(*os.File) error { return nil }

func killGroup(process *os.Process) error { return process.Kill() }

func ownGroup() *syscall.SysProcAttr { return nil }
