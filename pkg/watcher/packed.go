package watcher

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// packing is a format that one stream is packed in.
type packing struct {
	name string
	// begins reports whether a stream of it begins so.
	begins func(head []byte) bool
	// endings are those of the names of its files.
	endings []string
	// unpack returns what is packed; nil if the format is known, and not read.
	unpack func(in *bufio.Reader) (io.Reader, error)
}

// maxWindow is how far back a packed stream may refer: so much memory unpacking it takes. It is
// what `xz -9` asks for, and more than `zstd -19` does.
const maxWindow = 64 << 20

var packings = []packing{
	{"gzip", begins("\x1f\x8b"), []string{".gz", ".gzip"}, func(in *bufio.Reader) (io.Reader, error) { return gzip.NewReader(in) }},
	{"bzip2", isBzip2, []string{".bz2"}, func(in *bufio.Reader) (io.Reader, error) { return bzip2.NewReader(in), nil }},
	{"xz", begins("\xfd7zXZ\x00"), []string{".xz"}, func(in *bufio.Reader) (io.Reader, error) {
		// Other readers fill the window before they hand anything out, and lose it to an error.
		out, err := xz.NewReader(in, maxWindow)
		return pieces{out}, err
	}},
	{"Zstandard", begins("\x28\xb5\x2f\xfd"), []string{".zst", ".zstd"}, func(in *bufio.Reader) (io.Reader, error) {
		out, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxDumpArchiveBytes))
		return &allBlocks{in: out}, err
	}},
	{"7z", begins("7z\xbc\xaf\x27\x1c"), nil, nil},
	{"RAR", begins("Rar!\x1a\x07"), nil, nil},
	{"LZ4", begins("\x04\x22\x4d\x18"), nil, nil},
	{"lzip", begins("LZIP"), nil, nil},
	{"compress", begins("\x1f\x9d"), nil, nil},
}

func begins(with string) func(head []byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(with)) }
}

// isBzip2 looks for the magic of the stream and that of its first block, as three letters
// are few.
func isBzip2(head []byte) bool {
	return len(head) >= 10 && bytes.HasPrefix(head, []byte("BZh")) && head[3] >= '1' && head[3] <= '9' &&
		(bytes.Equal(head[4:10], []byte{0x31, 0x41, 0x59, 0x26, 0x53, 0x59}) || bytes.Equal(head[4:10], []byte{0x17, 0x72, 0x45, 0x38, 0x50, 0x90}))
}

// packingOf is what a stream is packed in, by its beginning; nil if it is not packed.
func packingOf(head []byte) *packing {
	for i := range packings {
		if packings[i].begins(head) {
			return &packings[i]
		}
	}
	return nil
}

// packedError says that a format is not read. It is all that is said of such a file.
type packedError string

// Error names the format.
func (e packedError) Error() string {
	return fmt.Sprintf("this is packed as %s, which rollspan does not read; unpack it first", string(e))
}

// open returns what is packed, or an error that names the format.
func (p *packing) open(in *bufio.Reader) (io.Reader, error) {
	if p.unpack == nil {
		return nil, packedError(p.name)
	}
	out, err := p.unpack(in)
	if err != nil {
		return nil, p.damaged(err)
	}
	return &unpacked{in: out, of: p}, nil
}

// damaged says in which format something is wrong. An end of the stream that comes too early is damage, too.
func (p *packing) damaged(err error) error {
	switch {
	case errors.Is(err, xz.ErrMemlimit):
		return unpackError{fmt.Errorf("unpacking this %s stream takes a window of more than %s, which rollspan does not read", p.name, mebibytes(maxWindow))}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return unpackError{fmt.Errorf("the %s stream is damaged or cut short here: %w", p.name, err)}
}

// unpackError says that what something is packed in is damaged.
type unpackError struct{ error }

// Unwrap returns what is wrong.
func (e unpackError) Unwrap() error { return errors.Unwrap(e.error) }

// unpacked names the format in errors. The first is the last: behind it, some readers find an end
// where there is none.
type unpacked struct {
	in  io.Reader
	of  *packing
	err error
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err = u.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		err = u.of.damaged(err)
	}
	u.err = err
	return n, err
}

// pieces reads no more than a little at a time: what an xz reader got so far is lost to the error
// that it finds.
type pieces struct{ in io.Reader }

func (r pieces) Read(p []byte) (int, error) {
	const most = 512
	return r.in.Read(p[:min(most, len(p))])
}

// allBlocks hands out what a Zstandard decoder has of a block ahead of the error that its checksum
// is wrong or missing. The decoder itself does so behind it.
type allBlocks struct {
	in  io.Reader
	err error
}

func (b *allBlocks) Read(p []byte) (n int, err error) {
	if b.err == nil {
		if n, b.err = b.in.Read(p); b.err == nil || n > 0 {
			return n, nil
		}
	}
	if n, _ = b.in.Read(p); n > 0 {
		return n, nil
	}
	return 0, b.err
}

// unpackedName is a packed file's name without what says so.
func unpackedName(name string) string {
	for _, p := range packings {
		for _, ending := range p.endings {
			name = strings.TrimSuffix(name, ending)
		}
	}
	return name
}

// isNoise reports whether a stream that is neither packed nor text begins so: no text has bytes
// that are zero. What it holds is not shown.
func isNoise(head []byte) bool {
	return !isUTF16(head) && bytes.IndexByte(head, 0) >= 0
}

var errNoise = errors.New("this is binary data, neither a recording nor a dump nor an archive that rollspan reads")
