//go:build unix

package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptedFIFO interrupts a replay of a named pipe: before anybody writes to
// it, which is what opening it waits for, and when somebody could but does not.
func TestInterruptedFIFO(t *testing.T) {
	for _, written := range []bool{false, true} {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var writer *os.File
		go func() {
			defer cancel()
			if !written {
				return
			}
			var err error
			if writer, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil { // waits for the reader
				t.Error(err)
			}
		}()
		var stderr bytes.Buffer
		code := Main(ctx, []string{"replay", fifo}, Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &stderr})
		<-ctx.Done()
		if code != ExitError || !strings.HasSuffix(stderr.String(), "context canceled\n") {
			t.Errorf("exit %d, stderr: %s", code, stderr.String())
		}
		if writer != nil {
			_ = writer.Close() // nothing was written
		} else if other, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_ = other.Close() // lets go of the reader that was left waiting
		}
	}
}
