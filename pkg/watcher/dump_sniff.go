package watcher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"path"
	"regexp"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// sniffBytes is how much of a stream's beginning is looked at to tell what it is.
const sniffBytes = 64 << 10

// PeekBytes is how much of a packed stream it may take to see that: bzip2 packs up to 900 kB as
// one, of which nothing is known before all is there.
const PeekBytes = 1 << 20

// content is what a stream is.
type content int

const (
	contentUnknown   content = iota
	contentJSON              // objects or lists of them, perhaps
	contentYAML              // the same
	contentRecording         // watch events, one a line
)

// IsDump reports whether a stream holds a snapshot's objects, or an archive of
// them, rather than a recording. It goes by the beginning, and where that says
// nothing by the name. Nothing is consumed; the reader's buffer has PeekBytes.
func IsDump(in *bufio.Reader, name string) bool {
	// A recording may come through a pipe, line by line; its first bytes say
	// what it is, and there is no waiting for more.
	head, _ := in.Peek(tarHeaderBytes) // a short stream has a short head
	c := contentUnknown
	if packingOf(head) == nil && !isTar(head) && !isZip(head) {
		c = sniff(asUTF8(head), "")
	}
	if c == contentUnknown {
		head, _ = in.Peek(sniffBytes)
		if packed := packingOf(head); packed != nil {
			name = unpackedName(name)
			begin := head
			if head = packed.head(begin); len(head) == 0 && len(begin) == sniffBytes {
				begin, _ = in.Peek(PeekBytes)
				head = packed.head(begin)
			}
		}
		if isZip(head) {
			archive := zipReader{in: bufio.NewReader(bytes.NewReader(head))}
			f, err := archive.given()
			if err != nil {
				return true // an archive of something
			}
			return sniff(headOf(f, nil), f.name) != contentRecording
		}
		c = sniff(asUTF8(head), name)
	}
	return c == contentJSON || c == contentYAML || isTar(head)
}

// head is the beginning of what is packed, as far as it is in that of the stream.
func (p *packing) head(begin []byte) []byte {
	return headOf(p.open(bufio.NewReader(bytes.NewReader(begin))))
}

// headOf is the beginning of what was cut, so that it ends in an error.
func headOf(in io.Reader, err error) []byte {
	if err != nil {
		return nil
	}
	head, _ := io.ReadAll(io.LimitReader(in, sniffBytes))
	return head
}

// utf16Bytes is how much of a stream tells whether it is UTF-16.
const utf16Bytes = 4

// isUTF16 reports whether a stream that begins so says that it is UTF-16. The mark of UTF-32
// begins as that of UTF-16 does.
func isUTF16(head []byte) bool {
	return !bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}) &&
		(bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}))
}

// asUTF8 is the beginning of a stream as UTF-8.
func asUTF8(head []byte) []byte {
	if !isUTF16(head) {
		return head
	}
	return headOf(fromUTF16(bytes.NewReader(head)), nil)
}

// fromUTF16 makes UTF-8 of UTF-16, which is what the > of Windows PowerShell writes. What is no
// character becomes U+FFFD.
func fromUTF16(in io.Reader) io.Reader {
	return transform.NewReader(in, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
}

// sniff tells what a file holds by its beginning and its name.
func sniff(head []byte, name string) content {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	ext := path.Ext(name)
	switch {
	case len(head) == 0:
		return contentUnknown
	case head[0] == '[':
		return contentJSON
	case head[0] == '{':
		c := sniffJSON(head)
		if c == contentUnknown && ext == ".json" {
			return contentJSON
		}
		return c
	case mayHoldObjects(ext) && ext != ".json" || objectYAML.Match(head):
		return contentYAML
	}
	if ahead := textAhead(head); ahead > 0 && sniff(head[ahead:], "") == contentJSON {
		return contentJSON
	}
	return contentUnknown
}

// textAhead is how many bytes of text there are ahead of what may be JSON: kubectl may have warned
// of something before it printed.
func textAhead(head []byte) int { return max(len(linesAhead.Find(head))-1, 0) }

var linesAhead = regexp.MustCompile(`\A(?:(?:[^{\[\n][^\n]*)?\n){1,16}\{`)

// mayHoldObjects tells by what a file's name ends with.
func mayHoldObjects(ext string) bool { return ext == ".json" || ext == ".yaml" || ext == ".yml" }

// objectYAML is how YAML of objects begins.
var objectYAML = regexp.MustCompile(`\A(?:(?:---|#|%YAML)[^\n]*\n\s*)*(?:- )?(?:apiVersion|kind|items|metadata):`)

// sniffJSON tells an object by the names of its fields.
func sniffJSON(head []byte) content {
	decoder := json.NewDecoder(bytes.NewReader(head))
	for depth, isKey := 0, false; ; {
		token, err := decoder.Token()
		if err != nil {
			return contentUnknown
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			isKey = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			if depth == 0 {
				return contentUnknown
			}
			isKey = depth == 1
			continue
		}
		if depth != 1 {
			continue
		}
		if isKey {
			switch token {
			case "apiVersion", "kind", "items", "metadata":
				return contentJSON
			case "time", "type", "object", "initial":
				return contentRecording
			}
		}
		isKey = !isKey
	}
}
