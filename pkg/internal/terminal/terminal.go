// Package terminal makes text that others wrote safe to show. Names, messages and
// the names of files come from whoever may create an object, or packed an archive,
// and a terminal acts upon some of what they can hold: it moves its cursor, turns
// the direction of text around, or shows nothing at all.
package terminal

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns s for one line: what is not safe is replaced by how JSON and Go
// write it, such as \u001b or \u202e, and a line break by \n. A byte that is no
// UTF-8 becomes \x and two digits. Everything else stays as it is, the backslash
// too: so the text can be read, and escaping twice is escaping once.
//
// Safe are the letters, marks, digits, signs and spaces of all scripts that can be
// seen. Not safe are control characters (C0, DEL and C1), those that turn the
// direction of text around, line and paragraph separators, and whatever has no
// width or no shape: joiners, fillers, tags, variation selectors, private and
// unassigned characters. A name that holds them could look like another name.
func Line(s string) string { return escapeString(s, false) }

// Text is Line for text of several lines: line feeds and tabs stay.
func Text(s string) string { return escapeString(s, true) }

func escapeString(s string, lines bool) string {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !safe(r, size, lines) {
			return string(escape([]byte(s[:n]), []byte(s[n:]), lines))
		}
		n += size
	}
	return s
}

// safe reports whether a character that takes size bytes is shown as itself, and
// does nothing else. lines says that line feeds and tabs are wanted.
func safe(r rune, size int, lines bool) bool {
	switch {
	case r < utf8.RuneSelf:
		return ' ' <= r && r < 0x7f || lines && (r == '\n' || r == '\t')
	case r == utf8.RuneError && size == 1:
		return false
	}
	// Graphic is what Unicode gives a shape or a width; of that some is there to
	// be ignored all the same.
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// escape appends b to dst.
func escape(dst, b []byte, lines bool) []byte {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if safe(r, size, lines) {
			dst = append(dst, b[:size]...)
		} else {
			dst = appendEscaped(dst, r, size, b[0])
		}
		b = b[size:]
	}
	return dst
}

// appendEscaped appends the escape of a character. But for bytes that are no UTF-8,
// which no JSON encoder writes, it means the same within a JSON string: so what
// writes JSON can be made safe without knowing that it does.
func appendEscaped(dst []byte, r rune, size int, first byte) []byte {
	switch {
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == utf8.RuneError && size == 1:
		return fmt.Appendf(dst, `\x%02x`, first)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// Writer makes what is written to it safe, as Text does, and passes it on: trees,
// logs and messages as well as lines of JSON, which keep their meaning. It may be
// used by several goroutines at once.
type Writer struct {
	w io.Writer

	mu sync.Mutex
	// begun is the beginning of a character whose end the next write may bring.
	begun []byte
}

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write passes on p. A character that is not whole at its end waits for the next
// write, or for Flush. An error is the underlying writer's.
func (t *Writer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := p
	if len(t.begun) > 0 {
		b = slices.Concat(t.begun, p)
		t.begun = nil
	}
	whole := len(b) - unfinished(b)
	if whole < len(b) {
		t.begun = slices.Clone(b[whole:])
	}
	if err := t.pass(b[:whole]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on a character that was begun and has not ended. It does not wait for a
// Write that is under way: nobody may be reading what that one writes.
func (t *Writer) Flush() error {
	if !t.mu.TryLock() {
		return nil
	}
	defer t.mu.Unlock()
	b := t.begun
	t.begun = nil
	return t.pass(b)
}

func (t *Writer) pass(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if !allSafe(b) {
		b = escape(make([]byte, 0, len(b)+len(b)/4), b, true)
	}
	_, err := t.w.Write(b)
	return err
}

func allSafe(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if !safe(r, size, true) {
			return false
		}
		b = b[size:]
	}
	return true
}

// unfinished is how many bytes at the end of b begin a character that more bytes
// could end.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
