package interrupt

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// silent is an input that sends nothing until it is closed.
type silent struct{ closed chan struct{} }

func (s silent) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

// TestInterruptedRead checks that a read which waits for its input ends with the
// context, and all later ones too.
func TestInterruptedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := silent{make(chan struct{})}
		r := Reader(ctx, in)
		ended := make(chan error)
		go func() {
			_, err := io.ReadAll(r)
			ended <- err
		}()
		synctest.Wait() // it waits for the input
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("the next read: %d, %v", n, err)
		}
		close(in.closed) // or the bubble says that a goroutine is left
	})
}

// TestReaderIsItsInput reads inputs that end, and that fail. The bubble
// fails where a goroutine is left, although the context is not done.
func TestReaderIsItsInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := strings.Repeat("0123456789", bufferBytes)
		err := iotest.TestReader(Reader(context.Background(), strings.NewReader(content)), []byte(content))
		if err != nil {
			t.Error(err)
		}
		errDisk := errors.New("input/output error")
		if _, err := io.ReadAll(Reader(context.Background(), iotest.ErrReader(errDisk))); !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
	})
}

// TestOpen opens what is there and what is not.
func TestOpen(t *testing.T) {
	f, err := Open(t.Context(), "reader.go")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), "nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
