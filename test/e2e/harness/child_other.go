//go:build !unix

package harness

import "syscall"

func child() *syscall.SysProcAttr { return nil }
