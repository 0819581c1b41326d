package watcher

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/internal/interrupt"
)

// Bounds on what is read, which keep an archive made to grow without end from
// filling the memory. They are far above what dumps hold.
const (
	maxDumpFileBytes    = 1 << 30
	maxDumpArchiveBytes = 16 << 30
)

var (
	errFileTooLarge    = fmt.Errorf("the file is larger than %d MiB", maxDumpFileBytes>>20)
	errArchiveTooLarge = fmt.Errorf("the archive is larger than %d MiB", maxDumpArchiveBytes>>20)
)

// AddPath reads a file, or all files of a folder in the order of their names.
// An error is about the path as such; what is wrong with files is reported.
func (d *Dump) AddPath(ctx context.Context, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		// Through a file system of the folder, since the folder's name may be a link.
		return d.addFolder(ctx, os.DirFS(name), name)
	}
	f, err := interrupt.Open(ctx, name)
	if err != nil {
		return err
	}
	return d.addFile(ctx, f, name)
}

// addFolder reads all files of a file system whose root is called name.
func (d *Dump) addFolder(ctx context.Context, folder fs.FS, name string) error {
	return fs.WalkDir(boundedFolders{folder, d}, ".", func(file string, entry fs.DirEntry, err error) error {
		full := filepath.Join(name, filepath.FromSlash(file))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && file == ".":
			return err
		case err != nil:
			d.broken(full, 0, err)
			return nil
		case d.full != nil:
			return fs.SkipAll
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			d.stats.PassedOver++ // links lead to what is there already, or out
			return nil
		}
		f, err := folder.Open(file)
		if err != nil {
			d.broken(full, 0, err)
			return nil
		}
		return d.addFile(ctx, f, full)
	})
}

// boundedFolders lists folders as far as there is memory for their names: they are
// sorted before the first file is read.
type boundedFolders struct {
	fs.FS
	dump *Dump
}

// entryBytes is what an entry of a folder takes without its name, which is there
// twice while names are sorted.
const entryBytes = 256

// ReadDir returns what is in a folder. With an error it is a part of that.
func (f boundedFolders) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // only read
	in, ok := dir.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.ErrUnsupported}
	}
	var entries []fs.DirEntry
	cost := int64(0)
	for err == nil {
		var more []fs.DirEntry
		more, err = in.ReadDir(1000)
		for _, entry := range more {
			cost += entryBytes + 2*int64(len(entry.Name()))
		}
		if entries = append(entries, more...); err == nil {
			err = f.dump.memory.fits(cost)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func (d *Dump) addFile(ctx context.Context, f fs.File, name string) error {
	defer func() { _ = f.Close() }() // only read
	d.Add(interrupt.Reader(ctx, f), filepath.ToSlash(name))
	return ctx.Err()
}

// addStream reads what in holds, after it has taken off what it is packed in;
// depth is how many layers that were. An archive is one, and may hold itself.
func (d *Dump) addStream(in *bufio.Reader, name string, depth int) {
	head, _ := in.Peek(tarHeaderBytes) // a short stream has a short head
	packed := packingOf(head)
	switch {
	case isLog(name):
		d.stats.PassedOver++
	case packed == nil && !isTar(head) && !isZip(head):
		d.addContent(newBoundedReader(in, maxDumpFileBytes, errFileTooLarge), name)
	case depth >= maxPacked:
		d.stats.PassedOver++
		d.stats.Archives++
	case packed != nil:
		unzipped, err := packed.open(in)
		if err != nil {
			d.broken(name, 0, err)
			return
		}
		d.addStream(bufio.NewReaderSize(unzipped, sniffBytes), unpackedName(name), depth+1)
	case isTar(head):
		d.addArchive(in, name, depth)
	default:
		d.addZip(in, name, depth)
	}
}

// addZip reads the files of a zip, as addArchive does those of a tar.
func (d *Dump) addZip(in io.Reader, name string, depth int) {
	archive := zipReader{in: bufio.NewReaderSize(newBoundedReader(in, maxDumpArchiveBytes, errArchiveTooLarge), sniffBytes)}
	left := newBoundedReader(nil, maxDumpArchiveBytes, errArchiveTooLarge) // of what is unpacked
	file := bufio.NewReaderSize(nil, sniffBytes)
	for {
		f, err := archive.given()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			d.broken(name, 0, err)
			return
		case len(f.name) > maxNameBytes:
			d.broken(name, 0, fmt.Errorf("a file in it has a name of more than %d bytes; it was passed over", maxNameBytes))
		default:
			left.in, f.Reader = f.Reader, left
			file.Reset(f)
			d.addStream(file, name+path.Join("/", f.name), depthWithin(depth))
		}
	}
}

// maxPacked is how deep an archive may be packed: a gzipped tar of gzipped
// files.
const maxPacked = 3

// depthWithin is the depth of an archive's files. They may be packed once, or be archives
// themselves, wherever that leaves a layer.
func depthWithin(archive int) int { return max(archive+1, maxPacked-1) }

// addArchive reads the files of a tar. Nothing is written, so that it does not
// matter what their names are.
func (d *Dump) addArchive(in io.Reader, name string, depth int) {
	in = newBoundedReader(in, maxDumpArchiveBytes, errArchiveTooLarge)
	archive := tar.NewReader(in)
	file := bufio.NewReaderSize(archive, sniffBytes) // one for all: there may be millions of files
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// What it is packed in may have a checksum behind it.
			if _, err = io.Copy(io.Discard, in); err == nil {
				return
			}
		}
		switch {
		case err != nil:
			d.broken(name, 0, fmt.Errorf("the archive is damaged or cut short here: %w", err))
			return
		case header.Typeflag == tar.TypeDir:
		case len(header.Name) > maxNameBytes:
			d.broken(name, 0, fmt.Errorf("a file in it has a name of more than %d bytes; it was passed over", maxNameBytes))
		case header.Typeflag != tar.TypeReg:
			d.stats.PassedOver++
		default:
			file.Reset(archive)
			// Whatever the name is, it is said to be one within the archive.
			d.addStream(file, name+path.Join("/", header.Name), depthWithin(depth))
		}
	}
}

// maxNameBytes is how long the name of an archive's file may be: as long as that of a
// file may be on Linux. An archive may have names of a MiB.
const maxNameBytes = 4096

// tarHeaderBytes is how much of a tar names it as one.
const tarHeaderBytes = 512

func isTar(head []byte) bool {
	return len(head) >= tarHeaderBytes && bytes.Equal(head[257:262], []byte("ustar"))
}

// isLog tells the large files of a dump that hold no objects by their names.
func isLog(name string) bool { return path.Ext(unpackedName(name)) == ".log" }

// boundedReader fails, rather than ends, where there is too much.
type boundedReader struct {
	in         io.Reader
	left, most int64
	err        error
}

func newBoundedReader(in io.Reader, most int64, err error) *boundedReader {
	return &boundedReader{in: in, left: most, most: most, err: err}
}

// reset begins to count anew.
func (r *boundedReader) reset() { r.left = r.most }

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, r.err
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}
