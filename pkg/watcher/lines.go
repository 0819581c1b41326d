package watcher

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errLineTooLong = errors.New("the line is longer than an object may be")

// lineReader cuts a stream into lines and counts them. Unlike bufio.Scanner it
// carries on behind a line that is too long.
type lineReader struct {
	in    *bufio.Reader
	limit int
	buf   []byte
	// number of the line that next returned last, from 1.
	number int
	// err is why the stream ended, at that line or within it.
	err error
}

func newLineReader(in io.Reader, limit int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10), limit: limit}
}

// next returns the next line without its end, and whether that end was there.
// The line is valid until the next call. At the end of the stream the error is
// io.EOF, or why it ended there. After errLineTooLong the next line follows.
func (r *lineReader) next() (line []byte, ended bool, err error) {
	if r.err != nil {
		return nil, false, r.err
	}
	r.buf = r.buf[:0]
	tooLong, started := false, false
	for {
		part, err := r.in.ReadSlice('\n')
		if len(part) > 0 && !started {
			started = true
			r.number++
		}
		if len(r.buf)+len(part) > r.limit {
			tooLong = true
			r.buf = r.buf[:0]
		}
		if !tooLong {
			r.buf = append(r.buf, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		switch r.err = err; {
		case err != nil && !started:
			return nil, false, err
		case tooLong:
			return nil, err == nil, errLineTooLong
		}
		return bytes.TrimRight(r.buf, "\r\n"), err == nil, nil
	}
}
