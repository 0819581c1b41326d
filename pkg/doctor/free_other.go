//go:build !(darwin || linux)

package doctor

// freeBytes would be how much of a directory's disk is free.
func freeBytes(string) (int64, bool) { return 0, false }
