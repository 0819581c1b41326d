package watcher

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"strings"
)

// zipReader reads the files of a zip one after the other, as they are in the stream: it may
// come through a pipe, and its directory, which is at the end, may be as large as somebody
// likes. See APPNOTE.TXT of PKWARE, 4.3.7 to 4.3.9.
type zipReader struct {
	in   *bufio.Reader
	file *zipFile // the one that is being read
}

// zipFile is a file of a zip.
type zipFile struct {
	name string
	io.Reader
	sum  hash.Hash32
	want uint32
	// described says that the sum and the sizes are behind the file.
	described bool
}

const (
	zipFileHeader = "PK\x03\x04"
	zipDirectory  = "PK\x01\x02"
	zipEnd        = "PK\x05\x06"
	zipDescriptor = "PK\x07\x08"

	zipHeaderBytes = 30

	zipEncrypted = 1 << 0
	zipDescribed = 1 << 3

	zipStored   = 0
	zipDeflated = 8
)

var (
	errZipEncrypted = errors.New("a file in the zip is encrypted; unpack it first")
	errZipDamaged   = errors.New("the zip is damaged or cut short here")
)

func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte(zipFileHeader)) || bytes.HasPrefix(head, []byte(zipEnd))
}

// next returns the next file, at the end io.EOF.
func (z *zipReader) next() (*zipFile, error) {
	if z.file != nil {
		if _, err := io.Copy(io.Discard, z.file); err != nil {
			return nil, err
		}
		if err := z.behind(); err != nil {
			return nil, err
		}
		z.file = nil
	}
	head, err := z.in.Peek(4)
	switch {
	case string(head) == zipDirectory, string(head) == zipEnd:
		return nil, io.EOF
	case string(head) != zipFileHeader:
		return nil, zipError(err)
	}
	head, err = z.in.Peek(zipHeaderBytes)
	if err != nil {
		return nil, zipError(err)
	}
	flags, method := binary.LittleEndian.Uint16(head[6:]), binary.LittleEndian.Uint16(head[8:])
	f := &zipFile{sum: crc32.NewIEEE(), want: binary.LittleEndian.Uint32(head[14:]), described: flags&zipDescribed != 0}
	size := int64(binary.LittleEndian.Uint32(head[18:]))
	nameBytes, extraBytes := int(binary.LittleEndian.Uint16(head[26:])), int(binary.LittleEndian.Uint16(head[28:]))
	_, _ = z.in.Discard(zipHeaderBytes) // just peeked
	names := make([]byte, nameBytes+extraBytes)
	if _, err := io.ReadFull(z.in, names); err != nil {
		return nil, zipError(err)
	}
	f.name = string(names[:nameBytes])
	switch {
	case flags&zipEncrypted != 0:
		return nil, errZipEncrypted
	case method == zipDeflated:
		f.Reader = flate.NewReader(z.in) // which reads no byte too many, as it can read single ones
	case method == zipStored && !f.described:
		f.Reader = io.LimitReader(z.in, zip64Size(names[nameBytes:], size))
	default:
		return nil, fmt.Errorf("a file in the zip is packed in a way (%d) that cannot be read from a stream; unpack it first", method)
	}
	z.file = f
	return f, nil
}

// given returns the next file that somebody put there. Folders are none, nor is what Finder of
// macOS adds: what it knows of files, below a folder of its own, and of folders.
func (z *zipReader) given() (*zipFile, error) {
	for {
		f, err := z.next()
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(f.name, "/") && !strings.HasPrefix(f.name, "__MACOSX/") && path.Base(f.name) != ".DS_Store" {
			return f, nil
		}
	}
}

// zip64Size is the size of a stored file, which may be in a field of its own: its second
// number.
func zip64Size(extra []byte, size int64) int64 {
	for size == 0xffffffff && len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if id == 1 && n >= 16 && len(extra) >= 4+n {
			return int64(min(binary.LittleEndian.Uint64(extra[12:]), 1<<62)) //nolint:gosec // bounded
		}
		extra = extra[min(4+n, len(extra)):]
	}
	return size
}

// Read reads from the file and sums it up.
func (f *zipFile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	_, _ = f.sum.Write(p[:n]) // never fails
	if err != nil && !errors.Is(err, io.EOF) {
		err = zipError(err)
	}
	return n, err
}

// behind reads past a file, to what tells whether it was whole.
func (z *zipReader) behind() error {
	f := z.file
	if f.described {
		// With or without a signature, the sum, and two sizes of four or of eight bytes.
		head, _ := z.in.Peek(4)
		if string(head) == zipDescriptor {
			_, _ = z.in.Discard(4)
		}
		const short, long = 12, 20
		head, _ = z.in.Peek(long + 4)
		if len(head) < short {
			return errZipDamaged
		}
		f.want = binary.LittleEndian.Uint32(head)
		n := short
		if len(head) >= long+4 && !bytes.HasPrefix(head[short:], []byte("PK")) {
			n = long
		}
		_, _ = z.in.Discard(n)
	}
	if f.sum.Sum32() != f.want {
		return errZipDamaged
	}
	return nil
}

func zipError(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errZipDamaged
	}
	if _, corrupt := errors.AsType[flate.CorruptInputError](err); corrupt {
		return errZipDamaged
	}
	return err
}

// onlyFile is the file of a zip that has a recording, and nothing else.
func onlyFile(in *bufio.Reader) (io.Reader, error) {
	archive := &zipReader{in: in}
	f, err := archive.given()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the zip is empty")
	case err != nil:
		return nil, err
	}
	return &lastOfZip{zipFile: f, in: archive}, nil
}

// lastOfZip is a file behind which there may be no other.
type lastOfZip struct {
	*zipFile
	in *zipReader
}

func (l *lastOfZip) Read(p []byte) (int, error) {
	n, err := l.zipFile.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if n > 0 {
		return n, nil
	}
	switch _, err := l.in.given(); {
	case errors.Is(err, io.EOF):
		return 0, io.EOF
	case err != nil:
		return 0, err
	}
	return 0, errZipOthers
}

var errZipOthers = errors.New("the zip has more files behind this recording, which were not read; unpack it first")

// isDamage reports whether an error is about what something is packed in.
func isDamage(err error) bool {
	var packed unpackError
	return errors.As(err, &packed) || errors.Is(err, errZipDamaged) || errors.Is(err, errZipEncrypted) || errors.Is(err, errZipOthers)
}
