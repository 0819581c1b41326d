package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rollspan/rollspan/pkg/watcher"
)

// The last words are told from what an error of others has in further lines; the
// roles to paste are as kubectl takes them.
func TestInLines(t *testing.T) {
	other := fmt.Errorf("stat a\nrollspan: all is well\n\n\tb: %w", errors.New("none"))
	if got, want := inLines(other), "stat a\n  rollspan: all is well\n\n\tb: none"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	forbidden := &watcher.ForbiddenError{Missing: []watcher.Permission{{Resource: "pods", Verbs: []string{"list"}}}}
	got := inLines(fmt.Errorf("a\nb: %w", forbidden))
	if want := "a\n  b: " + forbidden.Error(); got != want || !strings.Contains(got, "\n---\napiVersion: ") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := inOneLine(errors.Join(errors.New("a"), errors.New("b"))), "a; b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
