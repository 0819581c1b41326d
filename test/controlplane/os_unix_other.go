//go:build unix && !linux && !solaris && !aix

package controlplane

import "syscall"

// ownGroup keeps a terminal's Ctrl-C away from the servers, which Stop ends in
// order. Only Linux can end them with this process when it ends without Stop.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
