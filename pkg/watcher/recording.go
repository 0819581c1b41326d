package watcher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
)

// LineError says what is wrong with one line of a recording. The lines behind
// it can still be read.
type LineError struct {
	// File is the recording's name as given to NewRecordingReader.
	File string
	// Line counts from 1.
	Line int
	// Err is what is wrong.
	Err error
}

// Error returns "file:line: why".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap returns what is wrong, without the place.
func (e *LineError) Unwrap() error { return e.Err }

// RecordingReader reads a recording: one watch event a line,
//
//	{"time": "2026-11-21T08:31:11.818498031Z", "type": "ADDED", "object": {…}}
//
// where time is when the event arrived, type is ADDED, MODIFIED or DELETED,
// and object is the whole object as JSON. A line may also say "initial": true,
// for an object of the list that a watch starts with, whose arrival says
// nothing about when it was written.
//
// The stream may be packed: as gzip, bzip2, xz, Zstandard, or alone in a zip. It is never held in memory as a whole, and of one line
// only what takes no more memory than it may (see LimitMemory).
type RecordingReader struct {
	file   string
	lines  *lineReader
	memory memory
	// start is what could not be opened, returned by the first Next.
	start error
	// last is the time of the line before, for lines that lost theirs.
	last time.Time
	// undated says that there was an event ahead of the first time.
	undated bool
	done    bool
}

// NewRecordingReader returns a reader of the recording in. The file name is
// used in errors only.
func NewRecordingReader(in io.Reader, file string) *RecordingReader {
	r := &RecordingReader{file: file, memory: memory{most: DefaultMemory}}
	limit := r.memory.text()
	buffered := bufio.NewReader(in)
	head, _ := buffered.Peek(tarHeaderBytes) // a short stream has a short head
	var text io.Reader = buffered
	switch packed := packingOf(head); {
	case packed != nil:
		text, r.start = packed.open(buffered)
	case isZip(head):
		text, r.start = onlyFile(buffered)
	case isNoise(head):
		r.start = errNoise
	}
	if r.start != nil {
		r.start = fmt.Errorf("%s: %w", file, r.start)
		return r
	}
	unpacked := bufio.NewReaderSize(text, sniffBytes)
	switch head, _ := unpacked.Peek(utf16Bytes); {
	case isUTF16(head):
		unpacked = bufio.NewReaderSize(fromUTF16(unpacked), sniffBytes)
	case text != io.Reader(buffered) && isNoise(head):
		r.start = fmt.Errorf("%s: %w", file, errNoise)
		return r
	}
	r.lines = newLineReader(skipBOM(unpacked), int(limit))
	return r
}

// LimitMemory says how much memory the program may take, in bytes; without it that
// is DefaultMemory. A line that would take too much of it while it is read is damaged,
// which a *LineError says; it is an ErrMemory. What those who use the observations
// keep is not counted.
func (r *RecordingReader) LimitMemory(most int64) {
	r.memory.most = most
	if r.lines != nil {
		r.lines.limit = int(r.memory.text())
	}
}

// skipBOM drops the byte order mark some editors put before UTF-8.
func skipBOM(in *bufio.Reader) *bufio.Reader {
	if head, _ := in.Peek(len(byteOrderMark)); bytes.Equal(head, byteOrderMark) {
		_, _ = in.Discard(len(byteOrderMark)) // just peeked
	}
	return in
}

var byteOrderMark = []byte("\ufeff")

// Next returns the next observation. Empty lines and bookmarks are passed
// over. At the end the error is io.EOF.
//
// An error of type *LineError is about one line only, and reading goes on with
// the next call. What could be saved of a damaged line comes along with its
// error: the observation's Object is then not nil. Any other error is final.
func (r *RecordingReader) Next() (causality.Observation, error) {
	if r.start != nil {
		return causality.Observation{}, r.start
	}
	for !r.done {
		line, ended, err := r.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			r.done = true
			continue
		case errors.Is(err, errLineTooLong):
			return causality.Observation{}, r.damaged(fmt.Errorf("the line is too long: %w", r.memory.textTooLarge()))
		case isDamage(err):
			r.done = true
			return causality.Observation{}, r.damaged(err)
		case err != nil:
			r.done = true
			return causality.Observation{}, fmt.Errorf("%s: %w", r.file, err)
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		o, skip, err := r.parse(line)
		if err != nil {
			switch cut := !ended && o.Object == nil; {
			case cut && !errors.Is(r.lines.err, io.EOF):
				continue // to what is wrong with the stream
			case cut:
				err = fmt.Errorf("the recording ends within this line: %w", err)
			}
			return o, r.damaged(err)
		}
		if !skip {
			return o, nil
		}
	}
	return causality.Observation{}, io.EOF
}

// Line is the number of the last line that was read, from 1; 0 before that.
func (r *RecordingReader) Line() int {
	if r.lines == nil {
		return 0
	}
	return r.lines.number
}

// Undated reports whether there was an event without a time ahead of the first one with one,
// so that nothing says when it came. What kubectl prints of a watch has no times.
func (r *RecordingReader) Undated() bool { return r.undated }

func (r *RecordingReader) damaged(err error) *LineError {
	return &LineError{File: r.file, Line: max(r.lines.number, 1), Err: err}
}

// recordedEvent is a line whose fields have not been judged yet.
type recordedEvent struct {
	Time    json.RawMessage `json:"time"`
	Type    json.RawMessage `json:"type"`
	Initial json.RawMessage `json:"initial"`
	Object  json.RawMessage `json:"object"`
}

// parse reads one line; skip says that it holds nothing to observe. With an
// error, the observation holds what could be saved, if anything.
func (r *RecordingReader) parse(line []byte) (o causality.Observation, skip bool, err error) {
	if err := r.memory.fits(jsonCost(line)); err != nil {
		return o, false, err
	}
	var event recordedEvent
	if err := json.Unmarshal(line, &event); err != nil {
		return o, false, fmt.Errorf("not a watch event: %w", err)
	}
	typ, err := text(event.Type, "type")
	if err != nil {
		return o, false, err
	}
	switch watch.EventType(typ) {
	case watch.Bookmark:
		return o, true, nil
	case watch.Error:
		return o, false, watchFailure(event.Object)
	case watch.Added, watch.Modified, watch.Deleted:
		o.Type = watch.EventType(typ)
	default:
		return o, false, fmt.Errorf("unknown type %.40q, want ADDED, MODIFIED or DELETED", typ)
	}

	object, damage := decodeObject(event.Object)
	if object == nil {
		return causality.Observation{}, false, damage
	}
	o.Object = object
	if len(event.Initial) > 0 {
		if err := json.Unmarshal(event.Initial, &o.Initial); err != nil {
			damage = errors.Join(damage, fmt.Errorf("initial: %.40s is not true or false", event.Initial))
		}
	}
	at, err := arrival(event.Time)
	if err != nil {
		if r.last.IsZero() {
			r.undated = true
			return causality.Observation{}, false, fmt.Errorf("%w, and no line before has one", err)
		}
		// The object still counts, but when it came is not known: it is
		// placed at the line before, as an object whose arrival says nothing.
		at, o.Initial = r.last, true
		damage = errors.Join(damage, err)
	}
	r.last, o.Time = at, at
	return o, false, damage
}

// arrival reads the time of a line.
func arrival(raw json.RawMessage) (time.Time, error) {
	s, err := text(raw, "time")
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time: %.60q is not an RFC 3339 time", s)
	}
	// Outside of these years nanoseconds since 1970 do not fit an int64.
	if at.Year() < 1970 || at.Year() > 2261 {
		return time.Time{}, fmt.Errorf("time: the year of %q cannot be right", s)
	}
	return at, nil
}

// text reads a field that must be a non-empty string.
func text(raw json.RawMessage, field string) (string, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return "", fmt.Errorf("%s is missing", field)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("%s: %.40s is not a string", field, raw)
	}
	if s == "" {
		return "", fmt.Errorf("%s is empty", field)
	}
	return s, nil
}

// watchFailure is what the API server sent to say that a watch failed.
func watchFailure(object json.RawMessage) error {
	var status metav1.Status
	if err := json.Unmarshal(object, &status); err != nil || status.Message == "" {
		return errors.New("the watch failed here; events may be missing")
	}
	return fmt.Errorf("the watch failed here; events may be missing: %s", status.Message)
}
