// Package child starts programs that end with this one, however it ends: the
// servers and the rollspans of tests must not outlive a test that panics or
// runs out of time.
package child

import (
	"os/exec"
	"runtime"
	"sync"
)

// Start starts a program, as the leader of a process group of its own: a
// terminal's Ctrl-C does not reach it, so that the caller can end it in order.
// It ends with this process by force where the system can do that, which is
// Linux.
//
// The kernel ties a child's life to the thread that started it, not to the
// process, and the Go runtime may end a thread; so one goroutine owns a thread
// for good and starts every child from it.
func Start(cmd *exec.Cmd) error {
	starter.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	cmd.SysProcAttr = attributes()
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}

var (
	starter sync.Once
	starts  = make(chan func())
)
