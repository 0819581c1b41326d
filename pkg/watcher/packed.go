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
	"github.com/ulikunitz/xz"
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
		// The reader would take whatever window the stream asks for.
		return xz.ReaderConfig{DictCap: 1 << 20}.NewReader(&xzGuard{in: in, most: maxWindow})
	}},
	{"Zstandard", begins("\x28\xb5\x2f\xfd"), []string{".zst", ".zstd"}, func(in *bufio.Reader) (io.Reader, error) {
		return zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxDumpArchiveBytes))
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

func (p *packing) damaged(err error) error {
	if p.name == "gzip" {
		return err // whose errors name it
	}
	return unpackError{fmt.Errorf("the %s stream is damaged or cut short here: %w", p.name, err)}
}

// unpackError says that what something is packed in is damaged.
type unpackError struct{ error }

// Unwrap returns what is wrong.
func (e unpackError) Unwrap() error { return errors.Unwrap(e.error) }

// unpacked names the format in errors.
type unpacked struct {
	in io.Reader
	of *packing
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		err = u.of.damaged(err)
	}
	return n, err
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

// xzGuard reads an xz stream, and fails at a block that asks for a larger window than it may.
// It follows the stream's structure as far as that takes (https://tukaani.org/xz/xz-file-format.txt,
// and the chunks of LZMA2, of which each begins with its size).
type xzGuard struct {
	in   *bufio.Reader
	most int64
	next func() error // looks at what comes next, and says how long it is
	pass int          // bytes that may pass unseen; -1: all
	// check is the size of a block's checksum, and packed how much of a block there was.
	check, packed int
	// numbers is how many there are still to come of an index.
	numbers uint64
}

var errXZ = errors.New("xz: this is no block of LZMA2")

func (g *xzGuard) Read(p []byte) (int, error) {
	if g.next == nil {
		g.next = g.header
	}
	for g.pass == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if g.pass > 0 && len(p) > g.pass {
		p = p[:g.pass]
	}
	n, err := g.in.Read(p)
	if g.pass > 0 {
		g.pass -= n
	}
	return n, err
}

// peek returns as much as is there of so many bytes: what is cut short the decoder finds out.
func (g *xzGuard) peek(n int) ([]byte, bool) {
	head, _ := g.in.Peek(n)
	if len(head) < n {
		g.pass = -1
		return nil, false
	}
	return head, true
}

func (g *xzGuard) header() error {
	const size = 12
	head, ok := g.peek(size)
	if !ok {
		return nil
	}
	g.check = 0
	if kind := int(head[7] & 0x0f); kind > 0 {
		g.check = 4 << ((kind - 1) / 3)
	}
	g.pass, g.next = size, g.block
	return nil
}

func (g *xzGuard) block() error {
	head, ok := g.peek(1)
	if !ok {
		return nil
	}
	if head[0] == 0 { // the index: no more blocks
		g.pass, g.packed, g.next = 1, 1, g.index
		return nil
	}
	size := (int(head[0]) + 1) * 4
	if head, ok = g.peek(size); !ok {
		return nil
	}
	flags, fields := head[1], head[2:]
	for _, sized := range []byte{0x40, 0x80} {
		if flags&sized != 0 {
			for len(fields) > 0 && fields[0]&0x80 != 0 {
				fields = fields[1:]
			}
			fields = fields[min(1, len(fields)):]
		}
	}
	if flags&3 != 0 || len(fields) < 3 || fields[0] != 0x21 || fields[1] != 1 || fields[2] > 40 {
		return errXZ
	}
	window := int64(1)<<32 - 1
	if bits := fields[2]; bits < 40 {
		window = int64(2|bits&1) << (bits/2 + 11)
	}
	if window > g.most {
		return fmt.Errorf("xz: unpacking it takes a window of %s, more than %s", mebibytes(window), mebibytes(g.most))
	}
	g.pass, g.packed, g.next = size, 0, g.chunk
	return nil
}

// index begins with how many blocks there were. Of each it has two sizes.
func (g *xzGuard) index() error {
	if n, ok := g.number(); ok {
		g.numbers, g.next = 2*n, g.sizes
	}
	return nil
}

func (g *xzGuard) sizes() error {
	if g.numbers > 0 {
		g.numbers--
		g.number()
		return nil
	}
	const checksum, footer = 4, 12
	g.pass, g.next = (4-g.packed%4)%4+checksum+footer, g.another
	return nil
}

// number reads a number of an index, of which each byte has seven bits.
func (g *xzGuard) number() (n uint64, ok bool) {
	const most = 9
	for size := 1; size <= most; size++ {
		head, ok := g.peek(size)
		if !ok {
			return 0, false
		}
		last := head[size-1]
		n |= uint64(last&0x7f) << (7 * (size - 1))
		if last < 0x80 {
			g.pass, g.packed = size, (g.packed+size)%4
			return n, true
		}
	}
	g.pass = -1
	return 0, false
}

// another looks for a stream behind one, as `cat` puts it there, and for zeros between them.
func (g *xzGuard) another() error {
	const padding = 4
	head, ok := g.peek(padding)
	switch {
	case !ok:
	case bytes.Equal(head, make([]byte, padding)):
		g.pass = padding
	default:
		g.next = g.header
	}
	return nil
}

func (g *xzGuard) chunk() error {
	head, ok := g.peek(1)
	if !ok {
		return nil
	}
	n := 0
	switch control := head[0]; {
	case control == 0:
		n = 1
		padding := (4 - (g.packed+n)%4) % 4
		g.pass, g.next = n+padding+g.check, g.block
		return nil
	case control <= 2:
		if head, ok = g.peek(3); !ok {
			return nil
		}
		n = 3 + int(head[1])<<8 + int(head[2]) + 1
	case control >= 0x80:
		if head, ok = g.peek(5); !ok {
			return nil
		}
		n = 5 + int(head[3])<<8 + int(head[4]) + 1
		if control >= 0xc0 {
			n++
		}
	default:
		return errXZ
	}
	g.packed = (g.packed + n) % 4
	g.pass = n
	return nil
}
