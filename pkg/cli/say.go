package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// say prints one line on standard error. It stays one line, whatever names are
// in it: those of files come from whoever packed an archive.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.Err, terminal.Line(fmt.Sprintf(format, args...)))
}

// inOneLine is an error's text for say. Several errors that were joined are told
// one after the other.
func inOneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// inLines is an error's text as the last words. What others wrote, such as an API
// server or whoever named a file, may hold line breaks: so all lines but the
// first are indented, and none looks as if rollspan had begun it. Only the roles
// to paste are left as they are.
func inLines(err error) string {
	text, verbatim := err.Error(), ""
	if forbidden, ok := errors.AsType[*watcher.ForbiddenError](err); ok {
		if before, ok := strings.CutSuffix(text, forbidden.Error()); ok {
			text, verbatim = before, forbidden.Error()
		}
	}
	lines := slices.Compact(strings.Split(text, "\n")) // two flags may be wrong for one reason
	for i := 1; i < len(lines); i++ {
		if lines[i] != "" && lines[i][0] != '\t' {
			lines[i] = "  " + lines[i]
		}
	}
	return strings.Join(lines, "\n") + verbatim
}
