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
}

func newLineReader(in io.Reader, limit int) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 64<<10), limit: limit}
}

// next returns the next line without its end, and whether that end was there.
// The line is valid until the next call. At the end of the stream the error is
// io.EOF. After errLineTooLong the next line follows.
func (r *lineReader) next() (line []byte, ended bool, err error) {
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
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || !started):
			return nil, false, err
		case tooLong:
			return nil, err == nil, errLineTooLong
		}
		return bytes.TrimRight(r.buf, "\r\n"), err == nil, nil
	}
}
