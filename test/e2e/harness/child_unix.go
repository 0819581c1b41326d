//go:build unix && !linux

package harness

import "syscall"

// child keeps a terminal's Ctrl-C away from the program, which Stop ends.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
