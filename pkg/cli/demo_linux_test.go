package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// TestDemoAtTerminal has somebody sit at a terminal, who finds the page there until Ctrl-C.
func TestDemoAtTerminal(t *testing.T) {
	program := startAs(t, "rollspan", pseudoTerminal(t), "demo", "--speed", "100")
	until(t, "the page to stay", func() bool { return strings.Contains(program.errs.String(), "Press Ctrl-C to end.") })
	program.send(t, os.Interrupt)
	program.ends(t, ExitOK)
}

// pseudoTerminal is a terminal at which all that is printed is read, and forgotten: pts(4).
func pseudoTerminal(t *testing.T) *os.File {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var unlocked, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, screen) // it ends by an error when nobody has the terminal any more
	}()
	t.Cleanup(func() {
		_ = terminal.Close() // nothing is in there
		<-read
		_ = screen.Close()
	})
	return terminal
}
