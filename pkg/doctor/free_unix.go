//go:build darwin || freebsd || linux

package doctor

import "syscall"

// freeBytes is how much of a directory's disk is free for us.
func freeBytes(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true //nolint:gosec,unconvert // The types differ between systems.
}
