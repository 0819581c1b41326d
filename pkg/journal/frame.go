package journal

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Version is the format that is written. Older ones can be read. Since 2 there are positions, and
// observations that say since when, since 3 what was missed and waits, and since 4 observations with doubts.
const Version = 4

const (
	magic      = "rollspan"
	headerSize = 16
	// frameHead is the length and the checksum of a frame, and the length of what it holds.
	frameHead = 12
	// maxFrame bounds what is believed of a frame's length, in bytes. An object is at most
	// some 3 MiB, and a frame is written when it holds more than flushAt.
	maxFrame = 64 << 20
)

// Flags of a segment.
const (
	// compacted says that the segment is in the place of all that come before it, too.
	compacted uint16 = 1 << iota
	// apart says that each frame can be read without those before it, and has numbers of its
	// own: where one is damaged the others are used.
	apart
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header begins a segment.
func header(flags uint16) []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint16(b, flags)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errDamaged says that what is read is not what was written.
var errDamaged = errors.New("damaged")

// NewerError says that a journal was written by a newer version of rollspan.
type NewerError struct {
	// Path is the file, and Version its format.
	Path    string
	Version uint16
}

// Error says what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer version of rollspan: its format is %d, and this version reads up to %d; "+
		"run that version, or name another --data-dir", e.Path, e.Version, Version)
}

// readHeader reads the header of a segment.
func readHeader(in io.Reader, path string) (flags uint16, err error) {
	b := make([]byte, headerSize)
	if _, err := io.ReadFull(in, b); err != nil {
		return 0, errDamaged
	}
	sum := binary.LittleEndian.Uint32(b[12:])
	if string(b[:8]) != magic || crc32.Checksum(b[:12], castagnoli) != sum {
		return 0, errDamaged
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > Version {
		return 0, &NewerError{path, v}
	}
	return binary.LittleEndian.Uint16(b[10:]), nil
}

// packer compresses records into frames. What it has compressed before helps with what comes,
// as the states of an object are much alike.
type packer struct {
	packed bytes.Buffer
	to     *flate.Writer
	frame  []byte
}

func newPacker() *packer {
	p := &packer{}
	p.to, _ = flate.NewWriter(&p.packed, flate.BestSpeed) // the level exists
	return p
}

// reset begins a new segment.
func (p *packer) reset() {
	p.packed.Reset()
	p.to.Reset(&p.packed)
}

// pack returns a frame of raw, which is valid until the next call.
func (p *packer) pack(raw []byte) []byte {
	p.packed.Reset()
	_, _ = p.to.Write(raw) // into memory
	_ = p.to.Flush()
	body := p.packed.Bytes()
	p.frame = p.frame[:0]
	p.frame = binary.LittleEndian.AppendUint32(p.frame, uint32(len(body))) //nolint:gosec // A frame is some MiB at most.
	p.frame = binary.LittleEndian.AppendUint32(p.frame, crc32.Checksum(body, castagnoli))
	p.frame = binary.LittleEndian.AppendUint32(p.frame, uint32(len(raw))) //nolint:gosec // So is what it holds.
	p.frame = append(p.frame, body...)
	return p.frame
}

// readFrameHead reads what the head of a frame says: how long its body is, with which checksum,
// and how much it holds.
func readFrameHead(head []byte) (length int64, sum uint32, holds int64) {
	return int64(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:]), int64(binary.LittleEndian.Uint32(head[8:]))
}

// unpacker reads frames.
type unpacker struct {
	in    *bufio.Reader
	chunk bytes.Buffer // of frames that are whole
	from  io.ReadCloser
	// good is how many bytes of the file are whole, and left how many there are to read.
	good, left int64
	raw        []byte
}

func newUnpacker(in io.Reader, size int64) *unpacker {
	u := &unpacker{in: bufio.NewReaderSize(in, 1<<16), good: headerSize, left: size - headerSize}
	u.from = flate.NewReader(&u.chunk)
	return u
}

// next returns what the next frame holds, which is valid until the next call. At the end the
// error is io.EOF; errTorn where the last frame was not written to its end.
func (u *unpacker) next() ([]byte, error) {
	if u.left == 0 {
		return nil, io.EOF
	}
	var head [frameHead]byte
	if u.left < frameHead {
		return nil, errTorn
	}
	if _, err := io.ReadFull(u.in, head[:]); err != nil {
		return nil, err
	}
	length, sum, holds := readFrameHead(head[:])
	if length == 0 || holds > maxFrame || holds > length*maxRatio || length > holds+holds/64+64 {
		return nil, errDamaged // so much is not read into memory
	}
	if frameHead+length > u.left {
		return nil, errTorn
	}
	last := frameHead+length == u.left
	body := make([]byte, length)
	if _, err := io.ReadFull(u.in, body); err != nil {
		return nil, err
	}
	if crc32.Checksum(body, castagnoli) != sum {
		if last {
			return nil, errTorn
		}
		return nil, errDamaged
	}
	u.chunk.Write(body)
	if int64(cap(u.raw)) < holds {
		u.raw = make([]byte, holds)
	}
	u.raw = u.raw[:holds]
	if _, err := io.ReadFull(u.from, u.raw); err != nil {
		return nil, errDamaged
	}
	u.left -= frameHead + length
	u.good += frameHead + length
	return u.raw, nil
}

// written is how many bytes of a file were written, of so many that it has. Where a machine fails,
// a file may have its new size while what was written last is lost, which reads as zeros. No
// frame ends in a zero, as what ends a flush of DEFLATE ends in 0xff.
func written(f io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, 1<<12)
	for size > 0 {
		part := b[:min(int64(len(b)), size)]
		n, err := f.ReadAt(part, size-int64(len(part)))
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		clear(part[n:])
		left := len(bytes.TrimRight(part, "\x00"))
		if size -= int64(len(part) - left); left > 0 {
			return size, nil
		}
	}
	return 0, nil
}

// errTorn says that a segment ends within a frame.
var errTorn = errors.New("torn")
