//go:build darwin || linux

package doctor

import (
	"math"
	"syscall"
)

// freeBytes is how much of a directory's disk is free for us.
func freeBytes(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	// The types differ between systems.
	return int64(min(fs.Bavail*uint64(fs.Bsize), math.MaxInt64)), true
}
