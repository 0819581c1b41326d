// Package interrupt ends what waits: reads and openings of files when a context is
// done, and contexts some time after others. The watcher and the commands need it.
package interrupt

import (
	"context"
	"io"
	"os"
)

// Reader returns a reader of in that fails with the context's error once
// ctx is done, even while a read waits for a terminal or a pipe. That read is left
// alone: it ends with the input, and what it brings is lost. While ctx is not done
// nothing outlives a read.
func Reader(ctx context.Context, in io.Reader) io.Reader {
	return &reader{ctx: ctx, in: in}
}

// bufferBytes is how much is read at once, at most.
const bufferBytes = 64 << 10

type reader struct {
	ctx context.Context
	in  io.Reader
	// buf is what is read into: the caller's own bytes must not change when a read
	// that was left alone ends. It is not used again after that.
	buf []byte
}

// Read reads from the underlying reader, or returns the context's error.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.buf == nil {
		r.buf = make([]byte, bufferBytes)
	}
	into := r.buf[:min(len(p), len(r.buf))]
	n, err := await(r.ctx, func() (int, error) { return r.in.Read(into) }, func(int) {})
	return copy(p, into[:n]), err
}

// Open opens a file to read, as os.Open does, or returns the
// context's error once ctx is done: opening a named pipe waits for its writer.
func Open(ctx context.Context, name string) (*os.File, error) {
	return await(ctx, func() (*os.File, error) { return os.Open(name) }, func(late *os.File) { _ = late.Close() }) // not even read
}

// await returns what do returns, or the context's error if that is there first.
// What do returns without an error after that goes to drop.
func await[T any](ctx context.Context, do func() (T, error), drop func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	done := make(chan result)
	go func() {
		value, err := do()
		select {
		case done <- result{value, err}:
		case <-ctx.Done():
			if err == nil {
				drop(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
