package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// limited returns a program that is rollspan with a limit on the process, which the
// kernel enforces: so many KiB of memory that it may write to.
func limited(t *testing.T, kib int) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds rollspan")
	}
	dir := t.TempDir()
	program, err := harness.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "limited")
	text := fmt.Sprintf("#!/bin/sh\nulimit -d %d && exec %s \"$@\"\n", kib, program)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil { //nolint:gosec // It is to be executed.
		t.Fatal(err)
	}
	return script
}

// TestFirstListsWithinALimit starts rollspan on a cluster of 12,000 pods. It must not
// hold a list as a whole for that; when it did, it needed more than this.
func TestFirstListsWithinALimit(t *testing.T) {
	m, err := measureOn(t.Context(), limited(t, 440_000), 12_000, "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak %d MiB, live heap %d MiB", m.peak>>20, m.heap>>20)
}

// TestOneTenantsEventsWithinALimit has one tenant write ten Events and patch each of
// them 64 times with another message of half a megabyte. Another tenant's pod is told.
func TestOneTenantsEventsWithinALimit(t *testing.T) {
	program := exec.CommandContext(t.Context(), limited(t, 250_000), "replay", "-")
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	program.Stdout, program.Stderr = &out, &errs
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	written := attack(in)
	if err := program.Wait(); err != nil || written != nil {
		t.Fatalf("rollspan: %v; its input: %v; it said\n%.2000s", err, written, errs.String())
	}
	if !strings.Contains(out.String(), "Pod run  pod/victim  complete") {
		t.Errorf("the other tenant's pod is not told:\n%.2000s", out.String())
	}
}

func attack(in io.WriteCloser) error {
	w := bufio.NewWriter(in)
	at := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	line := func(typ, object string) {
		fmt.Fprintf(w, `{"time":%q,"type":%q,"object":%s}`+"\n", at.Format(time.RFC3339Nano), typ, object)
		at = at.Add(10 * time.Millisecond)
	}
	pod := func(status string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"victim","namespace":"shop","uid":"V","creationTimestamp":"2026-01-02T10:00:00Z"},` +
			`"spec":{"restartPolicy":"Always","containers":[{"name":"c","image":"i"}]},"status":` + status + `}`
	}
	line("ADDED", pod(`{"phase":"Pending"}`))
	message := strings.Repeat("x", 512<<10)
	for n := range 10 * 64 {
		line("MODIFIED", fmt.Sprintf(`{"apiVersion":"v1","kind":"Event","metadata":{"name":"e-%d","namespace":"evil","uid":"E%d","resourceVersion":"%d"},`+
			`"involvedObject":{"kind":"Pod","namespace":"evil","name":"mine","uid":"M"},"reason":"Loud","message":"%d %s","count":%d,"firstTimestamp":%q,"lastTimestamp":%q}`,
			n%10, n%10, n+10, n, message, 1+n/10, at.Format(time.RFC3339), at.Format(time.RFC3339)))
	}
	line("MODIFIED", pod(`{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T10:00:06Z"}],`+
		`"containerStatuses":[{"name":"c","containerID":"c1","state":{"running":{"startedAt":"2026-01-02T10:00:06Z"}}}]}`))
	if err := w.Flush(); err != nil {
		return err
	}
	return in.Close()
}
