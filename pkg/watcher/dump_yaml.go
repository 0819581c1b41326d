package watcher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// A YAML parser takes a document as a whole: one error loses all of a list, and the
// list of all Pods of a cluster takes a multiple of its size in memory. So lists are
// cut into their items by lines, which is where block style has them begin, and each
// item is parsed on its own. What is written in another style is parsed as a whole.

var (
	yamlItems = regexp.MustCompile(`^["']?items["']?:\s*(#.*)?$`)
	// yamlKey is a key of the document itself.
	yamlKey = regexp.MustCompile(`^["']?[A-Za-z][\w.-]*["']?:(\s|$)`)
)

var (
	errCutShort = errors.New("the list is cut short here: its end is missing")
	errAnchor   = errors.New("it refers to an anchor that is not there")
)

// yamlDocument is a document while it is read.
type yamlDocument struct {
	file *dumpFile
	// whole is the text so far, nil if that is too much to keep.
	whole []byte
	// rest is the text without the items.
	rest []byte
	// item is the text of the item that is being read, nil if none is.
	item []byte
	// column is where the dashes of the items are, -1 if there was none yet.
	column int
	// expected says that items come next, if any do.
	expected bool
	// cut says that the stream ended within a line of the rest.
	cut     bool
	kind    objectKind // of the items, as far as the list has said it before them
	waiting waitingItems
	items   int // begun so far
	shared  []sharedItem
}

// sharedItem is an item that refers to a part of another one.
type sharedItem struct {
	index  int // in the document, from 0
	number int // in the file, from 1
}

// yaml reads one YAML document after another. A damaged one does not affect the
// others, nor does a damaged item of a list.
func (f *dumpFile) yaml(in *bufio.Reader) {
	d := f.newYAMLDocument()
	for {
		f.part.reset()
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			d.interrupted(err)
			return
		}
		if after, ok := yamlSeparator(line); ok {
			d.finish(false)
			d = f.newYAMLDocument()
			line = after
		}
		d.add(line)
		if m := &f.dump.memory; int64(max(len(d.rest), len(d.item))) > m.text() {
			d.interrupted(m.textTooLarge())
			return
		}
		if err != nil {
			d.finish(true)
			return
		}
	}
}

func (f *dumpFile) newYAMLDocument() *yamlDocument {
	return &yamlDocument{file: f, column: -1, expected: true, whole: []byte{}}
}

// yamlSeparator reports whether a line stands between two documents, and returns
// what the next one begins with on the same line.
func yamlSeparator(line []byte) (after []byte, ok bool) {
	for _, mark := range []string{"---", "..."} {
		if after, ok := bytes.CutPrefix(line, []byte(mark)); ok && (len(after) == 0 || bytes.ContainsAny(after[:1], " \t\r\n")) {
			return bytes.TrimLeft(after, " \t\r\n"), true
		}
	}
	return nil, false
}

// add takes in the next line.
func (d *yamlDocument) add(line []byte) {
	if len(d.rest) == 0 && d.column < 0 {
		line = bytes.TrimPrefix(line, byteOrderMark) // of one of several files that were put together
	}
	if len(line) == 0 {
		return
	}
	if d.whole != nil && int64(len(d.whole)+len(line)) <= d.file.dump.memory.text() {
		d.whole = append(d.whole, line...)
	} else {
		d.whole = nil
	}
	l := readYAMLLine(line)
	switch {
	case l.dash && (l.indent == d.column || d.column < 0 && d.expected):
		d.endItem()
		if d.column < 0 {
			d.column = l.indent
			d.kind = itemKind(d.fields())
		}
		d.items++
		d.item = append([]byte{}, line...)
	case d.item != nil && l.cutOff():
		d.endItem()
		d.cut = true
	case d.item != nil && (l.indent > 0 || l.blank || !l.isKey()):
		d.item = append(d.item, line...)
	default:
		d.endItem()
		d.rest = append(d.rest, line...)
		d.expected = d.expected && l.blank || l.indent == 0 && yamlItems.MatchString(l.text)
	}
}

// yamlLine is what the structure of a document can be told from.
type yamlLine struct {
	indent int
	text   string // the beginning of what follows
	// blank lines have nothing but a comment, and dash begins an item.
	blank, dash bool
	// ended says that the line has an end, which the last of a file that was cut off lacks.
	ended bool
}

func readYAMLLine(line []byte) yamlLine {
	content := bytes.TrimLeft(line, " ")
	text := strings.TrimRight(string(content[:min(len(content), 256)]), "\r\n")
	return yamlLine{
		indent: len(line) - len(content),
		text:   text,
		blank:  text == "" || text[0] == '#',
		dash:   text == "-" || strings.HasPrefix(text, "- "),
		ended:  line[len(line)-1] == '\n',
	}
}

// isKey reports whether the line begins a field.
func (l yamlLine) isKey() bool { return yamlKey.MatchString(l.text) }

// cutOff reports whether a file ends in the middle of a line that is no item's.
func (l yamlLine) cutOff() bool { return !l.ended && l.indent == 0 && !l.blank && !l.isKey() }

// fields are those of the document but for its items.
func (d *yamlDocument) fields() map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if raw, err := d.file.dump.memory.yamlToJSON(d.rest); err == nil {
		_ = json.Unmarshal(raw, &fields) // what is no object has none
	}
	return fields
}

// endItem takes in the item that was read to its end.
func (d *yamlDocument) endItem() {
	if d.item == nil {
		return
	}
	f, text := d.file, d.item
	d.item = nil
	items, err := f.yamlSequence(text)
	switch {
	case err == nil && len(items) == 1:
		f.item(items[0], d.kind, &d.waiting)
	case !d.ofObjects(text):
	case err == nil:
		f.damagedItem(fmt.Errorf("this is %d items", len(items)))
	case strings.Contains(err.Error(), "unknown anchor"):
		f.items++
		d.shared = append(d.shared, sharedItem{d.items - 1, f.items})
	default:
		f.damagedItem(err)
	}
}

// ofObjects reports whether a list seems to be one of objects, of which this is one.
func (d *yamlDocument) ofObjects(item []byte) bool {
	return d.file.found || objectYAML.Match(d.rest) || objectYAML.Match(item)
}

// yamlSequence parses a list.
func (f *dumpFile) yamlSequence(text []byte) (items []json.RawMessage, err error) {
	raw, err := f.dump.memory.yamlToJSON(text)
	if err != nil {
		return nil, err
	}
	return items, json.Unmarshal(raw, &items)
}

// finish takes in what is left at the document's end. Where that is the stream's,
// a list that has not said its kind, which kubectl writes last, goes on: of the item
// at the end nobody knows whether it is whole.
func (d *yamlDocument) finish(ended bool) {
	f := d.file
	if d.column < 0 {
		d.single()
		return
	}
	if d.item != nil && ended {
		fields := d.fields()
		unended := d.item[len(d.item)-1] != '\n'
		if fields["kind"] == nil && (unended || fields["apiVersion"] != nil) {
			d.item, d.cut = nil, true
		}
	}
	d.endItem()
	f.flush(d.waiting, d.fields())
	d.together()
	if d.cut && f.found {
		f.broken(errCutShort)
	}
}

// interrupted takes in the items before the place where reading failed.
func (d *yamlDocument) interrupted(err error) {
	d.item = nil
	d.file.flush(d.waiting, d.fields())
	d.together()
	d.file.broken(err)
}

// single takes in a document that is no list, or one in another style.
func (d *yamlDocument) single() {
	raw, err := d.file.dump.memory.yamlToJSON(d.rest)
	switch {
	case err == nil:
		d.file.json(bytes.NewReader(raw))
	case objectYAML.Match(d.rest):
		d.file.broken(err)
	}
}

// together parses the items that share parts with others once more, with these.
func (d *yamlDocument) together() {
	if len(d.shared) == 0 {
		return
	}
	var items []json.RawMessage
	raw, err := d.file.dump.memory.yamlToJSON(d.whole)
	if d.whole == nil {
		err = d.file.dump.memory.textTooLarge()
	}
	if err == nil {
		var list struct {
			Items []json.RawMessage `json:"items"`
		}
		if json.Unmarshal(raw, &list) == nil {
			items = list.Items
		} else {
			_ = json.Unmarshal(raw, &items) // else there are none
		}
	}
	for _, s := range d.shared {
		switch {
		case len(items) == d.items:
			d.file.again(s.number, items[s.index], d.fields())
		case errors.Is(err, ErrMemory):
			d.file.found = true
			d.file.dump.broken(d.file.name, s.number, fmt.Errorf("it refers to an anchor, and with all others of its list: %w", err))
		default:
			d.file.found = true
			d.file.dump.broken(d.file.name, s.number, errAnchor)
		}
	}
}
