//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Lock makes a directory this process's own, and makes it if it is not there. Another process
// that has it is an error; the lock goes with the process, however that ends.
func Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return lock(dir, os.O_CREATE)
}

// InUse reports whether a process has made a directory its own. It makes nothing there: a lock would
// belong to whoever asks, and the user that it is asked for might not be allowed to open it. The error
// is the one that Lock would return.
func InUse(dir string) (bool, error) {
	held, err := lock(dir, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, errInUse):
		return true, nil
	case err != nil:
		return false, err
	}
	return false, held.Close()
}

var errInUse = errors.New("is in use by another process; each rollspan needs a directory of its own")

// lock opens the file that is locked, by further flags.
func lock(dir string, flags int) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // It is a file descriptor.
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%s %w", dir, errInUse), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("%s cannot be locked: %w", dir, err), f.Close())
	}
	return f, nil
}
