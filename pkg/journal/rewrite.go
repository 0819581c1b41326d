package journal

import (
	"errors"
	"os"
)

// replacement is a file that is to take the place of segments, the last of which has index.
type replacement struct {
	path  string
	index uint64
	bytes int64
}

// replace has a file take the place of segments. Those that cannot be removed are when the
// directory is opened next. With an error nothing has changed.
func (s *series) replace(by replacement) error {
	if by.path == "" {
		return nil
	}
	path := s.path(by.index)
	if err := os.Rename(by.path, path); err != nil {
		return err
	}
	synced := syncDir(s.dir) == nil // or the others are still there after the machine has failed
	kept := []segment{{by.index, path, by.bytes}}
	for _, seg := range s.segments {
		switch {
		case seg.index > by.index:
			kept = append(kept, seg)
		case seg.index < by.index && synced:
			_ = os.Remove(seg.path)
		}
	}
	s.segments = kept
	return nil
}

// writer writes a segment that replaces others.
type writer struct {
	file  *os.File
	pack  *packer
	raw   []byte
	last  uint64
	bytes int64
}

func newWriter(of segment) (*writer, error) {
	f, err := os.OpenFile(of.path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &writer{file: f, pack: newPacker(), bytes: headerSize}
	_, err = f.Write(header(compacted))
	return w, err
}

func (w *writer) put(e entry) error {
	w.raw = encode(w.raw, e, w.last)
	w.last = e.seq
	if len(w.raw) < flushAt {
		return nil
	}
	return w.write()
}

func (w *writer) write() error {
	frame := w.pack.pack(w.raw)
	w.raw = w.raw[:0]
	w.bytes += int64(len(frame))
	_, err := w.file.Write(frame)
	return err
}

// end ends the file; it is on the disk then.
func (w *writer) end(of segment, err error) (replacement, error) {
	if err == nil && len(w.raw) > 0 {
		err = w.write()
	}
	err = errors.Join(err, w.file.Sync(), w.file.Close())
	return replacement{of.path + ".tmp", of.index, w.bytes}, err
}

// rewrite writes what keep leaves of segments.
func rewrite(segments []segment, keep func(entry) (entry, bool)) (replacement, error) {
	if len(segments) == 0 {
		return replacement{}, nil
	}
	of := segments[len(segments)-1]
	w, err := newWriter(of)
	if err != nil {
		return replacement{}, err
	}
	for _, seg := range segments {
		_, err = readSegment(seg, func(e entry) error {
			if e, ok := keep(e); ok {
				return w.put(e)
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	return w.end(of, err)
}
