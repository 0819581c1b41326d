package harness

import "syscall"

// child keeps a terminal's Ctrl-C away from the program, which Stop ends, and
// has the kernel kill it when the thread that started it ends: a test that
// panics or runs out of time stops nothing itself.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
