//go:build linux

package history_test

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rollspan/rollspan/pkg/history"
)

// TestFullDisk has a process whose files may not get larger, as on a disk that is full: what is
// told then is not kept, which is said once and counted. What was kept before is still found,
// and when there is room again what is told is kept again.
func TestFullDisk(t *testing.T) {
	dir := os.Getenv(dirOfChild)
	if dir == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v") //nolint:gosec // The test itself.
		child.Env = append(os.Environ(), dirOfChild+"="+t.TempDir())
		if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	var log bytes.Buffer
	store := onDisk(t, dir, history.Options{MaxAge: -1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	store.Add(numbered(0))
	holds(t, store, 0)
	info, err := os.Stat(filepath.Join(dir, "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	full := limit
	full.Cur = uint64(info.Size()) //nolint:gosec // It is not negative.
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	n := 1
	for ; store.Stats().Failed == 0; n++ {
		if n == 100_000 {
			t.Fatal("there is room without end")
		}
		store.Add(numbered(n))
		everything(t, store, history.Filter{Names: []string{"none"}}) // it waits until that is kept, or not
	}
	holds(t, store, 0)
	before := store.Stats()
	store.Add(numbered(n))
	holds(t, store, 0)
	if s := store.Stats(); !strings.Contains(s.Trouble, "file too large") || s.Failed != before.Failed+1 || strings.Count(log.String(), "is not kept") != 1 {
		t.Errorf("the counters are %+v, and it says %s", s, &log)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	store.Add(numbered(n + 1))
	holds(t, store, 0, n+1)
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); !strings.Contains(s, "is kept again") || strings.Contains(s, "damaged") {
		t.Errorf("it says %s", s)
	}
	next := closed(t, onDisk(t, dir, history.Options{MaxAge: -1}))
	holds(t, next, 0, n+1)
}
