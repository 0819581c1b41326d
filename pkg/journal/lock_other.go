//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"fmt"
	"io"
	"runtime"
)

// Lock would make a directory this process's own. There is no lock here that goes with the
// process, and two processes in one directory would spoil it.
func Lock(dir string) (io.Closer, error) {
	return nil, fmt.Errorf("%s cannot be used: on %s no file can be locked for as long as a process lives", dir, runtime.GOOS)
}

// InUse would report whether a process has made a directory its own. The error is the one that Lock
// returns.
func InUse(dir string) (bool, error) {
	_, err := Lock(dir)
	return false, err
}
