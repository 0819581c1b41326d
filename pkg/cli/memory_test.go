//go:build unix

package cli

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/spans"
)

// joined repeats a text with a number in place of %[1]d.
func joined(n int, format, separator string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(separator)
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func listed(items string) string { return `{"apiVersion":"v1","kind":"List","items":[` + items + `]}` }

// bombs are small files that would take gigabytes.
var bombs = map[string]struct {
	file  string
	bytes func() string
	// want are on stderr; told says that what was read before the bound is told.
	want []string
	told bool
	// memory is for the replay, in MiB, 64 if it is 0. What is only seen when it is
	// too late takes some more until it is seen.
	memory int64
}{
	"many pods": {"pods.json", func() string {
		return listed(joined(200_000, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","uid":"%d","creationTimestamp":"2026-03-02T09:00:00Z"}}`, ","))
	}, []string{`pods.json: item `, `what was read before this takes as much as it may in memory, 32 MiB (--max-memory)`,
		`more than --max-memory 64Mi: "`, `what was read was converted`}, true, 0},
	"a recording of many pods": {"pods.jsonl", func() string {
		return joined(200_000, `{"time":"2026-03-02T09:00:00Z","type":"ADDED","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","uid":"%d"}}}`, "\n")
	}, []string{`more than --max-memory 64Mi: "`, `(behind line `, `what was read was converted`}, true, 0},
	"an alias many times": {"alias.yaml", func() string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: a}\na: &a " + strings.Repeat("x", 60_000) + "\nb: [" + strings.Repeat("*a,", 20_000) + "]\n"
	}, []string{`alias.yaml: item 1: this would take more than one object may in memory, 8 MiB (--max-memory)`}, false, 0},
	"a list of many nodes": {"flow.yaml", func() string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: a}\nb: [" + strings.Repeat("a,", 400_000) + "]\n"
	}, []string{`flow.yaml: item 1: this would take more than one object may`}, false, 0},
	"an object of many parts": {"containers.json", func() string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"a"},"spec":{"containers":[` + strings.Repeat("{},", 300_000) + `{}]}}`
	}, []string{`containers.json: item 1: this would take more than one object may`}, false, 0},
}

// TestFilesMadeToFillTheMemory has a rollspan of its own replay files that would take
// gigabytes. How much it took at most the kernel tells.
func TestFilesMadeToFillTheMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/self/status")
	}
	factor := int64(2) // as the bound is for the heap, and the program has other memory as well
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		factor *= 6 // what the race detector remembers of each word
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "many pods" && name != "an alias many times" {
				t.Skip("one of each kind will do")
			}
			bound := cmp.Or(bomb.memory, 64)
			most := factor * bound << 20
			dir := t.TempDir()
			packed, status := filepath.Join(dir, bomb.file+".gz"), filepath.Join(dir, "status")
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write([]byte(bomb.bytes())) // a buffer takes all
			_ = z.Close()
			if err := os.WriteFile(packed, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "replay", "--max-memory", fmt.Sprintf("%dMi", bound), packed)
			cmd.Env = append(os.Environ(), asProgram+"=1", asProgramStatus+"="+status)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != ExitError {
				t.Errorf("%v, want exit %d", err, ExitError)
			}
			for _, want := range bomb.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("no %q on stderr:\n%s", want, stderr.String())
				}
			}
			if told := stdout.Len() > 0; told != bomb.told {
				t.Errorf("told %d bytes, want some: %t", stdout.Len(), bomb.told)
			}
			peak := peakOf(t, status)
			t.Logf("%d bytes, %d MiB in memory at most", b.Len(), peak>>20)
			if peak > most {
				t.Errorf("%d MiB in memory, want at most %d", peak>>20, most>>20)
			}
		})
	}
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakOf is the most memory that a process had, in bytes, as its status says.
func peakOf(t *testing.T, status string) int64 {
	t.Helper()
	content, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	match := peakLine.FindSubmatch(content)
	if match == nil {
		t.Fatalf("no VmHWM in:\n%s", content)
	}
	kib, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestLenientAboutMemory exits with 0 where what was read is enough.
func TestLenientAboutMemory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pods.json")
	pods := listed(joined(6_000, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","uid":"%d","creationTimestamp":"2026-03-02T09:00:00Z"}}`, ","))
	if err := os.WriteFile(file, []byte(pods), 0o600); err != nil {
		t.Fatal(err)
	}
	// In a process of its own: the bound is on all that a process has, that of other tests, too.
	c := start(t, "replay", "--lenient", "--max-memory", "64Mi", file)
	c.ends(t, ExitOK)
	if out, errs := c.out.String(), c.errs.String(); out == "" || !strings.Contains(errs, "what was read before this takes as much as it may") {
		t.Errorf("%d bytes, stderr:\n%s", len(out), errs)
	}
	// With more it is read to the end.
	if _, errs, code := rollspan(t, "", "replay", "--max-memory", "1Gi", file); code != ExitOK || !strings.Contains(errs, "6000 Pods in 1 file") {
		t.Errorf("exit %d, stderr:\n%s", code, errs)
	}
}

// What becomes of what was read may take more than was expected, of which no small file is known
// any more.
func TestWhatBecomesOfItIsTooMuch(t *testing.T) {
	o := causality.Observation{Time: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Type: watch.Added, Object: &corev1.Pod{}}
	told := func(time.Time, []spans.Trace) error {
		t.Error("something is told")
		return nil
	}
	f := feeder{app: &app{}, memory: memoryLimit{most: 1}}
	if err := f.feed(t.Context(), snapshots.History{Observations: []causality.Observation{o}}, causality.Options{}, told); !errors.Is(err, errTooMuch) {
		t.Errorf("%v, want %v", err, errTooMuch)
	}
}
