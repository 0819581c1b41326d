//go:build !unix

package child

import "os"

// Kill ends a program that Start started.
func Kill(program *os.Process) error { return program.Kill() }
