package controlplane

import "syscall"

// ownGroup keeps a terminal's Ctrl-C away from the servers, which Stop ends in
// order, and has the kernel kill them when this process ends without Stop: by
// a panic, a test's time limit, or SIGKILL.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
