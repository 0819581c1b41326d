package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
)

// screen draws lines at a terminal, each time in the place of those before. What it moves the
// cursor by is its own; what others wrote is made safe.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	size  func() (columns, lines int)
	drawn []string
}

// What a terminal acts upon (ECMA-48, and DEC's autowrap: a line that is too long is cut).
const (
	cursorUp  = "\x1b[%dA\r"
	clearDown = "\x1b[J"
	wrapOff   = "\x1b[?7l"
	wrapOn    = "\x1b[?7h"
)

// usualHeight is how high a terminal is that does not say. How wide one is then nobody knows, and it
// cuts lines itself.
const usualHeight = 24

func newScreen(a *app) *screen {
	s := &screen{out: a.screen, size: func() (int, int) { return 0, usualHeight }}
	if file, ok := a.terminal.(*os.File); ok {
		s.size = func() (int, int) {
			columns, lines, err := term.GetSize(int(file.Fd()))
			if err != nil || lines <= 0 {
				return 0, usualHeight
			}
			return columns, lines
		}
	}
	return s
}

// mostFolded is how many lines a sentence may take.
const mostFolded = 3

// fold is a sentence in lines of so many columns, broken between words; none of an empty one. What
// does not fit into some lines is in the last one, and cut there.
func fold(sentence string, columns int) (lines []string) {
	words := strings.Fields(terminal.Line(sentence))
	for i, word := range words {
		last := len(lines) - 1
		switch {
		case i == 0:
			lines = []string{word}
		case columns > 0 && len(lines) < mostFolded && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) > columns:
			lines = append(lines, "  "+word)
		default:
			lines[last] += " " + word
		}
	}
	return lines
}

// cut is a line of no more characters than a terminal has columns, which shows that there was more.
func cut(line string, columns int) string {
	if columns <= 0 || utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-1]) + "…"
}

// draw draws lines in the place of those that were drawn before.
func (s *screen) draw(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redraw("", lines)
}

// redraw prints what is to stay, in the place of what was drawn, and draws lines below it.
func (s *screen) redraw(stays string, lines []string) {
	var b bytes.Buffer
	if n := len(s.drawn); n > 0 {
		fmt.Fprintf(&b, cursorUp, n)
	}
	b.WriteString(clearDown + stays)
	if len(lines) > 0 {
		b.WriteString(wrapOff)
		columns, _ := s.size()
		for _, line := range lines {
			b.WriteString(cut(terminal.Line(line), columns) + "\n")
		}
		b.WriteString(wrapOn)
	}
	s.drawn = lines
	_, _ = s.out.Write(b.Bytes()) // who reads nothing misses nothing
}

// above is where lines are written that stay, above of what is drawn.
func (v *view) above() io.Writer { return aboveScreen{v.screen} }

type aboveScreen struct{ *screen }

// Write takes whole lines.
func (a aboveScreen) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.redraw(terminal.Text(string(p)), a.drawn)
	return len(p), nil
}
