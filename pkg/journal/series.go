package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// segmentBytes is when a segment is full, as it is on the disk.
	segmentBytes = 8 << 20
	// flushAt is how much is written at once, before compression.
	flushAt = 256 << 10
)

// entry is a record of a series: its number, which only grows, and what it holds.
type entry struct {
	seq  uint64
	body []byte
}

// series is a sequence of records in the segments of a directory. It is not safe for
// concurrent use; sealed segments may be read while it is written.
type series struct {
	dir, name string
	full      int64 // segmentBytes, or less in tests
	apart     bool  // see the flag of that name

	segments []segment // on the disk, the last of which is written if file is there
	file     *os.File
	packer   *packer
	pending  []byte // records that are not written yet
	next     uint64 // the number of the next record
	last     uint64 // the number of the last record in pending or before it; see encode
	unsynced bool
}

// segment is a file of a series.
type segment struct {
	index uint64
	path  string
	bytes int64
}

// damage is what was found wrong with a segment.
type damage struct {
	// aside is where the segment is now; empty where its tail was cut off.
	aside string
	path  string
	// lost is how many bytes of it are not used, and why says what is wrong.
	lost int64
	why  error
}

func newSeries(dir, name string) *series {
	return &series{dir: dir, name: name, full: segmentBytes, packer: newPacker(), next: 1}
}

// open finds the segments, and removes what an interrupted compaction has left.
func (s *series) open() error {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(s.dir, f.Name())
		middle, ok := strings.CutPrefix(f.Name(), s.name+"-")
		if !ok {
			continue
		}
		if strings.HasSuffix(middle, ".tmp") {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		number, ok := strings.CutSuffix(middle, ".journal")
		if !ok {
			continue // set aside
		}
		index, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			continue
		}
		about, err := f.Info()
		if err != nil {
			return err
		}
		if !about.Mode().IsRegular() { // a directory or a link, which nobody here has made
			if err := os.Rename(path, path+".foreign"); err != nil {
				return err
			}
			continue
		}
		s.segments = append(s.segments, segment{index, path, about.Size()})
	}
	slices.SortFunc(s.segments, func(a, b segment) int {
		if a.index < b.index {
			return -1
		}
		return 1
	})
	return s.dropReplaced()
}

// dropReplaced removes segments in whose place there is a compacted one.
func (s *series) dropReplaced() error {
	from := 0
	for i, seg := range s.segments {
		f, err := os.Open(seg.path)
		if err != nil {
			return err
		}
		flags, err := readHeader(f, seg.path)
		_ = f.Close() // only read
		if _, newer := errors.AsType[*NewerError](err); newer {
			return err
		}
		if err == nil && flags&compacted != 0 {
			from = i
		}
	}
	for _, seg := range s.segments[:from] {
		if err := os.Remove(seg.path); err != nil {
			return err
		}
	}
	s.segments = slices.Delete(s.segments, 0, from)
	return nil
}

// path is the file of a segment.
func (s *series) path(index uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%010d.journal", s.name, index))
}

// append adds a record and returns its number. It is on the disk after flush.
func (s *series) append(body []byte) uint64 {
	seq := s.next
	s.next++
	s.pending = encode(s.pending, entry{seq, body}, s.last)
	s.last = seq
	return seq
}

// encode appends a record to a frame; last is the number of the one before it.
func encode(to []byte, e entry, last uint64) []byte {
	return appendText(binary.AppendUvarint(to, e.seq-last), e.body)
}

// flush writes what was appended, so that it survives the process; with sync, the machine.
func (s *series) flush(sync bool) error {
	if len(s.pending) > 0 {
		if err := s.write(); err != nil {
			return err
		}
	}
	if !sync || !s.unsynced || s.file == nil {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.unsynced = false
	return nil
}

func (s *series) write() error {
	if s.file == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	if s.apart {
		s.packer.reset()
		s.last = 0
	}
	frame := s.packer.pack(s.pending)
	if _, err := s.file.Write(frame); err != nil {
		return err
	}
	s.pending = s.pending[:0]
	if cap(s.pending) > 4*flushAt {
		s.pending = nil
	}
	s.unsynced = true
	now := &s.segments[len(s.segments)-1]
	now.bytes += int64(len(frame))
	if now.bytes > s.full {
		return s.seal()
	}
	return nil
}

// begin begins a segment. The numbers in it count from 0, as they do where a segment is read.
func (s *series) begin() error {
	index := uint64(1)
	if n := len(s.segments); n > 0 {
		index = s.segments[n-1].index + 1
	}
	path := s.path(index)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	flags := uint16(0)
	if s.apart {
		flags = apart
	}
	if _, err := f.Write(header(flags)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if err := syncDir(s.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	s.file = f
	s.segments = append(s.segments, segment{index, path, headerSize})
	s.packer.reset()
	return nil
}

// seal ends the segment that is written.
func (s *series) seal() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file, s.last = nil, 0
	err := f.Sync()
	s.unsynced = false
	return errors.Join(err, f.Close())
}

// close writes what is left, and ends.
func (s *series) close() error {
	return errors.Join(s.flush(true), s.seal())
}

// bytes is what the series takes on the disk.
func (s *series) bytes() (n int64) {
	for _, seg := range s.segments {
		n += seg.bytes
	}
	return n
}

// sealed are the segments that are not written any more.
func (s *series) sealed() []segment {
	if s.file == nil {
		return slices.Clone(s.segments)
	}
	return slices.Clone(s.segments[:len(s.segments)-1])
}

// recover reads all records, calls each for every one of them, and sets damaged segments
// aside. What is appended then goes to a new segment. An error of each ends it.
func (s *series) recover(each func(entry) error) (damaged []damage, err error) {
	for i := 0; i < len(s.segments); i++ {
		seg := &s.segments[i]
		var ended error
		good, err := readSegment(*seg, func(e entry) error {
			s.next = max(s.next, e.seq+1)
			ended = each(e)
			return ended
		})
		reason := err
		switch {
		case err == nil:
			continue
		case errors.Is(err, errTorn) && i == len(s.segments)-1:
			damaged = append(damaged, damage{path: seg.path, lost: seg.bytes - good})
			if err := cutOff(seg.path, good); err != nil {
				return damaged, err
			}
		case ended != nil:
			return damaged, err
		default: // it is damaged, or the disk cannot read it
			aside, err := setAside(seg.path, good)
			if err != nil {
				return damaged, err
			}
			damaged = append(damaged, damage{path: seg.path, aside: aside, lost: seg.bytes - good, why: reason})
			if _, err := os.Lstat(seg.path); err != nil {
				good = 0 // all of it is aside
			}
		}
		seg.bytes = good
		if good == 0 {
			s.segments = slices.Delete(s.segments, i, i+1)
			i--
		}
	}
	return damaged, nil
}

// cutOff leaves of a segment what is good. One that has no header yet, as the process ended
// when it had made the file, is removed: the next one will have its name.
func cutOff(path string, good int64) error {
	if good == 0 {
		return os.Remove(path)
	}
	return os.Truncate(path, good)
}

// setAside gives a damaged segment another name, and leaves what of it is good.
func setAside(path string, good int64) (aside string, err error) {
	aside = path + ".corrupt"
	for i := 1; ; i++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.corrupt%d", path, i)
	}
	if good == 0 {
		return aside, os.Rename(path, aside)
	}
	f, err := os.Open(path)
	if err != nil { // what was read of it is used by now, and not again
		return aside, os.Rename(path, aside)
	}
	defer func() { _ = f.Close() }() // only read
	whole := &source{from: f}
	err = copyTo(path+".tmp", io.LimitReader(whole, good))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = copyTo(aside, whole) // not every volume has hard links
	}
	switch {
	case whole.failed:
		return aside, os.Rename(path, aside)
	case err != nil:
		return aside, err
	}
	return aside, os.Rename(path+".tmp", path)
}

// source is a file that is copied, which may be as large as the journal.
type source struct {
	from   io.Reader
	failed bool // it cannot be read
}

// Read reads a part of it.
func (s *source) Read(b []byte) (n int, err error) {
	n, err = s.from.Read(b)
	s.failed = s.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// copyTo writes a whole file, and syncs it. One that there is no room for is not left behind.
func copyTo(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// WriteFile writes a whole file, and syncs it.
func WriteFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// readSegment calls each for every record of a segment. It returns how many bytes of it are
// whole; the error is errTorn or errDamaged for what is behind them.
func readSegment(seg segment, each func(entry) error) (good int64, err error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	size, err := written(f, seg.bytes)
	if err != nil {
		return 0, err
	}
	if size < headerSize {
		return 0, errTorn
	}
	if _, err := readHeader(f, seg.path); err != nil {
		return 0, err
	}
	frames := newUnpacker(f, size)
	last := uint64(0)
	for {
		good := frames.good
		raw, err := frames.next()
		switch {
		case errors.Is(err, io.EOF) && size < seg.bytes:
			return frames.good, errTorn
		case errors.Is(err, io.EOF):
			return frames.good, nil
		case err != nil:
			return frames.good, err
		}
		if last, err = decodeFrame(raw, last, each); err != nil {
			return good, err // or it would be damaged again
		}
	}
}

// decodeFrame calls each for every record of a frame; last is the number of the one before
// the first, and then that of the last.
func decodeFrame(raw []byte, last uint64, each func(entry) error) (uint64, error) {
	for len(raw) > 0 {
		step, n := binary.Uvarint(raw)
		if n <= 0 {
			return last, errDamaged
		}
		body, rest, ok := cutText(raw[n:])
		if !ok {
			return last, errDamaged
		}
		last += step
		if err := each(entry{last, body}); err != nil {
			return last, err
		}
		raw = rest
	}
	return last, nil
}

// syncDir makes the names in a directory survive the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
